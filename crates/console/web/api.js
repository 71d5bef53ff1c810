// Asks the JSON API. Knows paths' form, the session's token against forged requests, and errors; no page.

import { learnTime } from './format.js';

const BASE = '/api/v1';
const TIMEOUT = 30_000;

let csrf = '';

/** What the API answered instead of what was asked for. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Takes the token that requests which change something must carry. */
export function useToken(token) {
  csrf = token ?? '';
}

async function ask(method, path, body, signal) {
  const headers = { accept: 'application/json' };
  if (method !== 'GET') headers['x-csrf-token'] = csrf;
  if (body !== undefined) headers['content-type'] = 'application/json';
  const limit = AbortSignal.timeout(TIMEOUT);
  const response = await fetch(path, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    credentials: 'same-origin',
    cache: 'no-store',
    redirect: 'error',
    signal: signal ? AbortSignal.any([signal, limit]) : limit,
  }).catch((error) => {
    if (error.name === 'AbortError') throw error;
    throw new Refused(0, 'the gateway can not be reached');
  });
  learnTime(response.headers.get('date'));
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer;
  if (response.status === 401) window.dispatchEvent(new Event('signed-out'));
  throw new Refused(response.status, answer?.error ?? `the gateway answered ${response.status}`);
}

/** Writes a path's segments and a query: `at(['approvals', 7], { state: 'open' })`. */
export function at(segments, query = {}) {
  const path = segments.map((it) => encodeURIComponent(it)).join('/');
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '');
  return `${BASE}/${path}${pairs.length ? `?${new URLSearchParams(pairs)}` : ''}`;
}

export const get = (segments, query, signal) => ask('GET', at(segments, query), undefined, signal);
export const post = (segments, body = {}) => ask('POST', at(segments), body);
export const remove = (segments) => ask('DELETE', at(segments));
export const logout = () => ask('POST', '/logout', {});
