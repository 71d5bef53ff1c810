// The page that `gatepost sessions export --format html` writes, opened as a file: it plays by itself, asks nobody, and shows what strangers
// wrote as text. The session in it: statement 1 answers, 2 waits, is denied and refused, 3 fails.
//
//   node replay.mjs FILE [FOLDER_FOR_PICTURES]

import assert from 'node:assert/strict';
import { COLOURS, DESKTOP, PHONE, accessible, browser, fits, run } from './driver.mjs';

const [file, pictures] = process.argv.slice(2);
const chromium = await browser(['']);
const page = await chromium.page();

async function open() {
  await page.goto(`file://${file}`);
  await page.waitForSelector('.rp-screen');
}

const text = () => page.$eval('.rp-screen', (it) => it.innerText);
const count = (kind) => page.$$eval(`.rp-${kind}.rp-piece`, (all) => all.length);
const name = (label) => page.getByRole('button', { name: label, exact: true });

await run({
  async 'nothing but what was shown is markup, and nothing else is asked for'() {
    await open();
    await page.keyboard.press('End');
    assert.equal(await count('statement'), 3);
    const shown = await text();
    assert.match(shown, /<script>alert\(1\)<\/script>/);
    assert.doesNotMatch(shown, /[\u202a-\u202e\u2028\u001b]/);
    const made = await page.evaluate(() => ({
      elements: document.querySelectorAll('img, iframe, object, embed, link, form[action], [onerror], [onload], [style], [src], [href]').length,
      scripts: document.querySelectorAll('script').length,
    }));
    assert.deepEqual(made, { elements: 0, scripts: 2 });
    chromium.clean('as a file');
  },

  async 'what is injected after all is not run'() {
    await open();
    const ran = await page.evaluate(() => {
      const script = document.createElement('script');
      try {
        script.textContent = 'window.ran = true';
        document.body.append(script);
      } catch {
        return 'refused';
      }
      return window.ran ?? 'not run';
    });
    assert.notEqual(ran, true);
    const marked = await page.evaluate(() => {
      try {
        document.body.innerHTML += '<b>x</b>';
      } catch (error) {
        return error.name;
      }
      return 'made';
    });
    assert.equal(marked, 'TypeError');
    // The violations are told in the order in which they were.
    await page.evaluate(() => new Promise((done) => { setTimeout(done); }).then(() => window.__wrong('told')));
    chromium.forget();
  },

  async 'it steps by statement, and jumps to the refusal, the error, the hold'() {
    await open();
    await page.keyboard.press('n');
    assert.deepEqual([await count('statement'), await count('rows')], [1, 1]);
    await page.keyboard.press('n');
    assert.deepEqual([await count('statement'), await count('refusal'), await count('hold')], [2, 1, 2]);
    await page.keyboard.press('p');
    assert.equal(await count('statement'), 1);
    await page.keyboard.press('Home');
    assert.equal(await text(), '');
    await name('Next refusal').click();
    assert.deepEqual([await count('statement'), await count('refusal'), await count('error')], [2, 1, 0]);
    assert.ok(await name('Next refusal').isDisabled());
    await name('Next error').click();
    assert.equal(await count('error'), 1);
    await page.keyboard.press('Home');
    await name('Next hold').click();
    assert.equal(await count('hold'), 2);
  },

  async 'it plays in time, faster if that is wanted, and idle minutes are short'() {
    await open();
    await page.selectOption('.rp-speed', '10');
    const began = Date.now();
    await page.keyboard.press(' ');
    await page.waitForFunction(() => document.querySelectorAll('.rp-statement.rp-piece').length === 3);
    await page.getByRole('button', { name: 'Play', exact: true }).waitFor();
    assert.ok(Date.now() - began < 15_000);
    assert.match(await page.$eval('.rp-time', (it) => it.textContent), /^1:03\.0 \/ 1:03\.0$/);
  },

  async 'a text is found, and the slider leads anywhere'() {
    await open();
    await page.keyboard.press('/');
    await page.keyboard.type('1/0');
    await page.keyboard.press('Enter');
    assert.match(await page.$eval('.rp-says', (it) => it.textContent), /statement 3/);
    assert.equal(await page.$$eval('.rp-found', (all) => all.length), 1);
    await page.fill('.rp-words', 'nowhere in it');
    await page.keyboard.press('Enter');
    assert.match(await page.$eval('.rp-says', (it) => it.textContent), /nowhere/);
    await page.focus('.rp-slider');
    await page.keyboard.press('Home');
    assert.equal(await text(), '');
    assert.ok(await page.$$eval('.rp-mark', (all) => all.length) >= 4);
  },

  async 'it is accessible in both themes and fits a phone'() {
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await page.setViewportSize(DESKTOP);
      await open();
      await page.keyboard.press('End');
      await accessible(page, `the page, ${colorScheme}`, colorScheme === 'dark' ? COLOURS : null);
      if (pictures) await page.screenshot({ path: `${pictures}/replay-${colorScheme}.png` });
      await page.setViewportSize(PHONE);
      await fits(page, `the page, ${colorScheme}`);
      if (pictures) await page.screenshot({ path: `${pictures}/replay-${colorScheme}-phone.png` });
    }
    await accessible(page, 'the page on a phone');
    chromium.clean('in both themes');
  },
});
await chromium.close();
