// Who has been here: what each may do, did, and was refused.

import { get } from '../api.js';
import { count, line, several } from '../format.js';
import { fill, h, icon } from '../h.js';
import { empty, facts, heading, section, since, table, tag, time } from '../parts.js';
import { page as listOf } from '../shapes.js';

const at = (it) => `/identities/${encodeURIComponent(it.issuer)}/${encodeURIComponent(it.subject)}`;

const statements = (counts) => ['allow', 'mask', 'hold', 'deny', 'observed'].reduce((sum, kind) => sum + (counts?.[kind] ?? 0), 0);

/** The list. */
export async function identities({ place, signal }) {
  const answer = await get(['identities'], { limit: 500 }, signal);
  const all = listOf(answer).items;
  const list = h('div', { class: 'card' });
  const search = h('input', { type: 'search', 'data-search': '', 'aria-label': 'Search identities', placeholder: 'Name, issuer, group…', autocomplete: 'off' });
  const show = () => {
    const words = search.value.trim().toLowerCase();
    const found = all.filter((it) => !words || [it.identity, it.name, it.owner, ...(it.groups ?? [])].some((field) => field?.toLowerCase().includes(words)));
    fill(list, found.length ? table('Identities', ['Who', 'Groups', 'Statements', 'Refused', 'Last seen'], found.map((it) => ({
      key: `${it.issuer}:${it.subject}`, href: at(it),
      cells: [
        h('a', { href: at(it), class: 'who' }, it.name && it.name !== it.subject ? [h('bdi', { class: 'who-name' }, it.name), ' '] : null, h('bdi', { class: 'who-id mono' }, `${it.issuer}:${it.subject}`)),
        h('span', { class: 'tags' }, (it.groups ?? []).map((group) => tag(group))),
        h('span', { class: 'number' }, count(statements(it.counts))),
        h('span', { class: `number ${it.counts?.deny ? 'bad' : 'muted'}` }, count(it.counts?.deny ?? 0)),
        since(it.last_seen),
      ],
    }))) : empty('identities', all.length ? 'Nobody is called that' : 'Nobody has been here yet', 'Identities appear when they log in for the first time.'));
  };
  search.addEventListener('input', show);
  fill(place, heading('Identities', { lead: all.length ? `${several(all.length, 'identity', 'identities')} seen by this gateway.` : null, actions: search }), list);
  show();
}

function mayTable(may) {
  if (!may?.length) return empty('policy', 'No rule speaks of this identity');
  return may.map((one) => h('div', { class: 'may' }, h('h3', null, h('a', { href: `/policy/${encodeURIComponent(one.database)}` }, h('bdi', null, one.database)), h('span', { class: 'note' }, ` ${one.bundle} ${one.version}`)),
    one.unknown ? h('p', { class: 'note' }, one.unknown) : null,
    one.grants.length ? h('ul', { class: 'touches' }, one.grants.map((it) => h('li', null, h('span', { class: 'touch-action mono' }, it.privilege), h('span', { class: 'touch-resource' }, h('bdi', null, it.on), it.columns ? h('span', { class: 'note' }, ` (${it.columns.join(', ')})`) : null)))) : one.unknown ? null : h('p', { class: 'note' }, 'Nothing.'),
    one.grants_total > one.grants.length ? h('p', { class: 'note' }, `and ${count(one.grants_total - one.grants.length)} more`) : null,
    one.beyond?.length ? h('details', null, h('summary', null, `And ${several(one.beyond.length, 'thing')} that no privilege gives`), h('ul', { class: 'plain-list' }, one.beyond.map((words) => h('li', null, words)))) : null,
    one.limits?.length ? h('ul', { class: 'plain-list' }, one.limits.map((words) => h('li', { class: 'note' }, words))) : null));
}

function usesTable(uses) {
  return table('Uses', ['What', 'Database', 'Read', 'Masked', 'Changed', 'Refused', 'Last'], uses.slice(0, 60).map((it) => [
    h('span', { class: 'mono break' }, h('bdi', null, it.column ? `${it.relation}.${it.column}` : it.relation)), h('bdi', null, it.database),
    count(it.reads), count(it.masked), count(it.writes), h('span', { class: it.refused ? 'bad' : 'muted' }, count(it.refused)), since(it.last)]));
}

function refusedRow(it) {
  return { key: it.seq, href: `/audit/${it.seq}`, cells: [
    h('a', { href: `/audit/${it.seq}`, 'data-key': `refused-${it.seq}`, class: 'plain' }, time(it.at)), h('bdi', null, it.database ?? ''),
    h('div', null, it.text ? h('code', { class: 'snippet' }, h('bdi', null, line(it.text))) : null, h('span', { class: 'note' }, line(it.why ?? it.event, 200))),
    h('span', { class: 'mono whole' }, it.sqlstate ?? '')] };
}

/** One of them. */
export async function identity({ place, params, signal, title }) {
  const got = await get(['identities', params.issuer, params.subject], {}, signal);
  const it = got.identity;
  const id = `${params.issuer}:${params.subject}`;
  title(id);
  const query = encodeURIComponent(id);
  fill(place, heading(h('bdi', null, it.name ?? params.subject), { eyebrow: h('a', { href: '/identities' }, icon('back'), 'Identities'), lead: h('span', { class: 'mono' }, id), actions: [h('a', { class: 'button', href: `/audit?identity=${query}` }, 'All it did'), h('a', { class: 'button', href: `/approvals?view=history&requester=${query}` }, 'What it asked')] }),
    h('div', { class: 'request' },
      h('div', { class: 'request-main' },
        section('Refused lately', {}, got.refused?.length ? table('Refused', ['When', 'Database', 'What', 'Error'], got.refused.map(refusedRow)) : empty('check', 'Nothing was refused')),
        section('What it used', { note: got.since ? ['since ', time(got.since)] : null }, got.uses?.length ? usesTable(got.uses) : empty('audit', 'Nothing on record')),
        section('What it may do', { note: 'what rules could allow, masked or after approval too' }, mayTable(got.may))),
      h('aside', { class: 'decision', 'aria-label': 'About the identity' }, section('As it was last seen', { id: 'seen' }, facts([
        ['Groups', it.groups?.length ? h('span', { class: 'tags' }, it.groups.map((group) => tag(group))) : null],
        ['Owner', it.owner ? h('bdi', { class: 'mono' }, it.owner) : null],
        ['Acted for', it.on_behalf_of?.length ? it.on_behalf_of.map((one) => h('p', { class: 'mono' }, h('bdi', null, one))) : null],
        ['Databases', it.databases?.length ? h('span', { class: 'tags' }, it.databases.map((one) => tag(one))) : null],
        ['First seen', time(it.first_seen)], ['Last seen', since(it.last_seen)],
        ['Sessions', `${count(it.sessions)}, ${count(it.live)} live`],
        ['Statements', count(statements(it.counts))], ['Refused', count(it.counts?.deny ?? 0)], ['Rows', count(it.counts?.rows)],
        ['Approvals', count(it.approvals)],
      ])))));
}
