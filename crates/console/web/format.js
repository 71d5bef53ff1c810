// Times, durations, counts and names as people read them. Knows nothing of what they belong to.

/** How far this machine's clock is behind the gateway's, in milliseconds. */
let behind = 0;

/** Learns the gateway's time from an answer's Date header (RFC 9110 6.6.1), which counts whole seconds. */
export function learnTime(date) {
  const theirs = Date.parse(date ?? '');
  if (Number.isNaN(theirs)) return;
  const difference = theirs + 500 - Date.now();
  behind = Math.abs(difference) < 2000 ? 0 : difference;
}

/** Returns the gateway's time. */
export function now() {
  return Date.now() + behind;
}

/** Returns milliseconds since 1970 of an RFC 3339 time, or of a number of milliseconds. */
export function moment(time) {
  return typeof time === 'number' ? time : Date.parse(time);
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const DAY = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const WHOLE = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'long' });
const COUNT = new Intl.NumberFormat('en');

/** Returns a time of day, with the day if it is another than today. */
export function clock(time) {
  const date = new Date(moment(time));
  if (Number.isNaN(date.getTime())) return '';
  const today = new Date(now()).toDateString() === date.toDateString();
  return today ? CLOCK.format(date) : `${DAY.format(date)} ${CLOCK.format(date)}`;
}

/** Returns a time in full. */
export function whole(time) {
  const date = new Date(moment(time));
  return Number.isNaN(date.getTime()) ? '' : WHOLE.format(date);
}

/** Returns a duration in its two largest units: `4 min 10 s`. */
export function duration(milliseconds) {
  const all = Math.max(0, Math.floor(milliseconds / 1000));
  const units = [[Math.floor(all / 86400), 'd'], [Math.floor(all / 3600) % 24, 'h'], [Math.floor(all / 60) % 60, 'min'], [all % 60, 's']];
  const first = units.findIndex(([count]) => count > 0);
  if (first < 0) return '0 s';
  return units.slice(first, first + 2).filter(([count]) => count > 0).map(([count, unit]) => `${count} ${unit}`).join(' ');
}

/** Returns what is left of a time as a clock does: `09:32`, `1:02:03`. */
export function left(until) {
  const all = Math.max(0, Math.ceil((moment(until) - now()) / 1000));
  const pad = (count) => String(count).padStart(2, '0');
  const [hours, minutes, seconds] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  return hours > 0 ? `${hours}:${pad(minutes)}:${pad(seconds)}` : `${pad(minutes)}:${pad(seconds)}`;
}

/** Returns how long ago something was. */
export function ago(time) {
  const passed = now() - moment(time);
  return passed < 2000 ? 'just now' : `${duration(passed)} ago`;
}

/** Returns a count with its thousands apart. */
export function count(number) {
  return number === null || number === undefined ? '' : COUNT.format(number);
}

/** Returns `1 row`, `2 rows`. */
export function several(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** Returns bytes as people read them. */
export function bytes(number) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let [value, unit] = [number, 0];
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

/** Returns the beginning of a text in one line. For lists only: what is decided about is shown whole. */
export function line(value, length = 160) {
  const one = value.slice(0, length * 4).replace(/\s+/g, ' ').trim();
  const characters = [...one];
  return characters.length > length ? `${characters.slice(0, length).join('')}…` : one;
}
