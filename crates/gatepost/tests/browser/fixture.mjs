// A stand-in for the gateway's HTTP side: the console's files with the headers that the gateway gives them, and an API whose every field
// that strangers control can be made hostile. For what takes a real gateway long to get into: a thousand requests, all states, odd text.
//
//   node fixture.mjs WEB_FOLDER [PORT]     prints {"ready":true,"port":N}; ends when its stdin does
//
// POST /fixture {set} merges into the state; POST /fixture/event {kind, data} sends an event; POST /fixture/drop ends all streams.

import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import path from 'node:path';

const web = path.resolve(process.argv[2]);
const TYPES = { css: 'text/css; charset=utf-8', html: 'text/html; charset=utf-8', js: 'text/javascript; charset=utf-8', svg: 'image/svg+xml' };
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const now = () => Date.now();
const iso = (time) => new Date(time).toISOString();
const hex = (text, length) => createHash('sha256').update(text).digest('hex').slice(0, length);

const state = {
  /** Text that goes into every field that strangers control; null: what an honest shop has. */
  hostile: null,
  requests: new Map(),
  roles: ['viewer', 'approver', 'auditor', 'operator'],
  signedIn: true,
  notReady: null,
  delegations: [],
  killed: [],
};

const SUPPORT = () => ({ issuer: 'corp', subject: state.hostile ?? 'support-agent', name: state.hostile ?? undefined, groups: [state.hostile ?? 'support-agents'], owner: state.hostile ?? 'corp:ada', on_behalf_of: state.hostile ?? 'corp:ada' });
const LEAD = { issuer: 'corp', subject: 'lead', groups: ['support-leads'] };

function runs(text) {
  const pattern = /(--[^\n]*|\/\*[\s\S]*?\*\/)|('(?:[^']|'')*')|\b(SELECT|DELETE|FROM|WHERE|AND|UPDATE|SET|IN|INTERVAL|RETURNING|ORDER|BY|LIMIT)\b/g;
  const all = [];
  let from = 0;
  for (const found of text.matchAll(pattern)) {
    if (found.index > from) all.push({ kind: 'plain', text: text.slice(from, found.index) });
    all.push({ kind: found[1] ? 'comment' : found[2] ? 'string' : 'keyword', text: found[0] });
    from = found.index + found[0].length;
  }
  if (from < text.length) all.push({ kind: 'plain', text: text.slice(from) });
  const marked = [];
  for (const run of all) {
    for (const part of run.text.split(/([\u202a-\u202e\u2066-\u2069\u200b\u0430])/u)) {
      if (part === '') continue;
      const code = `U+${part.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}`;
      if (/^[\u202a-\u202e\u2066-\u2069]$/u.test(part)) marked.push({ kind: 'bidi', text: part, code, name: 'RIGHT-TO-LEFT OVERRIDE', in: run.kind });
      else if (part === '\u200b') marked.push({ kind: 'invisible', text: part, code, name: 'ZERO WIDTH SPACE', in: run.kind });
      else if (part === '\u0430') marked.push({ kind: 'look_alike', text: part, code, name: 'CYRILLIC SMALL LETTER A', like: 'a', in: run.kind });
      else marked.push({ ...run, text: part });
    }
  }
  return marked;
}

const TEXT = `-- tickets that were answered and never closed
DELETE FROM tickets
WHERE status = 'open'
  AND opened_at < now() - INTERVAL '90 days'
  AND customer_id IN (SELECT id FROM customers WHERE name LIKE 'B%')
RETURNING id`;

