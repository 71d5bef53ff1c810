// The inbox: what waits, live, and what became of what was asked before.

import { get } from '../api.js';
import { fill, h, icon } from '../h.js';
import { soon } from '../live.js';
import { line, several } from '../format.js';
import { countdown, empty, failure, heading, loading, since, standing } from '../parts.js';
import { page, request } from '../shapes.js';

const PAGE = 100;

const VIEWS = [
  ['open', 'Waiting', 'open'],
  ['history', 'History', ''],
];

function needs(it) {
  return h('ul', { class: 'needs' }, it.needs.map((need) => h('li', { title: `${need.have} of ${need.wanted}` },
    h('span', { class: 'pips', 'aria-hidden': 'true' }, Array.from({ length: Math.min(need.wanted, 8) }, (_, at) => h('span', { class: at < need.have ? 'pip on' : 'pip' }))),
    h('span', null, `${need.name} ${need.have}/${need.wanted}`))));
}

function entry(it) {
  const open = it.state === 'open' || it.state === 'approved';
  return h('li', { 'data-row': it.number, class: 'entry' },
    h('a', { href: `/approvals/${it.number}`, class: 'entry-link', 'data-key': `approval-${it.number}` },
      h('div', { class: 'entry-when' },
        h('span', { class: 'entry-number' }, `#${it.number}`),
        open ? countdown(it.until) : null,
        open ? null : since(it.opened)),
      h('div', { class: 'entry-what' },
        h('p', { class: 'entry-line' }, h('span', { class: 'command' }, it.statement?.command ?? ''), h('span', { class: 'entry-why' }, it.why)),
        h('code', { class: 'snippet' }, h('bdi', null, line(it.statement?.text ?? '', 220))),
        h('p', { class: 'entry-who' }, h('bdi', null, it.requester.name ?? it.requester.subject), it.requester.on_behalf_of ? [' for ', h('bdi', null, it.requester.on_behalf_of)] : null, ' · ', h('bdi', null, it.database), it.inTransaction ? [' · ', h('strong', { class: 'urgent' }, 'holds locks')] : null)),
      h('div', { class: 'entry-state' }, it.state === 'open' ? needs(it) : standing(it.state), icon('arrow'))));
}

