// The policies in force: bundle, version, rules, tests, and a place to try statements.

import { get, post } from '../api.js';
import { count, duration, several } from '../format.js';
import { fill, h, icon } from '../h.js';
import { empty, facts, failure, heading, section, time, verdict } from '../parts.js';
import { page as listOf } from '../shapes.js';
import { touches } from '../shown.js';

/** The page. */
export async function policy({ me, place, params, query, signal, go }) {
  const mayTry = (me.roles ?? []).includes('auditor');
  const all = listOf(await get(['policy'], {}, signal)).items;
  if (!params.database) {
    if (all.length === 1) { go(`/policy/${encodeURIComponent(all[0].database)}`, { replace: true }); return; }
    fill(place, heading('Policy', { lead: 'Each database has a bundle of rules.' }), all.length ? h('div', { class: 'stats' }, all.map((it) => h('a', { class: 'stat', href: `/policy/${encodeURIComponent(it.database)}` }, h('span', { class: 'stat-icon' }, icon('policy')), h('span', { class: 'stat-word' }, h('bdi', null, it.database)), h('span', { class: 'stat-note' }, `${it.bundle} ${it.version}`)))) : empty('policy', 'No database is served'));
    return;
  }
  const it = await get(['policy', params.database], {}, signal);
  const bundle = it.policy;
  // A statement of the audit trail, to be explained again.
  const record = mayTry && query.get('seq') ? await get(['audit', query.get('seq')], {}, signal) : null;
  const kept = record ? { sql: record.record?.text ?? record.row.text ?? '', identity: record.row.identity ?? '', groups: record.record?.identity?.groups ?? [] } : {};
  fill(place, heading(h('bdi', null, params.database), { eyebrow: all.length > 1 ? h('a', { href: '/policy' }, icon('back'), 'Policy') : 'Policy', lead: [`${bundle.bundle} ${bundle.version}`, bundle.since ? [', in force since ', time(bundle.since)] : null], actions: bundle.enforced ? null : h('span', { class: 'badge v-hold' }, 'observes only: nothing is refused') }),
    bundle.refused ? h('p', { class: 'warning', role: 'alert' }, h('strong', null, 'A newer bundle was refused: '), bundle.refused) : null,
    h('div', { class: 'request' },
      h('div', { class: 'request-main' },
        mayTry ? tryIt(params.database, kept) : null,
        section('Files', { id: 'files', note: several((it.files ?? []).length, 'file') }, h('ul', { class: 'rule-list' }, (it.files ?? []).map((file) => h('li', null, h('details', null, h('summary', null, h('code', { class: 'rule-id' }, file.path)), h('pre', { class: 'plan wrap', tabindex: 0, role: 'region', 'aria-label': file.path }, h('code', null, file.text))))))),
        it.versions?.length ? section('Versions', { id: 'versions' }, h('ol', { class: 'timeline' }, it.versions.map((one) => h('li', null, time(one.at), h('div', null, h('a', { href: `/audit/${one.seq}` }, `${one.bundle} ${one.version}`), ' ', h('code', { class: 'note' }, one.hash.slice(0, 12)), one.refused ? h('p', null, h('span', { class: 'badge v-deny' }, 'refused'), ' ', h('span', { class: 'note break' }, one.refused)) : null))))) : null),
      h('aside', { class: 'decision', 'aria-label': 'About the bundle' },
        section('Bundle', { id: 'bundle' }, facts([['Name', bundle.bundle], ['Version', bundle.version], ['Hash', h('code', { class: 'break' }, bundle.hash)], ['Enforced', bundle.enforced ? 'yes' : 'no']]), it.warnings?.length ? h('ul', { class: 'plain-list' }, it.warnings.map((words) => h('li', { class: 'why-not' }, words))) : null),
        tests(params.database, it, mayTry),
        it.approvers?.length ? section('Approvers', { id: 'approvers' }, h('ul', { class: 'need-list' }, it.approvers.map((one) => h('li', null, h('strong', null, one.name), h('p', { class: 'note' }, `${count(one.quorum ?? 1)} of ${one.group ?? ''}${one.hold_seconds ? `, within ${duration(one.hold_seconds * 1000)}` : ''}`))))) : null,
        it.masks?.length ? section('Masks', { id: 'masks' }, facts(it.masks.map((one) => [one.tag, one.mask]))) : null,
        it.limits?.length ? section('Limits', { id: 'limits' }, h('ul', { class: 'plain-list' }, it.limits.map((words) => h('li', null, words)))) : null)));
}

