// Plays a recording: what was to be seen, piece by piece, in time, over a timeline of marks. The console uses it, and so does the page that
// is exported, which is alone with it: it imports nothing, asks nobody, and makes no markup of text.
//
// A piece is `{at, statement, kind, text}`: milliseconds since the session began, the statement's number, what it is, and its lines.

/** Kinds that are marks on the timeline; where several fall together, the last of these is seen. */
export const MARKS = ['statement', 'hold', 'error', 'refusal'];
const SPEEDS = [0.5, 1, 2, 5, 10, 50];
/** Pieces that are on the page at once; what is further back is reached by the timeline. */
const DRAWN_MAX = 500;
/** Places on the timeline where a mark can be. */
const PLACES = 600;

/** Which pieces are shown, and when the next is due. Knows no page. */
export class Model {
  /** Times in which nothing happens take no longer than `idle` milliseconds. */
  constructor({ idle = 2000 } = {}) {
    this.idle = idle;
    this.pieces = [];
    this.settled = 0;
    this.shown = 0;
    this.speed = 1;
    this.playing = false;
    /** Milliseconds of the player's time, in which idle times are short. */
    this.clock = 0;
    this.since = 0;
  }

  /** Adds pieces; those of `tail` will be sent again, with more, and are replaced then. */
  add(pieces, tail = []) {
    this.pieces.length = this.settled;
    for (const piece of pieces) this.#push(piece);
    this.settled = this.pieces.length;
    for (const piece of tail) this.#push(piece);
    this.shown = Math.min(this.shown, this.pieces.length);
  }

  #push(piece) {
    const last = this.pieces.at(-1);
    const gap = Math.max(0, piece.at - (last?.at ?? 0));
    this.pieces.push({ ...piece, play: (last?.play ?? 0) + Math.min(gap, this.idle) });
  }

  /** Returns the player's time of the last piece. */
  get length() {
    return this.pieces.at(-1)?.play ?? 0;
  }

  /** Returns the recording's time, in milliseconds. */
  get at() {
    const before = this.pieces[this.shown - 1];
    return (before?.at ?? 0) + Math.max(0, this.clock - (before?.play ?? 0));
  }

  /** Returns the piece that was shown last. */
  get current() {
    return this.pieces[this.shown - 1] ?? null;
  }

  get ended() {
    return this.shown === this.pieces.length;
  }

  play(now) {
    if (this.playing) return;
    if (this.ended) this.start();
    this.playing = true;
    this.since = now;
  }

  pause(now) {
    this.tick(now);
    this.playing = false;
  }

  toggle(now) {
    if (this.playing) this.pause(now);
    else this.play(now);
  }

  /** Lets time pass until `now`; returns whether anything more is shown. */
  tick(now) {
    if (!this.playing) return false;
    this.clock = Math.min(this.length, this.clock + Math.max(0, now - this.since) * this.speed);
    this.since = now;
    const before = this.shown;
    while (this.shown < this.pieces.length && this.pieces[this.shown].play <= this.clock) this.shown += 1;
    if (this.ended) this.playing = false;
    return this.shown !== before;
  }

  faster(by) {
    const at = SPEEDS.indexOf(this.speed) + by;
    this.speed = SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, at))];
  }

  #show(count) {
    this.shown = Math.min(this.pieces.length, Math.max(0, count));
    this.clock = this.current?.play ?? 0;
    return true;
  }

  /** To a player's time. */
  seek(clock) {
    const wanted = Math.min(this.length, Math.max(0, clock));
    let [low, high] = [0, this.pieces.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.pieces[middle].play <= wanted) low = middle + 1;
      else high = middle;
    }
    this.#show(low);
    this.clock = wanted;
  }

  start() {
    this.shown = 0;
    this.clock = 0;
  }

  end() {
    this.#show(this.pieces.length);
  }

  /** Where the statement after piece `at` begins. */
  #endOf(at) {
    const next = this.pieces.findIndex((piece, index) => index > at && piece.kind === 'statement');
    return next < 0 ? this.pieces.length : next;
  }

  #startBefore(count) {
    return this.pieces.findLastIndex((piece, index) => index < count && piece.kind === 'statement');
  }

  /** The next piece of a kind, with all that its statement led to; whether there is one. */
  next(kind) {
    const at = this.pieces.findIndex((piece, index) => index >= this.shown && piece.kind === kind);
    return at >= 0 && this.#show(this.#endOf(at));
  }

  previous(kind) {
    const here = this.#startBefore(this.shown);
    if (kind === 'statement') return here >= 0 && this.#show(here);
    const at = this.pieces.findLastIndex((piece, index) => index < here && piece.kind === kind);
    return at >= 0 && this.#show(this.#endOf(at));
  }

  /** The statement of a number, with all that it led to. */
  statement(number) {
    const at = this.pieces.findIndex((piece) => piece.statement === number && piece.kind === 'statement');
    return at >= 0 && this.#show(this.#endOf(at));
  }

  /** The next piece that has a text, from the beginning again at the end; returns which, or -1. */
  find(words) {
    const wanted = words.toLowerCase();
    if (!wanted) return -1;
    const has = (piece) => piece.text.toLowerCase().includes(wanted);
    let at = this.pieces.findIndex((piece, index) => index >= this.shown && has(piece));
    if (at < 0) at = this.pieces.findIndex(has);
    if (at >= 0) this.#show(at + 1);
    return at;
  }

  /** Returns the marks, at most one for each place of the timeline: `{place, kind, index}`, places from 0 to `places`. */
  marks(places = PLACES) {
    const found = new Map();
    const length = Math.max(1, this.length);
    this.pieces.forEach((piece, index) => {
      const rank = MARKS.indexOf(piece.kind);
      if (rank < 0) return;
      const place = Math.round((piece.play / length) * places);
      const there = found.get(place);
      if (!there || MARKS.indexOf(there.kind) < rank) found.set(place, { place, kind: piece.kind, index });
    });
    return [...found.values()];
  }
}

