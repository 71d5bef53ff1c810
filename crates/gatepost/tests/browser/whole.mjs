// The console against a real gateway, a real OpenID provider and stock psql: from log-in to the statement that goes on.
//
//   node whole.mjs '{"base", "issuer", "psql", "environment"}'

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { COLOURS, DESKTOP, PHONE, accessible, browser, fits, run, settled } from './driver.mjs';

const { base, issuer, psql, environment } = JSON.parse(process.argv[2]);
const hosts = [new URL(base).host, new URL(issuer).host];
const chromium = await browser(hosts);
const lead = await chromium.page();
// What a browser says of the answer to somebody who is not logged in.
chromium.expect(/status of 401/);
// A statement without a plan.
chromium.expect(/status of 4\d\d.*\/plan$/);

/** Runs SQL with psql; resolves to what became of it. */
function client(sql, name = 'psql') {
  const child = spawn(psql, ['-XAt', '-v', 'ON_ERROR_STOP=1', '-c', sql], { env: { ...environment, PGAPPNAME: name, PATH: process.env.PATH } });
  const said = { stdout: '', stderr: '', ended: false };
  child.stdout.on('data', (data) => { said.stdout += data; });
  child.stderr.on('data', (data) => { said.stderr += data; });
  said.end = new Promise((resolve) => { child.on('close', (status) => { said.ended = true; resolve({ status, ...said }); }); });
  said.child = child;
  return said;
}

async function logIn(page, path, name) {
  await page.goto(base + path);
  await page.click('#login');
  await page.fill('input[name=name]', name);
  await page.click('button');
  await settled(page);
  assert.equal(new URL(page.url()).pathname, path);
}

const HOSTILE = `DELETE FROM tickets WHERE id = 2 -- <img src=x onerror=alert(1)> \u202e<script>alert(2)</script>`;

