// Searching the audit trail.

import { get } from '../api.js';
import { line } from '../format.js';
import { fill, h, icon } from '../h.js';
import { empty, failure, heading, loading, table, time, verdict } from '../parts.js';
import { page as listOf } from '../shapes.js';

const FIELDS = [
  ['text', 'Text', 'search', 'part of the statement'],
  ['identity', 'Identity', 'text', 'issuer:subject'],
  ['database', 'Database', 'text', ''],
  ['object', 'Touches', 'text', 'public.customers'],
  ['session', 'Session', 'text', ''],
];
const VERDICTS = [['', 'any'], ['allow', 'allowed'], ['mask', 'masked'], ['hold', 'needed approval'], ['deny', 'refused']];
const EVENTS = [['', 'anything'], ['statement', 'statements'], ['session', 'sessions'], ['approval', 'approvals'], ['admin', 'administration'], ['policy', 'policy'], ['incident', 'incidents']];

/** Local time as an <input type="datetime-local"> gives it, as RFC 3339. */
function instant(local) {
  const date = new Date(local);
  return local && !Number.isNaN(date.getTime()) ? date.toISOString() : '';
}

/** A row of what was found. */
export function auditRow(it) {
  return {
    key: it.seq, href: `/audit/${it.seq}`,
    cells: [
      h('a', { href: `/audit/${it.seq}`, 'data-key': `audit-${it.seq}`, class: 'plain' }, time(it.at ?? it.time)),
      h('bdi', { class: 'break' }, it.identity ?? ''),
      h('bdi', null, it.database ?? ''),
      h('code', { class: 'snippet' }, h('bdi', null, line(it.text ?? it.what ?? it.event ?? ''))),
      it.verdict ? verdict(it.verdict) : h('span', { class: 'tag' }, it.event ?? ''),
      h('span', { class: 'mono' }, it.result ?? it.outcome ?? it.sqlstate ?? ''),
    ],
  };
}

export const AUDIT_COLUMNS = ['When', 'Who', 'Database', 'What', 'Verdict', 'Result'];

/** The page. */
export async function audit({ place, query, go, signal }) {
  const asked = Object.fromEntries(query);
  const results = h('div', { class: 'results' });
  let [items, next, busy] = [[], null, false];

  const filter = () => {
    const { since, until, ...rest } = asked;
    return { ...rest, since: instant(since), until: instant(until), limit: 50 };
  };

  async function load(before) {
    if (busy) return;
    busy = true;
    try {
      const got = listOf(await get(['audit'], { ...filter(), before }, signal));
      items = before ? items.concat(got.items) : got.items;
      next = got.next;
      if (items.length === 0) fill(results, empty('search', 'No record is like that', next ? 'Older ones have not been looked at yet.' : 'Take a filter away, or look at a longer time.'), next ? h('button', { type: 'button', class: 'button', onclick: () => load(next) }, 'Look further back') : null);
      else fill(results, table('Records', AUDIT_COLUMNS, items.map(auditRow)), h('div', { class: 'inbox-foot' }, next ? h('button', { type: 'button', class: 'button', 'data-key': 'more', onclick: () => load(next) }, 'Show older') : h('p', { class: 'note' }, 'That is all.')));
    } catch (error) {
      if (!signal.aborted) fill(results, failure(error, () => load(before)));
    } finally {
      busy = false;
    }
  }

  const submit = (event) => {
    event.preventDefault();
    const pairs = [...new FormData(event.target)].filter(([, value]) => value);
    go(`/audit${pairs.length ? `?${new URLSearchParams(pairs)}` : ''}`);
  };
  const choice = (name, label, options) => h('div', { class: 'field' }, h('label', { for: `f-${name}` }, label), h('select', { id: `f-${name}`, name }, options.map(([value, word]) => h('option', { value, selected: (asked[name] ?? '') === value }, word))));
  const when = (name, label) => h('div', { class: 'field' }, h('label', { for: `f-${name}` }, label), h('input', { id: `f-${name}`, name, type: 'datetime-local', step: 1, value: asked[name] ?? '' }));
  fill(place, heading('Audit', { lead: 'Every statement, who asked for it, and which rules decided.' }),
    h('form', { class: 'card filters', role: 'search', onsubmit: submit },
      FIELDS.map(([name, label, type, placeholder], at) => h('div', { class: `field ${at === 0 ? 'grow' : ''}` }, h('label', { for: `f-${name}` }, label), h('input', { id: `f-${name}`, name, type, placeholder, value: asked[name] ?? '', autocomplete: 'off', 'data-search': at === 0 ? '' : null }))),
      choice('verdict', 'Verdict', VERDICTS), choice('event', 'Kind', EVENTS), when('since', 'From'), when('until', 'Until'),
      h('div', { class: 'filter-acts' }, h('button', { type: 'submit', class: 'button primary' }, icon('search'), 'Search'), Object.keys(asked).length ? h('a', { class: 'button', href: '/audit' }, 'Clear') : null)),
    results);
  fill(results, loading(6));
  await load();
}