/** Writes a time of a session. */
export function clock(milliseconds) {
  const all = Math.max(0, Math.floor(milliseconds / 100)) / 10;
  const pad = (count) => String(count).padStart(2, '0');
  const [hours, minutes, seconds] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  const rest = seconds.toFixed(1).padStart(4, '0');
  return hours > 0 ? `${hours}:${pad(minutes)}:${rest}` : `${minutes}:${rest}`;
}

const SVG = 'http://www.w3.org/2000/svg';

function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(key, value === true ? '' : value);
  }
  node.append(...children);
  return node;
}

function drawn(name, attributes) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

/** Shapes of buttons, 20 by 20. */
const SHAPES = {
  play: 'M6 4l11 6-11 6z',
  pause: 'M5 4h3.5v12H5zM11.5 4H15v12h-3.5z',
  back: 'M15 4v12L7 10zM5 4h2v12H5z',
  on: 'M5 4v12l8-6zM13 4h2v12h-2z',
};

function shape(name) {
  const svg = drawn('svg', { viewBox: '0 0 20 20', width: 18, height: 18, 'aria-hidden': 'true' });
  svg.append(drawn('path', { d: SHAPES[name], fill: 'currentColor' }));
  return svg;
}

const KINDS = { refusal: 'refusal', hold: 'hold', error: 'error' };

/**
 * Makes the player's part of a page. Returns `{root, model, changed, act, leave}`: `changed` is to be called after pieces were added,
 * `act` takes a key and says whether it means something, `leave` stops the clock.
 */
