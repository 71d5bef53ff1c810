// What runs now, what waits, what was refused lately: numbers, small plots, and where to look further.

import { get } from '../api.js';
import { count, line, now } from '../format.js';
import { fill, h, icon } from '../h.js';
import { soon } from '../live.js';
import { empty, heading, loading, section, since, time } from '../parts.js';
import { verdictBars } from '../plot.js';

function number(href, value, word, picture, { urgent, note } = {}) {
  return h('a', { href, class: `stat ${urgent ? 'stat-urgent' : ''}`, 'data-key': `stat-${picture}` },
    h('span', { class: 'stat-icon' }, icon(picture)),
    h('span', { class: 'stat-value number' }, count(value)),
    h('span', { class: 'stat-word' }, word),
    h('span', { class: 'stat-note' }, note ?? ''));
}

const KINDS = ['allow', 'mask', 'hold', 'deny', 'observed'];
const sum = (counts) => KINDS.reduce((all, kind) => all + (counts?.[kind] ?? 0), 0);

function running(rows) {
  if (rows.length === 0) return empty('sessions', 'Nothing runs', 'Sessions may be connected all the same.');
  return h('ul', { class: 'compact' }, rows.map((it) => h('li', null, h('a', { href: '/sessions', class: 'compact-link', 'data-key': `run-${it.session}` },
    h('span', { class: 'compact-head' }, h('bdi', null, it.identity ?? 'nobody yet'), h('span', { class: 'note' }, it.database ?? ''), it.for_ms === null || it.for_ms === undefined ? null : since(now() - it.for_ms)),
    it.text ? h('code', { class: 'snippet' }, h('bdi', null, line(it.text))) : h('span', { class: 'note' }, `${it.state === 'held' ? 'waits for approval' : it.state}${it.statement ? `, statement ${it.statement}` : ''}`)))));
}

function refused(rows) {
  if (rows.length === 0) return empty('policy', 'Nothing was refused', 'What a policy refuses is listed here.');
  return h('ul', { class: 'compact' }, rows.map((it) => h('li', { class: 'edge-deny' }, h('a', { href: it.seq ? `/audit/${it.seq}` : '/audit', class: 'compact-link', 'data-key': `refused-${it.seq}` },
    h('span', { class: 'compact-head' }, h('bdi', null, it.identity ?? 'nobody'), h('span', { class: 'note' }, it.database ?? ''), time(it.at)),
    it.text ? h('code', { class: 'snippet' }, h('bdi', null, line(it.text))) : null,
    h('span', { class: 'note' }, line(it.why ?? it.event.replaceAll('_', ' '), 240))))));
}

/** The page. */
export async function overview({ place, signal, listen }) {
  const body = h('div', null, loading());
  fill(place, heading('Overview'), body);

  async function show() {
    const [it, asked] = await Promise.all([get(['overview'], {}, signal), get(['approvals'], { state: 'open', limit: 1 }, signal)]);
    const waiting = asked.open ?? asked.items.length;
    const latest = asked.items[0]?.opened;
    fill(body,
      h('div', { class: 'stats' },
        number('/approvals', waiting, waiting === 1 ? 'waits for approval' : 'wait for approval', 'approvals', { urgent: waiting > 0, note: latest ? ['the latest asked ', since(latest)] : 'nobody has to wait' }),
        number('/sessions', it.sessions?.live ?? 0, it.sessions?.live === 1 ? 'session' : 'sessions', 'sessions', { note: `${count(it.sessions?.running ?? 0)} running a statement` }),
        number('/audit?verdict=deny', it.statements?.last_hour?.deny ?? 0, 'refused in the last hour', 'policy', { note: `of ${count(sum(it.statements.last_hour))} statements` })),
      section('Statements', { note: 'the last hour, by what the policy said' }, verdictBars(it.statements?.minutes ?? [])),
      h('div', { class: 'grid spaced' },
        h('div', { class: 'half' }, section('Running now', {}, running(it.running ?? []))),
        h('div', { class: 'half' }, section('Refused lately', { actions: h('a', { href: '/audit?verdict=deny' }, 'all') }, refused((it.refused ?? []).slice(0, 8))))),
      it.incidents?.length ? section('Look at these', { id: 'incidents' }, h('ul', { class: 'compact' }, it.incidents.map((one) => h('li', { class: 'edge-deny' }, h('a', { href: `/audit/${one.seq}`, class: 'compact-link' }, h('span', { class: 'compact-head' }, one.event.replaceAll('_', ' '), h('span', { class: 'note' }, one.database ?? ''), time(one.at)), h('span', { class: 'note' }, [one.kind, one.detail].filter(Boolean).join(': '))))))) : null,
      it.complete === false ? h('p', { class: 'note' }, 'The journal of before is still being read: counts grow.') : null);
  }
  await show();
  const again = soon(() => show().catch((error) => signal.aborted || console.warn(error.message)), 800);
  listen(again);
  const timer = setInterval(again, 15_000);
  signal.addEventListener('abort', () => clearInterval(timer));
}