function makeRequest(number, change = {}) {
  const text = state.hostile ?? change.text ?? TEXT;
  const opened = now() - (change.age ?? 28_000);
  return {
    number, state: 'open', opened: iso(opened), until: iso(opened + (change.hold ?? 600_000)), gateway: 'gateway-1', used: 0, votes: [],
    ask: {
      requester: SUPPORT(), database: state.hostile ?? 'shop', session: hex(`session ${number}`, 32), client: '10.20.4.17:53112',
      application_name: state.hostile ?? 'psql', why: state.hostile ?? 'delete on table public.tickets needs approval by support-leads',
      statement: { text, command: change.command ?? 'DELETE', parameters: change.parameters ?? [], pattern: false },
      touches: [
        { action: 'delete', resource: state.hostile ?? 'table public.tickets', verdict: 'hold', rules: [state.hostile ?? 'support-deletes-tickets'] },
        { action: 'select', resource: 'column public.tickets.id', verdict: 'allow', rules: ['support-reads'] },
        { action: 'filter', resource: 'column public.tickets.status', verdict: 'allow', rules: ['support-reads'] },
        { action: 'filter', resource: 'column public.tickets.opened_at', verdict: 'allow', rules: ['support-reads'] },
        { action: 'filter', resource: 'column public.customers.name', verdict: 'allow', rules: ['support-reads'] },
      ],
      rules: [{ id: state.hostile ?? 'support-deletes-tickets', file: 'support.cedar', line: 15, forbid: false }],
      bundle: { name: 'shop', version: '1', hash: hex('bundle', 64) }, binding: hex(`binding ${number}`, 64),
      needs: change.needs ?? [{ name: 'support-leads', members: { any: ['support-leads'] }, quorum: 1, count_rows: 5000 }],
      wait: change.wait ?? { held: { in_transaction: false } }, hold: 600_000, uses: 1, use_within: 60_000, purpose: state.hostile ?? change.purpose ?? null,
    },
  };
}

function reset(count = 3) {
  state.requests.clear();
  for (let number = 1; number <= count; number += 1) {
    const kind = number % 3;
    state.requests.set(number, makeRequest(number, kind === 1 ? {} : kind === 2
      ? { text: 'UPDATE customers SET notes = $1 WHERE id = $2 AND score > $3', command: 'UPDATE', age: 571_000, parameters: [{ type_oid: 25, type_name: 'text', value: { text: 'called back, all is well' } }, { type_oid: 23, type_name: 'integer', value: { text: '17' } }, { type_oid: 0, type_name: null, value: { binary: '4048f5c28f5c28f6' } }], wait: { held: { in_transaction: true } }, needs: [{ name: 'support-leads', members: { any: ['support-leads'] }, quorum: 2 }] }
      : { text: 'TRUNCATE tickets', command: 'TRUNCATE', age: 4_000, hold: 1_800_000, wait: 'async', needs: [{ name: 'dba', members: { any: ['dba'] }, quorum: 1, break_glass: 'dba' }, { name: 'support-leads', members: { any: ['support-leads'] }, quorum: 1 }] }));
  }
}
reset();

function may(request) {
  if (request.state !== 'open') return { approve: { ok: false, why: 'it is decided' }, deny: { ok: false, why: 'it is decided' } };
  if (request.number % 3 === 0) return { approve: { ok: false, why: 'you are in none of the groups that are asked: dba' }, deny: { ok: false, why: 'you are in none of the groups that are asked: dba' }, break_glass: { ok: true } };
  return { approve: { ok: true }, deny: { ok: true }, break_glass: { ok: false, why: 'nobody may break this glass' } };
}

const counts = (allow, deny = 0, rest = {}) => ({ allow, mask: Math.floor(allow / 4), hold: 2, deny, observed: 0, failed: 1, rows: allow * 20, bytes: allow * 900, sessions: 4, strangers: 1, incidents: 0, ...rest });
const own = (value) => state.hostile ?? value;
const auditRow = (seq, verdict = 'allow') => ({ seq, at: iso(now() - (200 - seq) * 37_000), event: 'statement', session: hex('session 1', 32), statement: seq, identity: `corp:${own('support-agent')}`, on_behalf_of: `corp:${own('ada')}`, database: own('shop'), kind: 'select', verdict, sqlstate: verdict === 'deny' ? '42501' : null, result: verdict === 'deny' ? '42501' : 'SELECT 20', why: verdict === 'deny' ? own('filter on column public.customers.ssn is not permitted') : null, relations: [own('public.customers')], rows: verdict === 'deny' ? null : 20, duration_us: 1840, approval: null, ended: true, text: own(['SELECT id, name, email FROM customers ORDER BY id LIMIT 20', 'SELECT count(*) FROM tickets', "UPDATE tickets SET status = 'closed' WHERE id = 12", 'SELECT ssn FROM customers'][seq % 4]), text_is_whole: true });
const rows = (count, verdicts = ['allow', 'mask', 'allow', 'allow', 'deny', 'hold']) => Array.from({ length: count }, (_, at) => auditRow(200 - at, verdicts[at % verdicts.length]));
const refusedNow = (seq) => ({ ...auditRow(seq, 'deny'), rules: [own('support-reads')] });
const reader = () => ({ identity: `corp:${own('support-agent')}`, reads: 311, writes: 2, masked: 40, refused: 3, last: iso(now() - 50_000) });
const who = (it, at = 0) => ({ ...it, identity: `${it.issuer}:${it.subject}`, name: it.name ?? null, owner: it.owner ?? null, on_behalf_of: it.on_behalf_of ? [it.on_behalf_of] : [], databases: ['shop'], first_seen: iso(now() - 8e8), last_seen: iso(now() - at * 9e5), sessions: 14, live: 2, counts: counts(1200 >> at, at ? 0 : 41), refused_last: null, approvals: 3 });

