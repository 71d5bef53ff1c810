// Makes elements. Text only ever becomes text nodes, and characters that hide or reorder text are shown: what strangers
// wrote can't become markup, a script, or look like something else.

const SVG = 'http://www.w3.org/2000/svg';

// Characters of Unicode that show nothing or reorder what stands beside them, and control characters but for tab and newline:
// bidirectional controls, zero-width and format characters, variation selectors, tags, fillers.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/gu;

/** Returns how a character is named: U+202E. */
export function codePoint(character) {
  return `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}`;
}

/** Returns nodes for a text, with hidden characters shown as their numbers. */
export function text(value) {
  const whole = String(value);
  const nodes = [];
  let from = 0;
  for (const found of whole.matchAll(HIDDEN)) {
    if (found.index > from) nodes.push(document.createTextNode(whole.slice(from, found.index)));
    nodes.push(mark(found[0]));
    from = found.index + found[0].length;
  }
  if (from === 0) return [document.createTextNode(whole)];
  if (from < whole.length) nodes.push(document.createTextNode(whole.slice(from)));
  return nodes;
}

function mark(character) {
  const node = document.createElement('span');
  node.className = 'mark mark-hidden';
  node.title = 'a character that can not be seen';
  node.append(document.createTextNode(codePoint(character)));
  return node;
}

/** Returns whether a link stays within the console, or is an ordinary web address. */
function harmless(href) {
  return /^(\/(?!\/)|#|https?:\/\/)/.test(href);
}

function build(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) {
      if (typeof value !== 'function') throw new TypeError(`${name} is not a function`);
      node.addEventListener(name.slice(2), value);
    } else if (name === 'href' && !harmless(String(value))) {
      node.setAttribute('data-refused', 'address');
    } else if (name === 'value' || name === 'checked' || name === 'disabled' || name === 'selected') {
      node[name] = value;
    } else {
      node.setAttribute(name, value === true ? '' : String(value));
    }
  }
  add(node, children);
  return node;
}

function add(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    if (child instanceof Node) node.append(child);
    else node.append(...text(child));
  }
}

/** Makes an HTML element: `h('a', { class: 'x', href: '/y', onclick }, 'text', node, [nodes], null)`. */
export function h(tag, props, ...children) {
  return build(document.createElement(tag), props, children);
}

/** Likewise of SVG. */
export function s(tag, props, ...children) {
  return build(document.createElementNS(SVG, tag), props, children);
}

/** Returns an icon of `icons.svg`; `label` is what it says to those who can't see it. */
export function icon(name, label) {
  const use = s('use', { href: `/assets/icons.svg#${name}` });
  const props = { class: 'icon', width: 20, height: 20 };
  return s('svg', label ? { ...props, role: 'img', 'aria-label': label } : { ...props, 'aria-hidden': 'true' }, use);
}

/** Replaces what an element holds; the focus stays on what has the same `data-key`. */
export function fill(node, ...children) {
  const key = node.contains(document.activeElement) ? document.activeElement.dataset?.key : undefined;
  node.replaceChildren();
  add(node, children);
  if (key !== undefined) node.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
  return node;
}
