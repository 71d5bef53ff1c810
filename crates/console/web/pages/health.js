// Whether the gateway is well: what it relies on, and what it says of itself.

import { get } from '../api.js';
import { bytes, count, duration } from '../format.js';
import { fill, h, icon } from '../h.js';
import { soon } from '../live.js';
import { facts, heading, section, since, time } from '../parts.js';

function light(state, name, ...says) {
  return h('li', null, h('span', { class: `dot dot-${state}` }), h('div', null, h('p', null, h('strong', null, name), h('span', { class: 'hidden' }, { good: ': well', warn: ': look at it', bad: ': amiss' }[state])), h('p', { class: 'note break' }, says)));
}

function parts(it) {
  const journal = it.journal;
  const free = journal.disk_total ? journal.disk_free / journal.disk_total : 1;
  return [
    light(journal.fault ? 'bad' : free < 0.1 ? 'warn' : 'good', 'Journal', journal.fault ?? [`${count(journal.written)} records, ${journal.lag ? `${count(journal.lag)} not on disk yet` : 'all on disk'}`, journal.disk_free === null ? null : `; ${bytes(journal.disk_free)} free`]),
    it.upstreams.map((one) => light(one.failing ? 'bad' : one.last_bad ? 'warn' : 'good', `Database ${one.database}`, one.failing ? one.why ?? 'logins fail' : one.last_good ? ['last login ', since(one.last_good)] : 'nobody has logged in yet', !one.failing && one.last_bad ? ['; failed ', since(one.last_bad), one.why ? `: ${one.why}` : ''] : null)),
    it.issuers.map((one) => light(one.keys === 0 || (one.keys === null && !one.from_file) ? 'warn' : 'good', `Issuer ${one.name}`, `${one.url}; `, one.keys === null ? 'no keys were fetched yet' : `${count(one.keys)} keys${one.keys_age_s === null ? '' : `, ${duration(one.keys_age_s * 1000)} old`}`)),
    it.certificates.map((one) => light(one.days === null || one.days < 0 ? 'bad' : one.days < 14 ? 'warn' : 'good', `Certificate ${one.what}`, one.ends ? ['until ', time(one.ends), `, ${count(one.days)} days`] : 'its end can’t be read')),
  ];
}

/** The page. */
export async function health({ place, signal, listen }) {
  const body = h('div');
  async function show() {
    const it = await get(['health'], {}, signal);
    fill(body,
      h('div', { class: `banner ${it.ready ? 'banner-good' : 'banner-bad'}` }, icon(it.ready ? 'check' : 'warn'), h('div', null, h('p', { class: 'banner-title' }, it.ready ? (it.reasons.length ? 'Ready, with something amiss' : 'All is well') : 'Not ready'), it.reasons.length ? it.reasons.map((words) => h('p', null, words)) : h('p', null, 'The gateway takes connections.'))),
      section('What it relies on', { id: 'relies' }, h('ul', { class: 'checks' }, parts(it))),
      section('Gateway', { id: 'gateway' }, facts([
        ['Version', it.version], ['Started', since(it.started)],
        ['Configuration', it.configuration ? [h('a', { href: `/audit/${it.configuration.seq}` }, it.configuration.event.replaceAll('_', ' ')), ' ', since(it.configuration.at)] : 'as it was at the start'],
        ['Views', it.views_complete ? 'have read the whole journal' : `are reading; ${count(it.journal.views_lag)} records to go`],
      ])));
  }
  fill(place, heading('System'), body);
  await show();
  const again = soon(() => show().catch((error) => signal.aborted || console.warn(error.message)), 500);
  listen((event) => { if (['health', 'policy', 'resync'].includes(event.kind)) again(); });
  const timer = setInterval(again, 10_000);
  signal.addEventListener('abort', () => clearInterval(timer));
}