const sessions = () => [1, 2, 3].map((at) => ({ id: hex(`session ${at}`, 32), identity: `corp:${state.hostile ?? ['support-agent', 'analyst', 'support-agent'][at - 1]}`, on_behalf_of: at === 1 ? `corp:${state.hostile ?? 'ada'}` : null, groups: [state.hostile ?? 'support-agents'], method: 'token', user: state.hostile ?? 'ada', database: 'shop', client: `10.20.4.${16 + at}:53112`, application_name: state.hostile ?? ['psql', 'metabase', 'nightly-report'][at - 1], backend_pid: 4100 + at, since: iso(now() - at * 431_000), expires_at: iso(now() + 3_600_000), state: ['held', 'running', 'idle'][at - 1], statement: at < 3 ? 17 : null, statement_since: at < 3 ? iso(now() - 28_000) : null, statements: at * 13, text: at === 1 ? state.hostile ?? TEXT : at === 2 ? state.hostile ?? 'SELECT date_trunc(\'day\', opened_at), count(*)\nFROM tickets GROUP BY 1 ORDER BY 1' : null, approval: at === 1 ? 1 : null })).filter((it) => !state.killed.includes(it.id));

const streams = new Set();
let events = 0;
function send(kind, data) {
  events += 1;
  for (const stream of streams) stream.write(`id: ${events}\nevent: ${kind}\ndata: ${JSON.stringify(data)}\n\n`);
}
setInterval(() => { for (const stream of streams) stream.write('event: beat\ndata: {}\n\n'); }, 5000).unref();

const list = (items, query) => {
  const limit = Math.min(500, Number(query.get('limit') ?? 50));
  const before = Number(query.get('before') ?? Infinity);
  const found = items.filter((it) => (it.number ?? it.seq) < before);
  const shown = found.slice(0, limit);
  return { items: shown, next: found.length > limit ? shown.at(-1).number ?? shown.at(-1).seq : null };
};