await run({
  async 'somebody logs in and comes back to where they were'() {
    await lead.goto(`${base}/approvals`);
    await lead.waitForSelector('#login');
    await accessible(lead, 'landing');
    await logIn(lead, '/approvals', 'lead');
    await lead.waitForSelector('#connection[data-state=live]');
    assert.match(await lead.innerText('main'), /Nothing waits for anybody/);
  },

  async 'a statement appears by itself, is approved, and goes on'() {
    const waiting = client('DELETE FROM tickets WHERE id = 1 RETURNING id', '"><script>alert(3)</script>');
    await lead.waitForSelector('[data-row]');
    assert.match(await lead.innerText('[data-row]'), /DELETE FROM tickets WHERE id = 1/);
    await lead.click('[data-row] a');
    await settled(lead);
    await accessible(lead, 'a request');
    assert.match(await lead.innerText('.statement'), /DELETE FROM tickets WHERE id = 1 RETURNING id/);
    assert.match(await lead.innerText('#who'), /corp:support-agent/);
    assert.match(await lead.innerText('main'), /"><script>alert\(3\)<\/script>/);
    await lead.waitForFunction(() => /Delete on tickets/.test(document.querySelector('.plan')?.textContent));
    assert.equal(waiting.ended, false);
    await lead.click('#act-approve');
    await lead.click('dialog button[type=submit]');
    const done = await waiting.end;
    assert.equal(done.status, 0, done.stderr);
    assert.match(done.stdout, /^1\n/);
    await lead.waitForSelector('#outcome');
    chromium.clean('approved');
  },

  async 'what deceives is marked, and who is denied is told why'() {
    const waiting = client(HOSTILE);
    await lead.goto(`${base}/approvals`);
    await lead.click('[data-row] a');
    await settled(lead);
    assert.ok(await lead.isVisible('.mark-bidi'));
    assert.match(await lead.innerText('.statement'), /<img src=x onerror=alert\(1\)>/);
    await lead.setViewportSize(PHONE);
    await fits(lead, 'a hostile request');
    // With one thumb.
    await lead.click('#act-deny');
    await lead.fill('#question-text', 'one at a time, please');
    await lead.click('dialog button[type=submit]');
    const done = await waiting.end;
    assert.notEqual(done.status, 0);
    assert.match(done.stderr, /one at a time, please/);
    await lead.setViewportSize(DESKTOP);
    chromium.clean('denied');
  },

  async 'the keyboard is enough'() {
    const waiting = client('DELETE FROM tickets WHERE id = 4');
    await lead.goto(`${base}/approvals`);
    await lead.waitForSelector('[data-row]');
    await settled(lead);
    await lead.keyboard.press('j');
    await lead.waitForFunction(() => document.activeElement.closest('[data-row]'));
    await lead.keyboard.press('Enter');
    await lead.waitForSelector('#act-approve');
    await settled(lead);
    assert.match(await lead.innerText('#before'), /#1/);
    await lead.keyboard.press('a');
    await lead.waitForSelector('dialog[open]');
    await lead.keyboard.press('Control+Enter');
    const done = await waiting.end;
    assert.equal(done.status, 0, done.stderr);
  },

  async 'a client that gives up is gone from the inbox'() {
    const waiting = client('DELETE FROM tickets WHERE id = 2');
    await lead.goto(`${base}/approvals`);
    await lead.waitForSelector('[data-row]');
    waiting.child.kill('SIGINT');
    const done = await waiting.end;
    assert.match(done.stderr, /cancel/i);
    await lead.waitForFunction(() => !document.querySelector('[data-row]'));
  },

  async 'an operator ends a session that waits'() {
    await lead.click('#logout');
    await lead.waitForSelector('#login');
    await chromium.context.clearCookies();
    await logIn(lead, '/sessions', 'admin');
    const waiting = client('DELETE FROM tickets WHERE id = 2');
    await lead.waitForSelector('[data-row]');
    await lead.click('[data-key^=kill-]');
    await lead.fill('#question-text', 'nobody answers');
    await lead.click('dialog button[type=submit]');
    const done = await waiting.end;
    assert.notEqual(done.status, 0);
    assert.match(done.stderr, /nobody answers/);
    await lead.waitForFunction(() => !document.querySelector('[data-row]'));
    chromium.clean('killed');
  },

  async 'every page shows what there is'() {
    for (const colorScheme of ['light', 'dark']) {
      await lead.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      for (const path of ['/', '/approvals?view=history', '/approvals/1', '/sessions', '/audit', '/identities', '/identities/corp/support-agent', '/data/shop', '/policy/shop', '/health', '/delegations']) {
        await lead.goto(base + path);
        await settled(lead);
        assert.equal(await lead.$('.failure'), null, `${path}: ${await lead.innerText('main')}`);
        await accessible(lead, `${path} ${colorScheme}`, colorScheme === 'dark' ? COLOURS : null);
        chromium.clean(path);
      }
    }
    await lead.emulateMedia({ colorScheme: 'light', reducedMotion: 'no-preference' });
  },

  async 'a record tells what decided, and is explained'() {
    await lead.goto(`${base}/audit?text=DELETE`);
    await lead.waitForSelector('[data-row] a');
    await lead.click('[data-row] a');
    await settled(lead);
    assert.match(await lead.innerText('main'), /support-deletes-tickets/);
    await lead.click('#explain');
    await lead.waitForSelector('#try-sql');
    assert.match(await lead.inputValue('#try-sql'), /DELETE FROM tickets/);
    await lead.click('#try button[type=submit]');
    await lead.waitForSelector('.explained');
    assert.match(await lead.innerText('.explained'), /needs approval/);
    await lead.click('#run-tests');
    await lead.waitForSelector('#tests .badge');
    assert.match(await lead.innerText('#tests'), /all passed/);
    chromium.clean('explained');
  },

  async 'somebody without a role sees nothing'() {
    chromium.expect(/status of 403/);
    await chromium.context.clearCookies();
    await lead.goto(`${base}/`);
    await lead.click('#login');
    await lead.fill('input[name=name]', 'stranger');
    await lead.click('button');
    await lead.waitForSelector('h1');
    await lead.goto(`${base}/audit`);
    await lead.waitForSelector('.failure, .landing');
    assert.equal(await lead.$('[data-row]'), null);
  },
}, process.argv[3]);

await chromium.close();
console.log('all passed');
