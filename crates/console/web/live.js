// What happens at the gateway, as it happens: one stream of server-sent events for all pages, opened again when it is lost.

const EVENTS = ['approval', 'session', 'activity', 'refused', 'delegations', 'policy', 'health'];
/** The gateway says something at least so often; silence for longer means that the connection is dead. */
const SILENCE = 45_000;
const RETRY_FIRST = 500;
const RETRY_MAX = 15_000;

const listeners = new Set();
const watchers = new Set();

let source = null;
let state = 'connecting';
let retry = RETRY_FIRST;
let timer = 0;
let heard = 0;
let beats = false;
let lost = false;

function become(next) {
  if (state === next) return;
  state = next;
  for (const watcher of watchers) watcher(state);
}

function tell(event) {
  for (const listener of listeners) listener(event);
}

function receive(kind, message) {
  heard = Date.now();
  let data = null;
  try {
    data = JSON.parse(message.data);
  } catch {
    // Whatever it was, what is shown may be old.
    tell({ kind: 'resync' });
    return;
  }
  tell({ kind, data });
}

function open() {
  clearTimeout(timer);
  source?.close();
  source = new EventSource('/api/v1/events');
  heard = Date.now();
  source.addEventListener('open', () => {
    retry = RETRY_FIRST;
    heard = Date.now();
    become('live');
    // What was missed is read again.
    if (lost) tell({ kind: 'resync' });
    lost = false;
  });
  source.addEventListener('error', () => again());
  source.addEventListener('beat', () => {
    heard = Date.now();
    beats = true;
  });
  source.addEventListener('resync', () => {
    heard = Date.now();
    tell({ kind: 'resync' });
  });
  for (const kind of EVENTS) source.addEventListener(kind, (message) => receive(kind, message));
}

function again() {
  source?.close();
  source = null;
  lost = true;
  become('lost');
  window.dispatchEvent(new Event('connection-lost'));
  clearTimeout(timer);
  timer = setTimeout(open, retry * (0.75 + Math.random() / 2));
  retry = Math.min(retry * 2, RETRY_MAX);
}

/** Opens the stream, and keeps it open. */
export function start() {
  open();
  setInterval(() => {
    if (source && beats && Date.now() - heard > SILENCE) again();
  }, 5000);
  window.addEventListener('online', () => source || open());
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible' && !source) open();
  });
}

/** Ends the stream. */
export function stop() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

/** Calls for each event `{kind, data}`, and `{kind: 'resync'}` after a gap; returns how to stop that. */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Calls with `connecting`, `live` or `lost`, now and when it changes. */
export function watch(watcher) {
  watchers.add(watcher);
  watcher(state);
  return () => watchers.delete(watcher);
}

/** Returns a function that runs `act` soon, once for many calls. */
export function soon(act, wait = 250) {
  let waiting = 0;
  return () => {
    if (waiting) return;
    waiting = setTimeout(() => {
      waiting = 0;
      act();
    }, wait);
  };
}