const ROUTES = [
  ['GET', /^\/me$/, () => ({ issuer: 'corp', subject: state.hostile ?? 'lead', name: state.hostile, groups: ['support-leads'], roles: state.roles, csrf: 'fixture-token', expires_at: iso(now() + 28_800_000), gateway: { version: '0.1.0' } })],
  ['GET', /^\/overview$/, () => ({
    at: iso(now()), since: iso(now() - 8e7), complete: true, sessions: { live: sessions().length, running: 1, held: 1, in_transaction: 0 }, identities: 3,
    statements: { last_hour: counts(1184, 41), last_day: counts(20_000, 300), minutes: Array.from({ length: 60 }, (_, at) => ({ at: iso(now() - (59 - at) * 60_000), ...counts(Math.round(14 + 9 * Math.sin(at / 6) + (at * 7) % 5)), mask: (at * 3) % 9, hold: at % 13 === 0 ? 1 : 0, deny: at % 11 === 0 ? 3 : at % 7 === 0 ? 1 : 0 })), hours: [] },
    running: sessions().filter((it) => it.statement).map((it) => ({ session: it.id, identity: it.identity, database: it.database, state: it.state, statement: it.statement, for_ms: 28_000, text: it.text })),
    refused: [199, 195, 191, 187].map(refusedNow), incidents: state.hostile ? [{ seq: 3, at: iso(now()), event: 'incident', database: state.hostile, kind: state.hostile, detail: state.hostile }] : [],
  })],
  ['GET', /^\/approvals$/, (_, query) => {
    const wanted = query.get('state');
    const open = [...state.requests.values()].filter((it) => it.state === 'open').length;
    const all = [...state.requests.values()].filter((it) => !wanted || it.state === wanted).filter((it) => !query.get('database') || it.ask.database === query.get('database')).reverse();
    return { ...list(all, query), open };
  }],
  ['GET', /^\/approvals\/(\d+)$/, ([number]) => {
    const request = state.requests.get(Number(number));
    if (!request) return null;
    return { request, text_shown: runs(request.ask.statement.text), may: may(request), session_so_far: rows(5).map((it) => ({ ...it, text: runs(it.text) })), approved_before: [{ number: 90, state: 'used', at: iso(now() - 86_400_000), database: 'shop', same_statement: false, same_shape: true, relations: ['public.tickets'], approved_by: ['corp:lead'], text: runs(state.hostile ?? 'DELETE FROM tickets WHERE id = 4'), text_is_whole: true }], undelivered: state.hostile ? [{ channel: state.hostile }] : [] };
  }],
  ['GET', /^\/approvals\/(\d+)\/plan$/, () => ({ estimates: true, at: iso(now()), lines: (state.hostile ? [state.hostile] : ['Delete on tickets  (cost=8.44..29.11 rows=4 width=12)', '  ->  Hash Semi Join  (cost=8.44..29.11 rows=4 width=12)', '        Hash Cond: (tickets.customer_id = customers.id)', '        ->  Seq Scan on tickets  (cost=0.00..20.50 rows=38 width=18)', "              Filter: ((status = 'open'::text) AND (opened_at < (now() - '90 days'::interval)))", '        ->  Hash  (cost=8.25..8.25 rows=15 width=10)']).map(runs) })],
  ['POST', /^\/approvals\/(\d+)\/count-rows$/, () => ({ relations: [{ relation: own('public.tickets'), inserted: 0, updated: 0, deleted: 38 }], command: 'DELETE 38', notes: state.hostile ? [state.hostile] : [], at: iso(now()) })],
  ['POST', /^\/approvals\/(\d+)\/(approve|deny|break-glass|review|withdraw)$/, ([number, act], _, body) => {
    const request = state.requests.get(Number(number));
    if (request.state !== 'open') return { status: 409, error: 'somebody was faster: it is decided' };
    request.votes.push({ by: LEAD, verdict: act.replace('-', '_'), reason: body.reason ?? null, at: iso(now()), via: 'console', counts_for: request.ask.needs.map((need) => need.name).slice(0, 1) });
    if (act === 'deny') request.state = 'denied';
    else if (request.votes.length >= request.ask.needs[0].quorum) request.state = 'used';
    send('approval', { number: request.number, state: request.state });
    return { request };
  }],
  ['GET', /^\/sessions$/, sessions],
  ['POST', /^\/sessions\/([0-9a-f]+)\/kill$/, ([id]) => { state.killed.push(id); send('session', { id, what: 'ended' }); return { sessions: [id], block: null, failures: [] }; }],
  ['GET', /^\/audit$/, (_, query) => ({ ...list(rows(120).filter((it) => !query.get('verdict') || it.verdict === query.get('verdict')).filter((it) => !query.get('text') || it.text.includes(query.get('text'))), query), searched_to: iso(now() - 8e6), unfinished: false })],
  ['GET', /^\/audit\/(\d+)$/, ([seq]) => ({ row: auditRow(Number(seq), 'deny'), record: { event: 'statement', session: hex('session 1', 32), identity: { issuer: 'corp', subject: own('support-agent'), groups: [own('support-agents')] }, client: '10.20.4.17:53112', application_name: own('psql'), text: auditRow(Number(seq)).text, parameters: [null, { text: own('17') }, { hex: '00ff' }, { withheld_bytes: 9 }] }, hash: hex(`record ${seq}`, 64), touches: [{ action: 'select', kind: 'relation', name: own('public.customers'), columns: ['id', own('ssn')] }], masks: [{ column: own('public.customers.email'), mask: 'email' }], rules: [{ id: own('support-reads'), file: 'support.cedar', line: 2, forbid: false, text: own('permit (principal, action, resource);') }], policy: { seq: 2, at: iso(now() - 9e6), bundle: 'shop', version: own('1'), hash: hex('bundle', 64), refused: null }, policy_is_current: true, before: rows(3), after: rows(2) })],
  ['GET', /^\/identities$/, () => ({ since: iso(now() - 8e7), items: [SUPPORT(), LEAD, { issuer: 'corp', subject: 'analyst', groups: ['analysts'] }].map(who), next: null })],
  ['GET', /^\/identities\/[^/]+\/[^/]+$/, () => ({ identity: who(SUPPORT()), since: iso(now() - 8e7), uses: ['tickets', 'customers'].map((name) => ({ database: 'shop', relation: own(`public.${name}`), column: name === 'customers' ? 'email' : null, ...reader() })), refused: [199, 195].map(refusedNow), may: [{ database: 'shop', bundle: 'shop', version: '1', grants: [{ privilege: 'SELECT', on: own('TABLE public.tickets'), columns: null }, { privilege: 'UPDATE', on: 'TABLE public.tickets', columns: ['status'] }], grants_total: 2, beyond: [own('TRUNCATE of tables that it does not own')], limits: [own('1,000 rows an hour')], unknown: null }] })],
  ['GET', /^\/data$/, () => [{ name: 'shop', known: true, relations: 3, tagged: 1 }]],
  ['GET', /^\/data\/[^/]+$/, () => ({ database: 'shop', known: true, version: '1', hash: hex('bundle', 64), schemas: ['public'], tags: ['pii', own('email')], since: iso(now() - 8e7), items: ['customers', 'orders', 'tickets'].map((name) => ({ schema: 'public', name: own(name), kind: 'table', columns: [{ name: 'id', tags: [], mask: null, readers: [] }, { name: own('email'), tags: name === 'customers' ? ['pii', own('email')] : [], mask: name === 'customers' ? 'email' : null, readers: name === 'customers' ? [reader()] : [] }], last_used: iso(now() - 50_000), users: 1, readers: [reader()] })), next: null })],
  ['GET', /^\/policy$/, () => [{ database: 'shop', bundle: 'shop', version: '1', hash: hex('bundle', 64), since: iso(now() - 9e6), enforced: true, warnings: 0, refused: null }]],
  ['GET', /^\/policy\/[^/]+$/, () => ({ policy: { database: 'shop', bundle: 'shop', version: own('1'), hash: hex('bundle', 64), since: iso(now() - 9e6), enforced: true, warnings: 0, refused: state.hostile }, files: [{ path: 'bundle.toml', text: 'name    = "shop"\nversion = "1"\n' }, { path: own('support.cedar'), text: own('// Support agents read the shop; personal data comes masked.\n@id("support-reads")\npermit (principal in Group::"support-agents", action in Action::"Read", resource in Schema::"shop.public");') }], approvers: [{ name: 'support-leads', group: own('support-leads'), quorum: 1, hold_seconds: 600 }], limits: [own('1,000 rows an hour')], masks: [{ tag: 'email', mask: 'email' }, { tag: 'ssn', mask: 'partial' }], warnings: state.hostile ? [state.hostile] : [], tests_at_load: 11, tests_with_sql: 3, versions: [{ seq: 2, at: iso(now() - 9e6), bundle: 'shop', version: '1', hash: hex('bundle', 64), refused: null }, { seq: 1, at: iso(now() - 9e7), bundle: 'shop', version: '0', hash: hex('old', 64), refused: own('support.cedar:3: unexpected token') }] })],
  ['POST', /^\/policy\/[^/]+\/explain$/, () => ({ status: 'understood', decision: { verdict: 'hold', approvers: [{ name: 'support-leads', group: own('support-leads'), quorum: 1 }], refusal: { sqlstate: '42501', message: own('approval required: delete on relation public.tickets'), detail: null, hint: null }, parts: [{ action: 'delete', resource_type: 'Relation', resource: own('shop.public.tickets'), verdict: 'hold', mask: null, rules: [{ id: own('support-deletes-tickets'), file: 'support.cedar', line: 15, forbid: false }] }, { action: 'select', resource_type: 'Column', resource: 'shop.public.customers.email', verdict: 'mask', mask: { kind: 'email' }, rules: [] }] } })],
  ['POST', /^\/policy\/[^/]+\/test$/, () => ({ version: '1', hash: hex('bundle', 64), passed: false, at_load: 11, with_sql: 3, failures: [own('tests/support.toml: the ssn: expected deny, got mask')] })],
  ['GET', /^\/health$/, () => ({ version: '0.1.0', started: iso(now() - 9e6), ready: !state.notReady, reasons: state.notReady ? [state.notReady] : [], journal: { fault: state.hostile, written: 12004, durable: 12004, lag: 0, views_lag: 0, disk_free: 48e9, disk_total: 96e9 }, upstreams: [{ database: 'shop', last_good: iso(now() - 20_000), last_bad: state.hostile ? iso(now()) : null, why: state.hostile, failing: Boolean(state.hostile) }], issuers: [{ name: 'corp', url: 'https://idp.example.com', keys: 2, keys_age_s: 130, from_file: false }], certificates: [{ what: 'listen.tls', ends: iso(now() + 6e9), days: 69 }], configuration: null, views_complete: true })],
  ['GET', /^\/delegations$/, () => ({ items: state.delegations, next: null })],
  ['POST', /^\/delegations$/, (_, __, body) => { state.delegations.push({ id: randomBytes(4).toString('hex'), from: LEAD, ...body, reason: body.reason, made: iso(now()) }); return {}; }],
  ['DELETE', /^\/delegations\/([0-9a-f]+)$/, ([id]) => { state.delegations = state.delegations.filter((it) => it.id !== id); return {}; }],
];

