// Starts the console: who is there, the frame around all pages, and which page a path is.

import { get, logout, Refused, useToken } from './api.js';
import { fill, h, icon } from './h.js';
import { pageKeys, showKeys, start as startKeys } from './keys.js';
import { landing } from './landing.js';
import * as live from './live.js';
import { failure, heading, loading, tick, toast } from './parts.js';
import { approval } from './pages/approval.js';
import { approvals } from './pages/approvals.js';
import { audit } from './pages/audit.js';
import { data } from './pages/data.js';
import { delegations } from './pages/delegations.js';
import { health } from './pages/health.js';
import { identities, identity } from './pages/identities.js';
import { overview } from './pages/overview.js';
import { policy } from './pages/policy.js';
import { record } from './pages/record.js';
import { sessions } from './pages/sessions.js';

/** Path segments, the page that they are, and which role it needs; `:name` stands for any one segment. */
const ROUTES = [
  ['', 'Overview', overview],
  ['approvals', 'Approvals', approvals],
  ['approvals/:number', 'Approval', approval],
  ['sessions', 'Sessions', sessions],
  ['audit', 'Audit', audit, 'auditor'],
  ['audit/:seq', 'Record', record, 'auditor'],
  ['identities', 'Identities', identities, 'auditor'],
  ['identities/:issuer/:subject', 'Identity', identity, 'auditor'],
  ['data', 'Data', data],
  ['data/:database', 'Data', data],
  ['policy', 'Policy', policy],
  ['policy/:database', 'Policy', policy],
  ['health', 'System', health],
  ['delegations', 'Away', delegations, 'approver'],
];

const NAVIGATION = [
  ['/', 'overview', 'Overview'],
  ['/approvals', 'approvals', 'Approvals'],
  ['/sessions', 'sessions', 'Sessions'],
  ['/audit', 'audit', 'Audit'],
  ['/identities', 'identities', 'Identities'],
  ['/data', 'data', 'Data'],
  ['/policy', 'policy', 'Policy'],
  ['/health', 'health', 'System'],
];

const app = document.getElementById('app');
let me = null;
let main = null;
let shown = null;
/** The first page leaves the focus where the browser has it, so that the skip link comes first. */
let first = true;
let openCount = 0;

function match(path) {
  const segments = path.split('/').filter(Boolean);
  for (const [pattern, title, page, needs] of ROUTES) {
    const parts = pattern.split('/').filter(Boolean);
    if (parts.length !== segments.length) continue;
    const params = {};
    const fits = parts.every((part, at) => {
      if (!part.startsWith(':')) return part === segments[at];
      try {
        params[part.slice(1)] = decodeURIComponent(segments[at]);
      } catch {
        return false;
      }
      return true;
    });
    if (fits) return { title, page, params, needs };
  }
  return null;
}

/** Whether somebody may see what needs a role; the API has the last word. */
function may(needs) {
  const roles = me.roles ?? [];
  return !needs || roles.includes(needs) || (needs === 'approver' && roles.includes('auditor'));
}

/** Opens a page of the console. */
export function go(path, { replace = false } = {}) {
  const url = new URL(path, location.origin);
  if (url.origin !== location.origin) return;
  if (replace) history.replaceState(null, '', url);
  else history.pushState(null, '', url);
  show();
}