function tests(database, it, mayRun) {
  const result = h('div', { role: 'status' });
  const all = it.tests_at_load + it.tests_with_sql;
  const run = h('button', { type: 'button', class: 'button', id: 'run-tests', onclick: async () => {
    run.disabled = true;
    fill(result, h('p', { class: 'note' }, 'Running…'));
    try {
      const got = await post(['policy', database, 'test']);
      fill(result, h('p', null, h('span', { class: `badge v-${got.passed ? 'allow' : 'deny'}` }, got.passed ? 'all passed' : `${count(got.failures.length)} failed`), ` ${several(got.at_load + got.with_sql, 'test')}`), got.failures.map((words) => h('p', { class: 'why-not' }, h('span', null, words))));
    } catch (error) {
      fill(result, failure(error));
    }
    run.disabled = false;
  } }, 'Run the tests');
  return section('Tests', { id: 'tests' }, h('p', { class: 'note' }, all ? `${several(all, 'test')}; ${count(it.tests_at_load)} of them passed when it was loaded, ${count(it.tests_with_sql)} ask the database.` : 'The bundle has no tests.'), result, all && mayRun ? run : null);
}

function explained(got) {
  const all = Array.isArray(got) ? got : [got];
  return all.map((one) => {
    const decision = one.decision;
    if (!decision) return h('div', { class: 'explained' }, h('p', null, h('span', { class: 'badge v-deny' }, one.status === 'error' ? 'PostgreSQL refuses it' : 'refused')), h('p', null, one.error?.message ?? one.unknown?.reason ?? one.reason ?? one.status), one.error?.sqlstate ? h('p', { class: 'note mono' }, one.error.sqlstate) : null);
    return h('div', { class: 'explained' },
      h('p', { class: 'explained-verdict' }, verdict(decision.verdict), decision.approvers?.length ? h('span', { class: 'note' }, ` asks ${decision.approvers.map((it) => it.group).join(' and ')}`) : null),
      decision.refusal ? h('div', null, h('p', null, h('code', null, decision.refusal.sqlstate), ' ', decision.refusal.message), decision.refusal.detail ? h('p', { class: 'note' }, decision.refusal.detail) : null, decision.refusal.hint ? h('p', { class: 'note' }, decision.refusal.hint) : null) : null,
      touches((decision.parts ?? []).map((it) => ({ action: it.action, resource: `${it.resource_type.toLowerCase()} ${it.resource}`, verdict: it.verdict, mask: it.mask ? (typeof it.mask === 'string' ? it.mask : it.mask.kind) : null, rules: it.rules }))));
  });
}

function tryIt(database, kept) {
  const answer = h('div', { role: 'status', class: 'answer' });
  const field = (id, label, props, grow) => h('div', { class: `field ${grow ? 'grow' : ''}` }, h('label', { for: `try-${id}` }, label), h('input', { id: `try-${id}`, name: id, autocomplete: 'off', ...props }));
  const submit = async (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(event.target));
    const groups = given.groups.split(/[\s,]+/).filter(Boolean);
    fill(answer, h('p', { class: 'note' }, 'Asking PostgreSQL what it touches…'));
    try {
      const got = await post(['policy', database, 'explain'], {
        sql: given.sql,
        ...(given.identity.trim() ? { identity: given.identity.trim() } : {}),
        ...(groups.length || !given.identity.trim() ? { groups } : {}),
      });
      fill(answer, explained(got));
    } catch (error) {
      fill(answer, failure(error));
    }
  };
  return section('Try it', { id: 'try', note: 'nothing runs; PostgreSQL only says what it would touch' }, h('form', { class: 'try', onsubmit: submit },
    h('div', { class: 'field' }, h('label', { for: 'try-sql' }, 'Statement'), h('textarea', { id: 'try-sql', name: 'sql', rows: 4, required: true, class: 'mono', spellcheck: 'false', 'data-search': '', value: kept.sql ?? '' })),
    h('div', { class: 'filters' }, field('identity', 'As whom', { placeholder: 'issuer:subject, or anybody', value: kept.identity ?? '' }, true), field('groups', 'In groups', { placeholder: 'support-agents', value: (kept.groups ?? []).join(' ') }, true), h('button', { type: 'submit', class: 'button primary' }, 'Explain'))), answer);
}
