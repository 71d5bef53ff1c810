// Who has been here: what each may do, did, and was refused.

import { get } from '../api.js';
import { count, several } from '../format.js';
import { fill, h, icon } from '../h.js';
import { empty, facts, heading, section, since, table, tag, time, verdict } from '../parts.js';
import { page as listOf } from '../shapes.js';
import { AUDIT_COLUMNS, auditRow } from './audit.js';

const at = (it) => `/identities/${encodeURIComponent(it.issuer)}/${encodeURIComponent(it.subject)}`;

/** The list. */
export async function identities({ place, signal }) {
  const answer = await get(['identities'], { limit: 500 }, signal);
  const all = listOf(answer).items;
  const list = h('div', { class: 'card' });
  const search = h('input', { type: 'search', 'data-search': '', 'aria-label': 'Search identities', placeholder: 'Name, issuer, group…', autocomplete: 'off' });
  const show = () => {
    const words = search.value.trim().toLowerCase();
    const found = all.filter((it) => !words || [it.issuer, it.subject, it.name, ...(it.groups ?? [])].some((field) => field?.toLowerCase().includes(words)));
    fill(list, found.length ? table('Identities', ['Who', 'Groups', 'Statements', 'Refused', 'Last seen'], found.map((it) => ({
      key: `${it.issuer}:${it.subject}`, href: at(it),
      cells: [
        h('a', { href: at(it), class: 'who' }, it.name && it.name !== it.subject ? [h('bdi', { class: 'who-name' }, it.name), ' '] : null, h('bdi', { class: 'who-id mono' }, `${it.issuer}:${it.subject}`)),
        h('span', { class: 'tags' }, (it.groups ?? []).map((group) => tag(group))),
        h('span', { class: 'number' }, count(it.statements ?? 0)),
        h('span', { class: `number ${it.refused ? 'bad' : 'muted'}` }, count(it.refused ?? 0)),
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
  return may.map((one) => h('div', { class: 'may' }, h('h3', null, h('a', { href: `/data/${encodeURIComponent(one.database)}` }, h('bdi', null, one.database)), one.connect === false ? [' ', verdict('deny')] : null),
    one.why ? h('p', { class: 'note' }, one.why) : null,
    h('ul', { class: 'touches' }, (one.relations ?? one.touches ?? []).map((it) => h('li', null, h('span', { class: 'touch-action mono' }, it.action), h('span', { class: 'touch-resource' }, h('bdi', null, it.resource), it.columns?.length ? h('span', { class: 'note' }, ` (${it.columns.join(', ')})`) : null), h('span', { class: 'touch-verdict' }, verdict(it.verdict)))))));
}

/** One of them. */
export async function identity({ place, params, signal, title }) {
  const it = await get(['identities', params.issuer, params.subject], {}, signal);
  const id = `${params.issuer}:${params.subject}`;
  title(id);
  const query = encodeURIComponent(id);
  fill(place, heading(h('bdi', null, it.name ?? params.subject), { eyebrow: h('a', { href: '/identities' }, icon('back'), 'Identities'), lead: h('span', { class: 'mono' }, id), actions: [h('a', { class: 'button', href: `/audit?identity=${query}` }, 'All it did'), h('a', { class: 'button', href: `/approvals?view=history&requester=${query}` }, 'What it asked')] }),
    h('div', { class: 'request' },
      h('div', { class: 'request-main' },
        section('What it may do', { note: it.may_note ?? 'by the policies in force, for the groups of its last log-in' }, mayTable(it.may)),
        section('Refused lately', {}, it.refused?.length ? table('Refused', AUDIT_COLUMNS, it.refused.map(auditRow)) : empty('check', 'Nothing was refused')),
        section('What it did lately', {}, it.recent?.length ? table('Did', AUDIT_COLUMNS, it.recent.map(auditRow)) : empty('audit', 'Nothing on record'))),
      h('aside', { class: 'decision', 'aria-label': 'About the identity' }, section('As it was last seen', { id: 'seen' }, facts([
        ['Groups', it.groups?.length ? h('span', { class: 'tags' }, it.groups.map((group) => tag(group))) : null],
        ['Owner', it.owner ? h('bdi', null, it.owner) : null],
        ['On behalf of', it.on_behalf_of ? h('bdi', { class: 'mono' }, it.on_behalf_of) : null],
        ['First seen', time(it.first_seen)], ['Last seen', since(it.last_seen)],
        ['Statements', count(it.statements)], ['Refused', count(it.refused_count)],
        ['Live sessions', count(it.sessions)],
      ])))));
}
