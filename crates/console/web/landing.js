// What somebody sees who isn't logged in. Knows where log-in begins, and nothing of what comes after.

import { h, icon } from './h.js';

const WORDS = {
  failed: 'That log-in did not work. Try again; if it happens again, whoever runs the gateway finds the reason in its log.',
  forbidden: 'You are known, but no group of yours has a role here. Whoever runs the gateway gives roles in [operators].',
  expired: 'Your session is over. Log in again to go on where you were.',
  ended: 'You are logged out.',
  unavailable: 'The identity provider can not be reached. Try again in a moment.',
};

/** The landing page; `why` says what became of an earlier log-in. */
export function landing(why) {
  const here = location.pathname + (why === 'expired' ? location.search : '');
  const to = here.startsWith('/') && !here.startsWith('//') ? here : '/';
  const words = WORDS[why];
  return h('main', { class: 'landing' },
    h('div', { class: 'landing-card' },
      h('img', { src: '/assets/favicon.svg', width: 56, height: 56, alt: '' }),
      h('h1', null, 'Gatepost'),
      h('p', { class: 'lead' }, 'Who asks the database for what, and who agreed.'),
      words ? h('p', { class: `landing-words landing-${why}`, role: 'status' }, icon(why === 'ended' ? 'check' : 'warn'), h('span', null, words)) : null,
      h('a', { class: 'button primary big', id: 'login', href: `/login?to=${encodeURIComponent(to)}` }, 'Log in'),
      h('p', { class: 'note' }, 'You log in at your organisation’s identity provider. Gatepost sees no password.')));
}
