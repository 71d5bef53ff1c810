// The console's pages against the stand-in: everything that they must be, whatever the API says.
//
//   node pages.mjs WEB_FOLDER [PART_OF_A_NAME]

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { COLOURS, DESKTOP, PHONE, accessible, browser, fits, run, settled } from './driver.mjs';

const web = process.argv[2];
const fixture = spawn(process.execPath, [new URL('fixture.mjs', import.meta.url).pathname, web], { stdio: ['pipe', 'pipe', 'inherit'] });
const [line] = await once(fixture.stdout, 'data');
const base = `http://127.0.0.1:${JSON.parse(line).port}`;
const set = (path, value = {}) => fetch(`${base}/fixture${path}`, { method: 'POST', body: JSON.stringify(value) }).then((it) => it.json());

const PAGES = ['/', '/approvals', '/approvals?view=history', '/approvals/1', '/approvals/2', '/approvals/3', '/sessions', '/audit', '/audit/199', '/identities', '/identities/corp/support-agent', '/data/shop', '/policy/shop', '/health', '/delegations', '/nowhere'];

/** Markup, script, an address, an attribute, and characters that deceive: in every field that strangers control. */
const HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script><svg onload=alert(3)>{{7*7}}${alert(4)}\' javascript:alert(5) </textarea></style><a href="javascript:alert(6)">x</a> \u202etxet\u202c a\u200bb p\u0430ypal ';

const chromium = await browser([new URL(base).host]);
const page = await chromium.page();

async function open(path) {
  await page.goto(base + path);
  await settled(page);
}