/** The page. */
export async function approvals({ place, listen, signal, query, go }) {
  const view = VIEWS.find(([name]) => name === query.get('view')) ?? VIEWS[0];
  const list = h('ol', { class: 'inbox' });
  const foot = h('div', { class: 'inbox-foot' });
  const lead = h('p', { class: 'lead', 'aria-live': 'polite' });
  const filters = { database: query.get('database') ?? '', requester: query.get('requester') ?? '' };
  let [items, next, busy] = [[], null, false];

  const ask = (before, limit = PAGE) => get(['approvals'], { state: view[2], ...filters, before, limit }, signal);

  function show(total) {
    if (items.length === 0) {
      fill(list, h('li', null, view[0] === 'open' ? empty('check', 'Nothing waits for anybody', 'When a statement needs approval, it appears here by itself.') : empty('approvals', 'Nothing has been asked yet')));
    } else {
      const known = new Map([...list.children].map((node) => [node.dataset.row, node]));
      const nodes = items.map((it) => {
        const as = JSON.stringify([it.state, it.needs, it.until]);
        const old = known.get(String(it.number));
        if (old?.dataset.as === as) return old;
        const fresh = entry(it);
        fresh.dataset.as = as;
        if (!old && known.size > 0) fresh.classList.add('new');
        return fresh;
      });
      arrange(list, nodes);
    }
    const waiting = total ?? items.length;
    if (view[0] === 'open') fill(lead, items.length ? `${several(waiting, 'statement')} ${waiting === 1 ? 'waits' : 'wait'} for somebody to agree.` : 'New requests appear by themselves.');
    fill(foot, next ? h('button', { type: 'button', class: 'button', 'data-key': 'more', onclick: more }, 'Show more') : null);
  }

  async function more() {
    if (busy || !next) return;
    busy = true;
    try {
      const answer = await ask(next);
      const got = page(answer);
      const have = new Set(items.map((it) => it.number));
      items = items.concat(got.items.map(request).filter((it) => !have.has(it.number)));
      next = got.next;
      show(answer.open);
    } catch (error) {
      if (!signal.aborted) fill(foot, failure(error, more));
    } finally {
      busy = false;
    }
  }

  /** Reads the newest again; what stands below stays, but for what is known to be over. */
  async function reload() {
    try {
      const answer = await ask(undefined, PAGE);
      const fresh = page(answer);
      const got = fresh.items.map(request);
      const last = got.at(-1)?.number ?? 0;
      const below = fresh.next === null ? [] : items.filter((it) => it.number < last);
      if (below.length === 0) next = fresh.next;
      items = got.concat(below);
      show(answer.open);
    } catch (error) {
      if (!signal.aborted && error.status) fill(foot, failure(error, reload));
    }
  }

  /** Reads all again that is shown: something was missed. */
  async function resync() {
    const wanted = items.length;
    let [all, before, answer] = [[], undefined, null];
    try {
      do {
        answer = await ask(before, 100);
        all = all.concat(page(answer).items.map(request));
        before = page(answer).next ?? undefined;
      } while (before !== undefined && all.length < wanted);
    } catch (error) {
      if (!signal.aborted && error.status) fill(foot, failure(error, resync));
      return;
    }
    [items, next] = [all, before ?? null];
    show(answer.open);
  }

  const apply = (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(event.target));
    const pairs = Object.entries({ view: view[0] === 'open' ? '' : view[0], ...given }).filter(([, value]) => value);
    go(`/approvals${pairs.length ? `?${new URLSearchParams(pairs)}` : ''}`);
  };
  const form = h('form', { class: 'filters', role: 'search', onsubmit: apply },
    h('div', { class: 'field' }, h('label', { for: 'f-database' }, 'Database'), h('input', { id: 'f-database', name: 'database', value: filters.database, autocomplete: 'off', 'data-search': '' })),
    h('div', { class: 'field' }, h('label', { for: 'f-requester' }, 'Who asks'), h('input', { id: 'f-requester', name: 'requester', value: filters.requester, autocomplete: 'off', placeholder: 'issuer:subject' })),
    h('button', { type: 'submit', class: 'button' }, icon('search'), 'Filter'));
  const filtered = Object.values(filters).some(Boolean);
  fill(place,
    heading('Approvals', { actions: h('nav', { class: 'segments', 'aria-label': 'Which requests' }, VIEWS.map(([name, word]) => h('a', { href: `/approvals${name === 'open' ? '' : `?view=${name}`}`, 'aria-current': name === view[0] ? 'page' : null }, word))) }),
    lead,
    h('details', { class: 'filter-fold', open: filtered }, h('summary', null, 'Filter'), form),
    loading(), list, foot);
  await reload();
  place.querySelector('.loading')?.remove();
  const again = soon(reload, 350);
  const everything = soon(resync, 350);
  listen((event) => {
    if (event.kind === 'resync') everything();
    if (event.kind !== 'approval') return;
    if (view[0] === 'open' && event.data?.state !== 'open') items = items.filter((it) => it.number !== event.data?.number);
    again();
  });
  const watcher = new IntersectionObserver((seen) => { if (seen.some((it) => it.isIntersecting)) more(); }, { rootMargin: '600px' });
  watcher.observe(foot);
  signal.addEventListener('abort', () => watcher.disconnect());
}

/** Puts nodes in order with as few moves as can be, so that focus and scrolling stay. */
function arrange(list, nodes) {
  const wanted = new Set(nodes);
  const focused = document.activeElement?.closest?.('[data-row]');
  const follow = focused && list.contains(focused) && !wanted.has(focused) ? [...list.children].indexOf(focused) : -1;
  for (const node of [...list.children]) if (!wanted.has(node)) node.remove();
  let at = list.firstElementChild;
  for (const node of nodes) {
    if (node === at) at = at.nextElementSibling;
    else list.insertBefore(node, at);
  }
  if (follow >= 0) list.children[Math.min(follow, list.children.length - 1)]?.querySelector('a')?.focus({ preventScroll: true });
}