export function player({ live = false } = {}) {
  const model = new Model();
  let [from, to] = [0, 0];
  let timer = 0;
  let follow = live;
  const now = () => performance.now();

  const screen = element('div', { class: 'rp-screen', tabindex: '0', role: 'region', 'aria-label': 'What was to be seen' });
  const marks = drawn('svg', { class: 'rp-marks', viewBox: `0 0 ${PLACES} 20`, preserveAspectRatio: 'none', 'aria-hidden': 'true' });
  const slider = element('input', { type: 'range', class: 'rp-slider', min: '0', max: '1000', step: '1', value: '0', 'aria-label': 'Position', oninput: () => { stop(); follow = false; model.seek((slider.valueAsNumber / 1000) * model.length); draw(); } });
  const time = element('span', { class: 'rp-time' });
  const says = element('p', { class: 'rp-says', role: 'status' });
  const toggle = element('button', { type: 'button', class: 'rp-button rp-play', onclick: () => act(' ') });
  const button = (label, key, ...inside) => element('button', { type: 'button', class: 'rp-button', title: label, 'aria-label': label, onclick: () => act(key) }, ...inside);
  const speed = element('select', { class: 'rp-speed', 'aria-label': 'Speed', onchange: () => { model.tick(now()); model.speed = Number(speed.value); wake(); } },
    ...SPEEDS.map((it) => element('option', { value: String(it) }, `${it}×`)));
  speed.value = '1';
  const words = element('input', { type: 'search', class: 'rp-words', placeholder: 'Find a text', 'aria-label': 'Find a text' });
  const search = element('form', { class: 'rp-search', role: 'search', onsubmit: (event) => { event.preventDefault(); find(); } }, words, element('button', { type: 'submit', class: 'rp-button' }, 'Find'));
  const jumps = Object.entries(KINDS).map(([kind, word]) => element('button', { type: 'button', class: `rp-button rp-jump rp-jump-${kind}`, 'data-kind': kind, onclick: () => jump(kind) }, `Next ${word}`));
  const alive = element('button', { type: 'button', class: 'rp-button rp-live', hidden: !live, onclick: () => { follow = true; stop(); model.end(); draw(); } }, 'Live');
  const root = element('div', { class: 'rp' },
    element('div', { class: 'rp-line' }, marks, slider),
    element('div', { class: 'rp-controls', role: 'group', 'aria-label': 'Player' },
      button('Previous statement', 'p', shape('back')), toggle, button('Next statement', 'n', shape('on')), time, speed, ...jumps, alive, search),
    says, screen);

  function node(piece) {
    const pre = element('pre', { class: `rp-piece rp-${piece.kind}` });
    pre.append(piece.text);
    return pre;
  }

  /** Brings the page to what is shown. */
  function draw() {
    const [first, last] = [Math.max(0, model.shown - DRAWN_MAX), model.shown];
    if (last < to || first > to || to === 0) {
      screen.replaceChildren(...model.pieces.slice(first, last).map(node));
      from = first;
    } else {
      screen.append(...model.pieces.slice(to, last).map(node));
      for (; from < first; from += 1) screen.firstChild.remove();
    }
    to = last;
    screen.scrollTop = screen.scrollHeight;
    status();
  }

  function status() {
    slider.value = String(model.length === 0 ? 0 : Math.round((model.clock / model.length) * 1000));
    const current = model.current;
    const total = model.pieces.at(-1)?.at ?? 0;
    time.textContent = `${clock(model.at)} / ${clock(total)}`;
    slider.setAttribute('aria-valuetext', `${clock(model.at)}${current?.statement ? `, statement ${current.statement}` : ''}`);
    toggle.replaceChildren(shape(model.playing ? 'pause' : 'play'));
    const label = model.playing ? 'Pause' : 'Play';
    toggle.setAttribute('aria-label', label);
    toggle.title = label;
    alive.setAttribute('aria-pressed', String(follow && model.ended));
    for (const it of jumps) it.disabled = !model.pieces.some((piece, at) => at >= model.shown && piece.kind === it.dataset.kind);
  }

  function drawMarks() {
    marks.replaceChildren(...model.marks().toSorted((a, b) => MARKS.indexOf(a.kind) - MARKS.indexOf(b.kind)).map((mark) => drawn('rect', {
      x: mark.place - 1, y: mark.kind === 'statement' ? 7 : 1, width: mark.kind === 'statement' ? 2 : 4, height: mark.kind === 'statement' ? 6 : 18, class: `rp-mark rp-mark-${mark.kind}`,
    })));
  }

  /** Waits for the next piece. */
  function wake() {
    clearTimeout(timer);
    if (!model.playing) return;
    timer = setTimeout(() => {
      if (model.tick(now())) draw();
      else status();
      wake();
    }, 50);
  }

  function stop() {
    model.pause(now());
    clearTimeout(timer);
  }

  function tell(text) {
    says.textContent = text;
  }

  function jump(kind) {
    stop();
    follow = false;
    tell(model.next(kind) ? '' : `There is no further ${kind}.`);
    draw();
    show(kind);
  }

  /** Shows the last piece of a kind among those that are there. */
  function show(kind) {
    [...screen.querySelectorAll(`.rp-${kind}`)].at(-1)?.scrollIntoView({ block: 'nearest' });
  }

  function find() {
    stop();
    follow = false;
    const at = model.find(words.value);
    tell(at < 0 ? 'It is nowhere.' : `Found in statement ${model.pieces[at].statement}.`);
    draw();
    if (at >= 0) screen.lastChild?.classList.add('rp-found');
  }

  /** Does what a key means; returns whether it means something. */
  function act(key) {
    const keys = {
      ' ': () => { follow = false; model.toggle(now()); },
      n: () => { stop(); follow = false; tell(model.next('statement') ? '' : 'This is the end.'); },
      p: () => { stop(); follow = false; tell(model.previous('statement') ? '' : 'This is the beginning.'); },
      ArrowRight: () => { model.tick(now()); model.seek(model.clock + 5000); },
      ArrowLeft: () => { follow = false; model.tick(now()); model.seek(model.clock - 5000); },
      Home: () => { follow = false; model.start(); },
      End: () => { model.end(); },
      '+': () => { model.tick(now()); model.faster(1); },
      '-': () => { model.tick(now()); model.faster(-1); },
    };
    if (key === 'r' || key === 'e' || key === 'h') {
      jump({ r: 'refusal', e: 'error', h: 'hold' }[key]);
      return true;
    }
    if (key === '/') {
      words.focus();
      return true;
    }
    if (!keys[key]) return false;
    keys[key]();
    speed.value = String(model.speed);
    draw();
    wake();
    return true;
  }

  function changed() {
    drawMarks();
    if (follow) model.end();
    // The tail may have been replaced.
    to = Math.min(to, model.settled);
    while (screen.childElementCount > to - from) screen.lastChild.remove();
    draw();
  }

  root.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    if (target === words || target === speed || target === slider || (target instanceof HTMLButtonElement && (event.key === ' ' || event.key === 'Enter'))) return;
    if (act(event.key)) {
      event.preventDefault();
      event.stopPropagation();
    }
  });
  draw();
  return { root, model, changed, act, leave: stop, ends: () => { alive.hidden = true; follow = false; } };
}
