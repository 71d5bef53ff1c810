// Debian's Chromium with a profile of its own, driven by Playwright's library; whatever goes wrong on a page fails the test: an error on
// the console, an exception, a violation of the content security policy, a request to another host.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';

const tools = process.env.GATEPOST_TOOLS ?? '/opt/gatepost-tools';
const require = createRequire(path.join(tools, 'browser', 'package.json'));
const { chromium } = require('playwright-core');
const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

/** Pages that are told of where a test fails. */
const shown = [];

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
export const DESKTOP = { width: 1280, height: 900 };
export const PHONE = { width: 375, height: 740 };

/** Starts a browser; `hosts` are those that pages may ask, `host:port`. */
export async function browser(hosts) {
  const profile = mkdtempSync(path.join(os.tmpdir(), 'gatepost-browser-'));
  const context = await chromium.launchPersistentContext(profile, { executablePath: '/usr/bin/chromium', headless: true, args: FLAGS, viewport: DESKTOP });
  context.setDefaultTimeout(20_000);
  const wrong = [];
  const expected = [];
  /** Words of the console that a test causes on purpose. */
  const expect = (pattern) => expected.push(pattern);
  await context.exposeBinding('__wrong', (_, words) => wrong.push(words));
  await context.addInitScript(() => document.addEventListener('securitypolicyviolation', (event) => window.__wrong(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`)));
  const watch = (page) => {
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type()) && !expected.some((it) => it.test(`${message.text()} ${message.location().url}`))) wrong.push(`console: ${message.text()} ${message.location().url} (${page.url()})`);
    });
    page.on('pageerror', (error) => wrong.push(`exception: ${error.stack}`));
    page.on('dialog', (dialog) => { wrong.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
    page.on('request', (request) => {
      const url = new URL(request.url());
      if (!['data:', 'blob:'].includes(url.protocol) && !hosts.includes(url.host)) wrong.push(`asked elsewhere: ${request.url()}`);
    });
  };
  context.on('page', watch);
  for (const page of context.pages()) watch(page);
  return {
    context, expect,
    async page() {
      shown.push(await context.newPage());
      return shown.at(-1);
    },
    clean: (where) => assert.deepEqual(wrong, [], where),
    /** What a test went wrong with on purpose. */
    forget: () => { wrong.length = 0; },
    async close() {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
      assert.deepEqual(wrong, []);
    },
  };
}

/** Waits until a page has what it asked for. */
export async function settled(page) {
  // The page says itself when all of it is there and its keys are heard.
  await page.waitForFunction(() => document.querySelector('h1') && !document.querySelector('.loading, main[aria-busy]'));
  // Whatever is still fading in would be measured half way.
  await page.evaluate(() => Promise.all(document.getAnimations().filter((it) => it.effect.getTiming().iterations !== Infinity).map((it) => it.finished.catch(() => {}))));
}

/** Fails if axe finds something serious; `rules` are those that are asked, all of them unless told. */
export async function accessible(page, where, rules = null) {
  // As a debugger would, since the page's own policy allows no such script.
  const session = await page.context().newCDPSession(page);
  await session.send('Runtime.evaluate', { expression: AXE });
  const { result, exceptionDetails } = await session.send('Runtime.evaluate', { expression: `axe.run(document, ${JSON.stringify({ resultTypes: ['violations'], ...(rules ? { runOnly: rules } : {}) })}).then((it) => JSON.stringify(it.violations))`, awaitPromise: true, returnByValue: true });
  await session.detach();
  assert.equal(exceptionDetails, undefined, `${where}: ${exceptionDetails?.exception?.description}`);
  const found = JSON.parse(result.value).filter((it) => ['serious', 'critical'].includes(it.impact));
  assert.deepEqual(found.map((it) => `${it.id}: ${it.nodes.slice(0, 3).map((node) => `${node.target} ${node.any?.[0]?.message ?? node.failureSummary}`).join(' | ')}`), [], where);
}

/** Fails if a page is wider than the screen. */
export async function fits(page, where) {
  const over = await page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    const wide = [...document.querySelectorAll('body *')].filter((node) => node.getBoundingClientRect().right > width + 1 && !node.closest('.table-frame, .plan, dialog') && getComputedStyle(node).position !== 'fixed');
    return document.documentElement.scrollWidth > width ? wide.slice(0, 5).map((node) => node.outerHTML.slice(0, 160)) : [];
  });
  assert.deepEqual(over, [], where);
}

/** What a theme changes. */
export const COLOURS = ['color-contrast', 'link-in-text-block'];

/** Runs tests one after another, and says which; only those whose names have `only` in them. */
export async function run(tests, only = '') {
  for (const [name, test] of Object.entries(tests).filter(([it]) => it.includes(only))) {
    const from = Date.now();
    try {
      await test();
      console.log(`ok ${name} (${Date.now() - from} ms)`);
    } catch (error) {
      console.log(`FAILED ${name}`);
      for (const page of shown) console.log(`at ${page.url()}: ${await page.innerText('body').catch(String)}`);
      throw error;
    }
  }
}
