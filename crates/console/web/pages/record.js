// One record of the audit trail: what was asked, what decided, what became of it, and what stood around it.

import { get } from '../api.js';
import { count } from '../format.js';
import { fill, h, icon } from '../h.js';
import { facts, heading, section, table, tag, time, verdict } from '../parts.js';
import { parameters, rules, statement } from '../shown.js';
import { auditRow } from './audit.js';

/** Parameters as the journal keeps them. */
function kept(list) {
  return list.map((it) => (it === null ? { value: null } : { value: it.text !== undefined ? { text: it.text } : it.hex !== undefined ? { binary: it.hex } : {} }));
}

function touched(list, masks) {
  return h('ul', { class: 'touches' }, list.map((it) => h('li', null, h('span', { class: 'touch-action mono' }, it.action),
    h('span', { class: 'touch-resource' }, it.kind ? `${it.kind} ` : '', h('bdi', null, it.name), it.columns?.length ? h('span', { class: 'note' }, ` (${it.columns.join(', ')})`) : null))),
  masks.map((it) => h('li', null, h('span', { class: 'touch-action mono' }, 'mask'), h('span', { class: 'touch-resource' }, h('bdi', null, it.column)), h('span', { class: 'touch-verdict' }, h('span', { class: 'badge v-mask' }, `as ${it.mask}`)))));
}

function ruleList(list) {
  return list.map((rule) => (rule.text ? h('details', null, h('summary', null, h('code', { class: 'rule-id' }, rule.id), ' ', h('span', { class: `badge v-${rule.forbid ? 'deny' : 'allow'}` }, rule.forbid ? 'forbids' : 'permits'), h('span', { class: 'note' }, ` ${rule.file ?? ''}${rule.line ? `:${rule.line}` : ''}`)), h('pre', { class: 'plan', tabindex: 0, role: 'region', 'aria-label': `Rule ${rule.id}` }, h('code', null, rule.text))) : rules([rule])));
}

/** The page. */
export async function record({ place, params, signal, title }) {
  const it = await get(['audit', params.seq], {}, signal);
  const { row, record: raw } = it;
  title(`Record ${row.seq}`);
  const text = raw?.text ?? row.text;
  const explain = row.database && text ? `/policy/${encodeURIComponent(row.database)}?seq=${row.seq}` : null;
  const [issuer, ...subject] = (row.identity ?? '').split(':');
  fill(place, heading([h('span', { class: 'head-number' }, `#${row.seq}`), ' ', (row.kind ?? row.event ?? 'Record').replaceAll('_', ' ')], {
    eyebrow: h('a', { href: '/audit' }, icon('back'), 'Audit'),
    lead: row.why,
    actions: [row.verdict ? verdict(row.verdict) : null, explain ? h('a', { class: 'button', id: 'explain', href: explain }, 'Explain it') : null],
  }),
  h('div', { class: 'request' },
    h('div', { class: 'request-main' },
      text ? section('Statement', {}, statement(it.text_shown ?? text)) : row.event === 'statement' ? section('Statement', {}, h('p', { class: 'note' }, 'Its text is for auditors.')) : null,
      raw?.parameters?.length ? section('Parameters', {}, parameters(kept(raw.parameters))) : null,
      it.touches?.length ? section('What it touched', {}, touched(it.touches, it.masks ?? [])) : null,
      it.rules?.length ? section('Rules that decided', { note: it.policy ? `${it.policy.bundle} ${it.policy.version}${it.policy_is_current ? '' : ', no longer in force'}` : null }, ruleList(it.rules)) : null,
      it.before?.length || it.after?.length ? section('Around it', { note: 'the same session' }, table('Around it', ['When', 'What', 'Verdict', 'Result'], [...it.before.toReversed(), row, ...it.after].map(auditRow).map((one) => ({ ...one, cells: [one.cells[0], one.cells[3], one.cells[4], one.cells[5]] })))) : null,
      section('The record itself', { note: 'as it is in the journal' }, h('pre', { class: 'plan wrap', tabindex: 0, role: 'region', 'aria-label': 'The record itself' }, h('code', null, JSON.stringify(raw, null, 2))))),
    h('aside', { class: 'decision', 'aria-label': 'About the record' },
      section('Who', { id: 'who' }, facts([
        ['Identity', row.identity ? h('a', { href: `/identities/${encodeURIComponent(issuer)}/${encodeURIComponent(subject.join(':'))}`, class: 'mono' }, h('bdi', null, row.identity)) : null],
        ['On behalf of', row.on_behalf_of ? h('bdi', { class: 'mono' }, row.on_behalf_of) : null],
        ['Groups', raw?.identity?.groups?.length ? h('span', { class: 'tags' }, raw.identity.groups.map((one) => tag(one))) : null],
        ['Application', raw?.application_name ? h('bdi', null, raw.application_name) : null],
        ['Client', raw?.client ? h('span', { class: 'mono' }, raw.client) : null],
        ['Session', row.session ? h('a', { href: `/audit?session=${encodeURIComponent(row.session)}`, class: 'mono' }, `${row.session.slice(0, 12)}…`) : null],
        ['Database', row.database ? h('bdi', null, row.database) : null],
      ])),
      section('What became of it', { id: 'outcome' }, facts([
        ['Event', (row.event ?? 'unknown').replaceAll('_', ' ')], ['When', time(row.at)],
        ['Result', row.result ?? row.sqlstate],
        ['Rows', count(row.rows)], ['Took', row.duration_us === null || row.duration_us === undefined ? null : `${(row.duration_us / 1000).toFixed(1)} ms`],
        ['Approval', row.approval ? h('a', { href: `/approvals/${row.approval}` }, `#${row.approval}`) : null],
        ['Hash', it.hash ? h('code', { class: 'break' }, it.hash) : null],
      ])))));
}
