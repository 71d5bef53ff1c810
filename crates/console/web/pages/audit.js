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
  ['relation', 'Relation', 'text', 'public.customers'],
  ['column', 'Column', 'text', 'customers.ssn'],
  ['rule', 'Rule', 'text', 'its id'],
  ['session', 'Session', 'text', ''],
];
const VERDICTS = [['', 'any'], ['allow', 'allowed'], ['mask', 'masked'], ['hold', 'needed approval'], ['deny', 'refused']];
const EVENTS = [['', 'anything'], ['statement', 'statements'], ['session_started', 'log-ins'], ['authentication_failed', 'wrong log-ins'], ['approval_requested', 'approvals asked for'], ['approval_voted', 'approvals decided'], ['break_glass', 'glass broken'], ['sessions_ended', 'sessions ended'], ['control_refused', 'console refusals'], ['limit_exceeded', 'limits'], ['policy_loaded', 'policies'], ['incident', 'incidents']];

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
      h('a', { href: `/audit/${it.seq}`, 'data-key': `audit-${it.seq}`, class: 'plain' }, time(it.at)),
      h('bdi', { class: 'break' }, it.identity ?? ''),
      h('bdi', null, it.database ?? ''),
      it.text ? h('code', { class: 'snippet' }, h('bdi', null, line(it.text))) : h('span', null, line([it.kind, it.relations?.join(', '), it.why].filter(Boolean).join(' · ') || (it.event ?? 'unknown').replaceAll('_', ' '))),
      it.verdict ? verdict(it.verdict) : h('span', { class: 'tag' }, (it.event ?? 'unknown').replaceAll('_', ' ')),
      h('span', { class: 'mono' }, it.result ?? it.sqlstate ?? ''),
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
      const answer = await get(['audit'], { ...filter(), before }, signal);
      const got = listOf(answer);
      const far = answer.unfinished && answer.searched_to ? h('p', { class: 'note' }, 'Looked back to ', time(answer.searched_to), ' so far.') : null;
      items = before ? items.concat(got.items) : got.items;
      next = got.next;
      if (items.length === 0) fill(results, empty('search', 'No record is like that', next ? 'Older ones have not been looked at yet.' : 'Take a filter away, or look at a longer time.'), far, next ? h('button', { type: 'button', class: 'button', onclick: () => load(next) }, 'Look further back') : null);
      else fill(results, table('Records', AUDIT_COLUMNS, items.map(auditRow)), h('div', { class: 'inbox-foot' }, far, next ? h('button', { type: 'button', class: 'button', 'data-key': 'more', onclick: () => load(next) }, 'Show older') : h('p', { class: 'note' }, 'That is all.')));
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
  const field = ([name, label, type, placeholder]) => h('div', { class: `field ${name === 'text' ? 'grow' : ''}` }, h('label', { for: `f-${name}` }, label), h('input', { id: `f-${name}`, name, type, placeholder, value: asked[name] ?? '', autocomplete: 'off', 'data-search': name === 'text' ? '' : null }));
  const more = Object.keys(asked).some((name) => !['text', 'identity', 'verdict'].includes(name));
  const when = (name, label) => h('div', { class: 'field' }, h('label', { for: `f-${name}` }, label), h('input', { id: `f-${name}`, name, type: 'datetime-local', step: 1, value: asked[name] ?? '' }));
  fill(place, heading('Audit', { lead: 'Every statement, who asked for it, and which rules decided.' }),
    h('form', { class: 'card filters', role: 'search', onsubmit: submit },
      FIELDS.slice(0, 2).map(field), choice('verdict', 'Verdict', VERDICTS),
      h('details', { class: 'more-filters', open: more }, h('summary', null, 'More filters'), h('div', { class: 'more-fields' }, FIELDS.slice(2).map(field), choice('event', 'Kind', EVENTS), when('since', 'From'), when('until', 'Until'))),
      h('div', { class: 'filter-acts' }, h('button', { type: 'submit', class: 'button primary' }, icon('search'), 'Search'), Object.keys(asked).length ? h('a', { class: 'button', href: '/audit' }, 'Clear') : null)),
    results);
  fill(results, loading(6));
  await load();
}
