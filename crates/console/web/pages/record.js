// One record of the audit trail: what was asked, what decided, what became of it.

import { get } from '../api.js';
import { several } from '../format.js';
import { fill, h, icon } from '../h.js';
import { facts, heading, section, tag, time, verdict } from '../parts.js';
import { parameters, rules, statement, touches } from '../shown.js';

/** The page. */
export async function record({ place, params, signal, title }) {
  const it = await get(['audit', params.seq], {}, signal);
  title(`Record ${params.seq}`);
  const explain = it.database && it.text ? `/policy/${encodeURIComponent(it.database)}?${new URLSearchParams({ seq: params.seq })}` : null;
  const decided = it.decision ?? it;
  fill(place, heading([h('span', { class: 'head-number' }, `#${it.seq}`), ' ', it.command ?? it.event ?? 'Record'], {
    eyebrow: h('a', { href: '/audit' }, icon('back'), 'Audit'),
    actions: [it.verdict ? verdict(it.verdict) : null, explain ? h('a', { class: 'button', href: explain }, 'Explain it') : null],
  }),
  h('div', { class: 'request' },
    h('div', { class: 'request-main' },
      it.text !== undefined && it.text !== null ? section('Statement', { note: it.text_bytes && it.text_bytes > it.text.length ? `the record keeps the beginning of ${several(it.text_bytes, 'byte')}` : null }, statement(it.text_shown ?? it.text)) : null,
      it.parameters?.length ? section('Parameters', {}, parameters(it.parameters)) : null,
      decided.touches?.length ? section('What it touched', {}, touches(decided.touches)) : null,
      decided.rules?.length ? section('Rules that decided', {}, rules(decided.rules)) : null,
      it.raw ? section('The record itself', { note: 'canonical, as it is hashed' }, h('pre', { class: 'plan', tabindex: 0, role: 'region', 'aria-label': 'The record itself' }, h('code', null, typeof it.raw === 'string' ? it.raw : JSON.stringify(it.raw, null, 2)))) : null),
    h('aside', { class: 'decision', 'aria-label': 'About the record' },
      section('Who', { id: 'who' }, facts([
        ['Identity', it.identity ? h('bdi', { class: 'mono' }, it.identity) : null],
        ['On behalf of', it.on_behalf_of ? h('bdi', { class: 'mono' }, it.on_behalf_of) : null],
        ['Groups', it.groups?.length ? h('span', { class: 'tags' }, it.groups.map((one) => tag(one))) : null],
        ['Application', it.application_name ? h('bdi', null, it.application_name) : null],
        ['Client', it.client ? h('span', { class: 'mono' }, it.client) : null],
        ['Session', it.session ? h('a', { href: `/audit?session=${encodeURIComponent(it.session)}`, class: 'mono' }, `${it.session.slice(0, 12)}…`) : null],
        ['Database', it.database ? h('bdi', null, it.database) : null],
      ])),
      section('What became of it', { id: 'outcome' }, facts([
        ['Event', it.event], ['When', time(it.at ?? it.time)],
        ['Result', it.outcome?.tag ?? it.outcome?.sqlstate ?? it.result ?? it.sqlstate],
        ['Reason', it.why ?? it.reason],
        ['Rows', it.outcome?.rows], ['Took', it.outcome?.took_ms === undefined ? null : `${it.outcome.took_ms} ms`],
        ['Approval', it.approval ? h('a', { href: `/approvals/${it.approval}` }, `#${it.approval}`) : null],
        ['Bundle', decided.bundle ? `${decided.bundle.name ?? ''} ${decided.bundle.version ?? ''}` : null],
        ['Hash', it.hash ? h('code', { class: 'break' }, it.hash) : null],
      ])))));
}
