// The policies in force: bundle, version, rules, tests, and a place to try statements.

import { get, post } from '../api.js';
import { count, several } from '../format.js';
import { fill, h, icon } from '../h.js';
import { empty, facts, failure, heading, section, since, tag, verdict } from '../parts.js';
import { page as listOf } from '../shapes.js';
import { rules, touches } from '../shown.js';

/** The page. */
export async function policy({ place, params, query, signal, go }) {
  const all = listOf(await get(['policy'], {}, signal)).items;
  const name = (it) => it.database ?? it.name;
  if (!params.database) {
    if (all.length === 1) { go(`/policy/${encodeURIComponent(name(all[0]))}`, { replace: true }); return; }
    fill(place, heading('Policy', { lead: 'Each database has a bundle of rules.' }), all.length ? h('div', { class: 'stats' }, all.map((it) => h('a', { class: 'stat', href: `/policy/${encodeURIComponent(name(it))}` }, h('span', { class: 'stat-icon' }, icon('policy')), h('span', { class: 'stat-word' }, h('bdi', null, name(it))), h('span', { class: 'stat-note' }, `version ${it.version ?? it.bundle?.version ?? '?'}`)))) : empty('policy', 'No database is served'));
    return;
  }
  const it = await get(['policy', params.database], {}, signal);
  const bundle = it.bundle ?? it;
  // A statement of the audit trail, to be explained again.
  const record = query.get('seq') ? await get(['audit', query.get('seq')], {}, signal) : null;
  const kept = record ? { sql: record.text ?? '', identity: record.identity ?? '', groups: record.groups ?? [] } : {};
  fill(place, heading(h('bdi', null, params.database), { eyebrow: all.length > 1 ? h('a', { href: '/policy' }, icon('back'), 'Policy') : 'Policy', lead: [`${bundle.name} ${bundle.version}`, it.since ? [', in force since ', since(it.since)] : null] }),
    h('div', { class: 'request' },
      h('div', { class: 'request-main' },
        tryIt(params.database, kept),
        section('Rules', { id: 'rules', note: it.rules ? several(it.rules.length, 'rule') : null }, (it.rules ?? []).length ? h('ul', { class: 'rule-list' }, it.rules.map((rule) => h('li', null, h('details', null, h('summary', null, h('code', { class: 'rule-id' }, rule.id), ' ', h('span', { class: `badge v-${rule.forbid || rule.effect === 'forbid' ? 'deny' : 'allow'}` }, rule.forbid || rule.effect === 'forbid' ? 'forbids' : 'permits'), h('span', { class: 'note' }, ` ${rule.file ?? ''}${rule.line ? `:${rule.line}` : ''}`)), h('pre', { class: 'plan', tabindex: 0, role: 'region', 'aria-label': `Rule ${rule.id}` }, h('code', null, rule.text ?? '')))))) : empty('policy', 'No rule: nothing is allowed')),
        (it.files ?? []).length ? section('Files', { id: 'files' }, it.files.map((file) => h('details', null, h('summary', null, h('code', null, file.path ?? file.name)), h('pre', { class: 'plan', tabindex: 0, role: 'region', 'aria-label': file.path ?? file.name }, h('code', null, file.text ?? ''))))) : null),
      h('aside', { class: 'decision', 'aria-label': 'About the bundle' },
        section('Bundle', { id: 'bundle' }, facts([['Name', bundle.name], ['Version', bundle.version], ['Hash', bundle.hash ? h('code', { class: 'break' }, bundle.hash) : null], ['Enforced', it.enforce === false ? h('span', { class: 'badge v-hold' }, 'observes only') : 'yes'], ['Read', it.since ? since(it.since) : null]])),
        tests(params.database, it),
        it.approvers?.length ? section('Approvers', { id: 'approvers' }, h('ul', { class: 'need-list' }, it.approvers.map((one) => h('li', null, h('strong', null, one.name), h('p', { class: 'note' }, `${count(one.quorum ?? 1)} of ${(one.members?.any ?? one.members?.all ?? one.groups ?? []).join(', ')}${one.hold ? `, within ${one.hold}` : ''}`))))) : null,
        it.tags ? section('Tags', { id: 'tags' }, h('ul', { class: 'columns' }, Object.entries(it.tags).map(([column, words]) => h('li', null, h('code', { class: 'break' }, column), h('span', { class: 'tags' }, [words].flat().map((word) => tag(word))))))) : null)));
}