async function body(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return chunks.length ? JSON.parse(Buffer.concat(chunks).toString()) : {};
}

function json(response, status, value) {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', 'content-security-policy': "default-src 'none'" }).end(JSON.stringify(value));
}

function file(response, name) {
  let content;
  try {
    content = readFileSync(path.join(web, path.normalize(`/${name}`)));
  } catch {
    json(response, 404, { error: 'there is no such file' });
    return;
  }
  response.writeHead(200, { 'content-type': TYPES[name.split('.').at(-1)], 'cache-control': 'no-cache', 'content-security-policy': POLICY, 'x-content-type-options': 'nosniff' }).end(content);
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url, 'http://fixture');
  if (url.pathname.startsWith('/fixture')) {
    const given = await body(request);
    if (url.pathname === '/fixture/event') send(given.kind, given.data);
    else if (url.pathname === '/fixture/drop') for (const stream of streams) stream.destroy();
    else if (url.pathname === '/fixture/open') { const number = Math.max(0, ...state.requests.keys()) + 1; state.requests.set(number, makeRequest(number, given)); send('approval', { number, state: 'open' }); json(response, 200, { number }); return; }
    else { Object.assign(state, given); if ('requests' in given) { state.requests = new Map(); reset(given.requests); } else if ('hostile' in given) reset(); }
    json(response, 200, {});
    return;
  }
  if (url.pathname.startsWith('/assets/')) { file(response, url.pathname.slice(8)); return; }
  if (url.pathname === '/login') { state.signedIn = true; response.writeHead(302, { location: url.searchParams.get('to') }).end(); return; }
  if (url.pathname === '/logout') { state.signedIn = false; json(response, 200, {}); return; }
  if (!url.pathname.startsWith('/api/v1/')) { file(response, 'index.html'); return; }
  if (!state.signedIn) { json(response, 401, { error: 'a log-in is needed' }); return; }
  if (url.pathname === '/api/v1/events') {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    response.write('event: hello\ndata: {}\n\n');
    streams.add(response);
    response.on('close', () => streams.delete(response));
    return;
  }
  if (request.method !== 'GET' && request.headers['x-csrf-token'] !== 'fixture-token') { json(response, 403, { error: 'the token against forged requests is missing' }); return; }
  const route = ROUTES.find(([method, pattern]) => method === request.method && pattern.test(url.pathname.slice(7)));
  const found = route && await route[2](route[1].exec(url.pathname.slice(7)).slice(1), url.searchParams, await body(request));
  if (!found) json(response, 404, { error: 'there is nothing here' });
  else json(response, Number.isInteger(found.status) ? found.status : 200, found);
});
server.listen(Number(process.argv[3] ?? 0), '127.0.0.1', () => console.log(JSON.stringify({ ready: true, port: server.address().port })));
process.stdin.on('end', () => process.exit(0)).on('error', () => process.exit(0)).resume();