async function show() {
  shown?.leave();
  const found = match(location.pathname);
  document.title = `${found?.title ?? 'Not here'} · Gatepost`;
  for (const link of document.querySelectorAll('[data-nav]')) {
    const to = link.getAttribute('href');
    const here = to === '/' ? location.pathname === '/' : location.pathname.startsWith(to);
    if (here) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  closeMenu();
  pageKeys({});
  const leaving = new AbortController();
  const place = h('div', { class: 'page' });
  const heard = [];
  shown = {
    leave() {
      leaving.abort();
      for (const stop of heard) stop();
    },
  };
  fill(main, place);
  main.setAttribute('aria-busy', 'true');
  window.scrollTo(0, 0);
  if (!found) {
    main.removeAttribute('aria-busy');
    fill(place, heading('Nothing is here'), h('p', { class: 'note' }, 'The address leads nowhere. ', h('a', { href: '/' }, 'Go to the overview'), '.'));
    return;
  }
  if (!may(found.needs ?? 'viewer')) {
    main.removeAttribute('aria-busy');
    fill(place, heading(found.title), failure(new Refused(403, `It needs the role ${found.needs ?? 'viewer'}.`)));
    return;
  }
  const context = {
    me, go, place, params: found.params, signal: leaving.signal, query: new URLSearchParams(location.search),
    title: (title) => { document.title = `${title} · Gatepost`; },
    keys: pageKeys,
    /** Calls for what happens at the gateway while the page is shown. */
    listen: (listener) => { heard.push(live.listen((event) => { if (!leaving.signal.aborted) listener(event); })); },
  };
  fill(place, heading(found.title), loading());
  try {
    await found.page(context);
    if (!first && !leaving.signal.aborted && document.activeElement === document.body) place.querySelector('h1')?.focus({ preventScroll: true });
  } catch (error) {
    if (leaving.signal.aborted || error.name === 'AbortError') return;
    if (!(error instanceof Refused)) console.error(error);
    fill(place, heading(found.title), failure(error, error.status === 403 ? null : show));
  } finally {
    first = false;
    // Another page may have been opened meanwhile, which is busy itself.
    if (!leaving.signal.aborted) main.removeAttribute('aria-busy');
  }
}

const THEMES = { auto: ['auto', 'as the system'], light: ['sun', 'light'], dark: ['moon', 'dark'] };

function themeButton() {
  const names = Object.keys(THEMES);
  const button = h('button', { type: 'button', class: 'ghost', id: 'theme' });
  const label = () => {
    const chosen = document.documentElement.dataset.theme ?? 'auto';
    const words = `Theme: ${THEMES[chosen][1]}`;
    fill(button, icon(THEMES[chosen][0]), h('span', { class: 'nav-word' }, words));
    button.setAttribute('aria-label', `${words}. Change it`);
  };
  button.addEventListener('click', () => {
    const next = names[(names.indexOf(document.documentElement.dataset.theme ?? 'auto') + 1) % names.length];
    if (next === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem('theme', next);
    } catch {
      // It lasts until the page is closed.
    }
    label();
  });
  label();
  return button;
}

function closeMenu() {
  document.getElementById('side')?.classList.remove('open');
  document.getElementById('menu')?.setAttribute('aria-expanded', 'false');
}

function navigation() {
  const needed = new Map(ROUTES.map(([path, , , needs]) => [`/${path}`, needs]));
  return NAVIGATION.filter(([href]) => may(needed.get(href))).map(([href, picture, word]) => h('a', { href, class: 'nav', 'data-nav': picture }, icon(picture), h('span', { class: 'nav-word' }, word),
    picture === 'approvals' ? h('span', { class: 'nav-count', 'data-open-count': '', hidden: true }) : null));
}

function frame() {
  const out = async () => {
    try {
      await logout();
    } catch (error) {
      toast(error.message, 'bad');
      return;
    }
    live.stop();
    location.assign('/?login=ended');
  };
  const connection = h('div', { class: 'connection', role: 'status', id: 'connection' });
  const menu = h('button', { type: 'button', class: 'ghost menu', id: 'menu', 'aria-expanded': 'false', 'aria-controls': 'side', onclick: () => {
    const open = document.getElementById('side').classList.toggle('open');
    menu.setAttribute('aria-expanded', String(open));
  } }, icon('more', 'Menu'));
  main = h('main', { id: 'main' });
  fill(app,
    h('a', { class: 'skip', href: '#main', onclick: (event) => { event.preventDefault(); (main.querySelector('h1') ?? main).focus(); } }, 'Skip to the content'),
    h('header', { class: 'top' },
      h('a', { href: '/', class: 'brand', 'aria-label': 'Gatepost, overview' }, h('img', { src: '/assets/favicon.svg', width: 28, height: 28, alt: '' }), h('span', null, 'Gatepost')),
      connection,
      menu),
    h('nav', { id: 'side', class: 'side', 'aria-label': 'Console' },
      h('div', { class: 'side-main' }, navigation()),
      h('div', { class: 'side-foot' },
        !may('approver') ? null : h('a', { href: '/delegations', class: 'nav', 'data-nav': 'delegations' }, icon('delegations'), h('span', { class: 'nav-word' }, 'I am away')),
        themeButton(),
        h('button', { type: 'button', class: 'ghost', onclick: showKeys }, icon('keys'), h('span', { class: 'nav-word' }, 'Shortcuts')),
        h('div', { class: 'self' },
          h('div', null, h('p', { class: 'self-name' }, me.name ?? me.subject), h('p', { class: 'self-roles' }, (me.roles ?? []).join(', ') || 'no role')),
          h('button', { type: 'button', class: 'ghost', onclick: out, id: 'logout' }, icon('out', 'Log out'))))),
    main,
    h('div', { id: 'toasts', role: 'status', 'aria-live': 'polite' }));
  live.watch((state) => {
    connection.dataset.state = state;
    fill(connection, h('span', { class: 'dot' }), { live: 'live', connecting: 'connecting', lost: 'Connection lost, reconnecting. What you see may be old.' }[state]);
  });
}

/** Shows in the navigation how many requests wait. */
async function countOpen() {
  try {
    const answer = await get(['approvals'], { state: 'open', limit: 1 });
    openCount = answer.open ?? answer.total ?? answer.approvals?.length ?? 0;
  } catch {
    return;
  }
  for (const node of document.querySelectorAll('[data-open-count]')) {
    node.hidden = openCount === 0;
    node.textContent = openCount > 999 ? '999+' : String(openCount);
    node.setAttribute('aria-label', `${openCount} waiting`);
  }
}

function followLinks() {
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target.closest?.('a[href]');
    if (link) {
      const to = new URL(link.href);
      if (to.origin !== location.origin || link.target || /^\/(login|api|assets|metrics)(\/|$)/.test(to.pathname) || link.getAttribute('href').startsWith('#')) return;
      event.preventDefault();
      go(to.pathname + to.search);
      return;
    }
    const row = event.target.closest?.('[data-href]');
    if (row && !event.target.closest('button,input,select,textarea,label') && getSelection().isCollapsed) go(row.dataset.href);
  });
  addEventListener('popstate', show);
}

function signedOut() {
  live.stop();
  shown?.leave();
  shown = null;
  if (me) {
    me = null;
    fill(app, landing('expired'));
  }
}

async function begin() {
  try {
    me = await get(['me']);
  } catch (error) {
    fill(app, error.status === 401 ? landing(new URLSearchParams(location.search).get('login')) : h('main', { class: 'boot' }, failure(error, begin)));
    return;
  }
  useToken(me.csrf);
  frame();
  startKeys(go);
  followLinks();
  addEventListener('signed-out', signedOut);
  addEventListener('connection-lost', () => { get(['me']).then((it) => useToken(it.csrf), () => {}); });
  const recount = live.soon(countOpen, 400);
  live.listen((event) => { if (event.kind === 'approval' || event.kind === 'resync') recount(); });
  live.start();
  setInterval(tick, 1000);
  countOpen();
  await show();
}

begin();
