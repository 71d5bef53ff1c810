// Who is connected, what runs, and how to end it.

import { get, post } from '../api.js';
import { count, several } from '../format.js';
import { fill, h, icon } from '../h.js';
import { soon } from '../live.js';
import { empty, heading, loading, question, since, tag, toast } from '../parts.js';

const STATES = { idle: ['idle', 'none'], running: ['running', 'allow'], 'idle in transaction': ['in a transaction', 'mask'], 'idle in failed transaction': ['in a failed transaction', 'deny'], held: ['waits for approval', 'hold'] };

function state(it) {
  const [word, colour] = STATES[it.state] ?? [it.state ?? 'connecting', 'none'];
  return h('span', { class: `badge v-${colour}` }, word);
}

function card(it, mayKill, kill) {
  return h('li', { class: `session ${it.state === 'running' ? 'busy' : ''}`, 'data-row': it.id },
    h('div', { class: 'session-head' },
      h('div', { class: 'session-who' }, h('p', { class: 'session-name' }, h('bdi', null, it.identity ?? it.user ?? 'not logged in yet'), it.on_behalf_of ? h('span', { class: 'note' }, ' for ', h('bdi', null, it.on_behalf_of)) : null),
        h('p', { class: 'note' }, h('bdi', null, it.database ?? ''), it.application_name ? [' · ', h('bdi', null, it.application_name)] : null, ' · ', h('span', { class: 'mono' }, it.client ?? ''))),
      h('div', { class: 'session-state' }, state(it), it.statement_since ? since(it.statement_since) : null)),
    it.text ? h('pre', { class: 'session-text', dir: 'ltr', tabindex: 0, role: 'region', 'aria-label': 'The statement that runs' }, h('code', null, it.text)) : it.statement ? h('p', null, h('a', { href: `/audit?session=${encodeURIComponent(it.id)}` }, `statement ${it.statement}`)) : null,
    h('div', { class: 'session-foot' },
      h('p', { class: 'note' }, 'since ', since(it.since), it.statements === null || it.statements === undefined ? null : ` · ${several(it.statements, 'statement')}`, it.backend_pid ? ` · backend ${it.backend_pid}` : null, it.method ? ` · ${it.method}` : null, ' ', (it.groups ?? []).map((group) => [tag(group), ' '])),
      h('div', { class: 'session-acts' },
        it.approval ? h('a', { class: 'button small', href: `/approvals/${it.approval}` }, `Request #${it.approval}`) : null,
        h('a', { class: 'button small', href: `/audit?session=${encodeURIComponent(it.id)}`, 'data-key': `log-${it.id}` }, 'What it did'),
        mayKill ? h('button', { type: 'button', class: 'button small danger', 'data-key': `kill-${it.id}`, onclick: () => kill(it) }, icon('cross'), 'End it') : null)));
}

/** The page. */
export async function sessions({ place, me, signal, listen, keys }) {
  const mayKill = (me.roles ?? []).includes('operator');
  const list = h('ul', { class: 'sessions' });
  const lead = h('p', { class: 'lead' });
  const search = h('input', { id: 'session-search', type: 'search', 'data-search': '', 'aria-label': 'Search sessions', placeholder: 'Identity, database, application, statement…', autocomplete: 'off' });
  let all = [];

  const kill = (it) => question({
    title: 'End this session?', confirm: 'End it', danger: true,
    words: [h('p', null, h('strong', null, h('bdi', null, it.identity ?? it.user ?? it.id)), ' on ', h('bdi', null, it.database ?? '')), h('p', { class: 'note' }, 'What runs is cancelled, an open transaction is rolled back, and the client is told the reason.')],
    field: { label: 'Why', hint: 'The client is shown this, and it goes into the audit trail.', required: true },
    act: async (reason) => {
      const answer = await post(['sessions', it.id, 'kill'], { reason });
      toast(answer.failures?.length ? answer.failures.join('; ') : `${several(answer.sessions?.length ?? 0, 'session')} ended`, answer.failures?.length ? 'bad' : 'plain');
      await load();
    },
  });

  function show() {
    const words = search.value.trim().toLowerCase();
    const found = all.filter((it) => !words || [it.identity, it.user, it.database, it.application_name, it.text, it.id, it.client].some((field) => field?.toLowerCase().includes(words)));
    const busy = all.filter((it) => it.state === 'running').length;
    fill(lead, all.length ? `${several(all.length, 'session')}, ${count(busy)} running a statement.` : 'Nobody is connected.');
    if (found.length === 0) fill(list, h('li', null, all.length ? empty('search', 'No session has that') : empty('sessions', 'Nobody is connected', 'Sessions appear here when agents log in.')));
    else fill(list, found.slice(0, 500).map((it) => card(it, mayKill, kill)), found.length > 500 ? h('li', { class: 'note' }, `and ${count(found.length - 500)} more: search to find them`) : null);
  }

  async function load() {
    const answer = await get(['sessions'], {}, signal);
    all = (Array.isArray(answer) ? answer : answer.items).toSorted((a, b) => Number(b.state === 'running') - Number(a.state === 'running') || String(b.since).localeCompare(String(a.since)));
    show();
  }

  search.addEventListener('input', show);
  fill(place, heading('Sessions', { actions: search }), lead, loading(), list);
  await load();
  place.querySelector('.loading')?.remove();
  const again = soon(() => load().catch((error) => signal.aborted || console.warn(error.message)), 500);
  listen((event) => { if (['session', 'activity', 'approval', 'resync'].includes(event.kind)) again(); });
  const timer = setInterval(again, 5000);
  signal.addEventListener('abort', () => clearInterval(timer));
  keys({ x: mayKill ? { says: 'end the session (asks first)', act: () => {
    const row = document.activeElement?.closest('[data-row]');
    const it = all.find((one) => one.id === row?.dataset.row);
    if (it) kill(it);
  } } : {} });
}