function tests(database, it) {
  const result = h('div', { role: 'status' });
  const show = (got) => {
    const failed = (got.cases ?? got.items ?? []).filter((one) => one.passed === false || one.ok === false);
    fill(result, h('p', null, h('span', { class: `badge v-${failed.length || got.failed ? 'deny' : 'allow'}` }, failed.length || got.failed ? `${count(got.failed ?? failed.length)} failed` : 'all passed'), ` ${several(got.passed !== undefined ? got.passed + (got.failed ?? 0) : (got.cases ?? []).length, 'test')}`),
      failed.map((one) => h('details', { class: 'failed-test', open: true }, h('summary', null, one.name ?? one.file), h('p', { class: 'note' }, one.message ?? one.why ?? ''))));
  };
  if (it.tests?.cases || it.tests?.passed !== undefined) show(it.tests);
  const run = h('button', { type: 'button', class: 'button', id: 'run-tests', onclick: async () => {
    run.disabled = true;
    fill(result, h('p', { class: 'note' }, 'Running…'));
    try {
      show(await post(['policy', database, 'test']));
    } catch (error) {
      fill(result, failure(error));
    }
    run.disabled = false;
  } }, 'Run the tests');
  return section('Tests', { id: 'tests', note: typeof it.tests === 'number' ? several(it.tests, 'test') : 'of the bundle itself' }, result, run);
}

function explained(got) {
  const one = got.statements?.[0] ?? got;
  const decision = one.decision ?? {};
  if (one.status && one.status !== 'understood') return h('div', null, h('p', null, verdict(one.status === 'error' ? 'error' : 'deny')), h('p', null, one.error?.message ?? one.unknown?.reason ?? one.reason ?? one.status), one.error?.sqlstate ? h('p', { class: 'note mono' }, one.error.sqlstate) : null);
  return h('div', { class: 'explained' },
    h('p', { class: 'explained-verdict' }, verdict(decision.verdict ?? one.verdict), decision.approvers?.length ? h('span', { class: 'note' }, ` asks ${decision.approvers.join(', ')}`) : null),
    decision.why || decision.reason ? h('p', null, decision.why ?? decision.reason) : null,
    touches((decision.touches ?? one.touches ?? []).map((it) => ({ ...it, resource: it.resource ?? it.name ?? '', rules: (it.rules ?? []).map((rule) => rule.id ?? rule) }))),
    (decision.rules ?? []).length ? [h('h3', null, 'Rules'), rules(decision.rules)] : null);
}

function tryIt(database, kept) {
  const answer = h('div', { role: 'status', class: 'answer' });
  const field = (id, label, props, grow) => h('div', { class: `field ${grow ? 'grow' : ''}` }, h('label', { for: `try-${id}` }, label), h('input', { id: `try-${id}`, name: id, autocomplete: 'off', ...props }));
  const submit = async (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(event.target));
    const colon = given.identity.indexOf(':');
    fill(answer, h('p', { class: 'note' }, 'Asking PostgreSQL what it touches…'));
    try {
      const got = await post(['policy', database, 'explain'], {
        sql: given.sql,
        issuer: colon < 0 ? '' : given.identity.slice(0, colon),
        subject: given.identity.slice(colon + 1),
        groups: given.groups.split(/[\s,]+/).filter(Boolean),
      });
      fill(answer, explained(got));
    } catch (error) {
      fill(answer, failure(error));
    }
  };
  return section('Try it', { id: 'try', note: 'nothing runs; PostgreSQL only says what it would touch' }, h('form', { class: 'try', onsubmit: submit },
    h('div', { class: 'field' }, h('label', { for: 'try-sql' }, 'Statement'), h('textarea', { id: 'try-sql', name: 'sql', rows: 4, required: true, class: 'mono', spellcheck: 'false', 'data-search': '', value: kept.sql ?? '' })),
    h('div', { class: 'filters' }, field('identity', 'As whom', { placeholder: 'issuer:subject', required: true, value: kept.identity ?? '' }, true), field('groups', 'In groups', { placeholder: 'support-agents', value: (kept.groups ?? []).join(' ') }, true), h('button', { type: 'submit', class: 'button primary' }, 'Explain'))), answer);
}