await run({
  async 'every page is accessible in both themes and fits a phone'() {
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      for (const path of PAGES) {
        await page.setViewportSize(DESKTOP);
        await open(path);
        await accessible(page, `${path} ${colorScheme}`, colorScheme === 'dark' ? COLOURS : null);
        await page.setViewportSize(PHONE);
        await fits(page, `${path} ${colorScheme}`);
        chromium.clean(path);
      }
      await accessible(page, `the last, on a phone, ${colorScheme}`);
    }
    await page.setViewportSize(PHONE);
    await open('/approvals/1');
    await accessible(page, 'a request on a phone');
    await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'no-preference' });
    await page.setViewportSize(DESKTOP);
  },

  async 'the theme is what was chosen, also after loading again'() {
    await open('/');
    const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const light = await ground();
    await page.click('#theme');
    await page.click('#theme');
    assert.notEqual(await ground(), light);
    await open('/health');
    assert.notEqual(await ground(), light);
    await page.click('#theme');
    assert.equal(await ground(), light);
  },

  async 'what strangers wrote is text, and what deceives is marked'() {
    await set('', { hostile: HOSTILE });
    for (const path of PAGES) {
      await open(path);
      for (const details of await page.$$('details')) await details.evaluate((it) => { it.open = true; });
      const made = await page.evaluate(() => ({
        elements: document.querySelectorAll('img:not([src^="/assets/"]), script:not([src^="/assets/"]), iframe, object, embed, style, [onerror], [onload], [style]').length,
        links: [...document.querySelectorAll('a[href]')].map((it) => it.protocol).filter((it) => it !== 'http:'),
        hidden: document.body.innerText.match(/[\u202a-\u202e\u2066-\u2069\u200b]/g),
      }));
      assert.deepEqual(made, { elements: 0, links: [], hidden: null }, path);
      await page.setViewportSize(PHONE);
      await fits(page, `${path} hostile`);
      await page.setViewportSize(DESKTOP);
      chromium.clean(path);
    }
    await open('/policy/shop');
    await page.fill('#try-sql', HOSTILE);
    await page.click('#try button[type=submit]');
    await page.waitForSelector('.explained');
    await page.click('#run-tests');
    await page.waitForSelector('#tests .why-not');
    await open('/approvals/1');
    assert.ok(await page.isVisible('.mark-bidi'));
    assert.match(await page.innerText('.warning'), /can’t be seen.*looks like another/);
    const shown = await page.innerText('.statement');
    for (const part of ['<img src=x onerror=alert(1)>', 'U+202E', 'U+200B', 'U+0430']) assert.ok(shown.includes(part), `${part}: ${shown}`);
    // A reason that is a script, and back.
    await page.keyboard.press('d');
    await page.fill('#question-text', HOSTILE.slice(0, 300));
    await page.click('dialog button[type=submit]');
    await page.waitForSelector('#outcome');
    await open('/approvals/2');
    chromium.clean('reasons');
    await set('', { hostile: null });
  },

  async 'a request is approved with nothing but the keyboard'() {
    await open('/');
    await page.keyboard.press('g');
    await page.keyboard.press('a');
    await page.waitForURL(`${base}/approvals`);
    await page.waitForSelector('[data-row="1"]');
    await settled(page);
    for (const key of ['j', 'j', 'j']) await page.keyboard.press(key);
    await page.waitForFunction(() => document.activeElement.closest('[data-row]'));
    await page.keyboard.press('Enter');
    await page.waitForSelector('#act-approve');
    await settled(page);
    await page.keyboard.press('a');
    await page.waitForSelector('dialog[open]');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'question-text');
    await page.keyboard.type('looked at it');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    assert.match(await page.evaluate(() => document.activeElement.textContent), /Approve/);
    await page.keyboard.press('Enter');
    await page.waitForSelector('#outcome');
    assert.match(await page.innerText('#story'), /looked at it/);
    await page.keyboard.press('u');
    await page.waitForSelector('[data-row="2"]');
    await page.waitForFunction(() => !document.querySelector('[data-row="1"]'));
    await page.keyboard.press('?');
    await page.waitForSelector('dialog[open] .keys');
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => !document.querySelector('dialog'));
  },

  async 'the skip link is first, and goes to the content'() {
    await open('/audit');
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => document.activeElement.tagName), 'H1');
  },

  async 'who may not is told why'() {
    await set('', { requests: 3 });
    await open('/approvals/3');
    assert.ok(await page.isDisabled('#act-approve'));
    assert.match(await page.innerText('#why-not'), /none of the groups/);
    await page.keyboard.press('a');
    await page.waitForSelector('.toast-bad');
    assert.equal(await page.$('dialog'), null);
    await page.click('#act-break-glass');
    await page.click('dialog button[type=submit]');
    assert.ok(await page.isVisible('dialog[open]'), 'a reason is required');
  },

  async 'pages that need a role are not offered to who lacks it'() {
    await set('', { roles: ['viewer', 'approver'] });
    await open('/');
    assert.equal(await page.$('[data-nav=audit]'), null);
    await open('/audit');
    assert.match(await page.innerText('.failure'), /needs the role auditor/);
    await open('/policy/shop');
    assert.equal(await page.$('#try-sql'), null);
    await set('', { roles: ['viewer', 'approver', 'auditor', 'operator'] });
  },

  async 'somebody who was faster is seen at once'() {
    chromium.expect(/status of 409/);
    await open('/approvals/2');
    await page.keyboard.press('a');
    const token = { 'x-csrf-token': 'fixture-token', 'content-type': 'application/json' };
    await fetch(`${base}/api/v1/approvals/2/deny`, { method: 'POST', headers: token, body: '{"reason":"not today"}' });
    await page.waitForSelector('#outcome');
    await page.click('dialog button[type=submit]');
    await page.waitForFunction(() => document.querySelector('dialog .problem')?.textContent.includes('faster'));
    await page.keyboard.press('Escape');
    assert.match(await page.innerText('#outcome'), /not today/);
  },

  async 'a lost connection is told, and what was missed is read again'() {
    chromium.expect(/ERR_(INCOMPLETE_CHUNKED_ENCODING|EMPTY_RESPONSE|CONNECTION_RESET|FAILED)/);
    await set('', { requests: 2 });
    await open('/approvals');
    await page.waitForSelector('#connection[data-state=live]');
    await set('/drop');
    await page.waitForSelector('#connection[data-state=lost]');
    assert.match(await page.innerText('#connection'), /reconnecting/);
    await set('/open', {});
    await page.waitForSelector('#connection[data-state=live]');
    await page.waitForSelector('[data-row="3"]');
  },

  async 'a thousand requests are usable'() {
    await set('', { requests: 1000 });
    await open('/approvals');
    assert.match(await page.innerText('.lead'), /1,000 statements wait/);
    assert.ok((await page.$$('.entry')).length < 200, 'only what is near is there');
    const { number } = await set('/open', { command: 'DELETE' });
    await page.waitForSelector(`[data-row="${number}"]`);
    // Down to the oldest, whose page is the last.
    for (let round = 0; round < 60 && !(await page.$('[data-row="1"]')); round += 1) {
      const before = (await page.$$('.entry')).length;
      await page.evaluate(() => window.scrollTo(0, document.body.scrollHeight));
      await page.waitForFunction((had) => document.querySelectorAll('.entry').length > had, before);
    }
    assert.equal((await page.$$('.entry')).length, 1001);
    const from = Date.now();
    await set('/open', {});
    await page.waitForSelector('[data-row="1002"]', { state: 'attached' });
    assert.ok(Date.now() - from < 5000, 'a new one among a thousand appears soon');
    await set('', { requests: 3 });
  },

  async 'a log-out ends it, and a log-in comes back to where one was'() {
    chromium.expect(/status of 401/);
    await open('/approvals/2');
    await page.click('#logout');
    await page.waitForSelector('#login');
    assert.match(await page.innerText('.landing-words'), /logged out/);
    await page.goto(`${base}/approvals/2`);
    await page.waitForSelector('#login');
    await accessible(page, 'landing');
    await page.click('#login');
    await page.waitForSelector('#act-approve');
    assert.equal(new URL(page.url()).pathname, '/approvals/2');
  },

  async 'a session is ended after a question'() {
    await open('/sessions');
    const first = await page.getAttribute('[data-row]', 'data-row');
    await page.click(`[data-key="kill-${first}"]`);
    await page.click('dialog button[type=submit]');
    assert.ok(await page.isVisible('dialog[open]'), 'a reason is required');
    await page.fill('#question-text', 'it runs amok');
    await page.click('dialog button[type=submit]');
    await page.waitForFunction((id) => !document.querySelector(`[data-row="${id}"]`), first);
  },
}, process.argv[3]);

await chromium.close();
fixture.stdin.end();
console.log('all passed');
