// Takes the pictures of docs/screenshots: `node shots.js FOLDER`.

import { mkdir } from 'node:fs/promises';
import { open, startBrowser } from './browser.js';
import { startMock } from './mock.js';

const folder = process.argv[2];
const mock = await startMock();
const browser = await startBrowser();
const WIDE = { width: 1280, height: 800 };
const NARROW = { width: 390, height: 844 };

async function shot(name, address, { before, ...options } = {}) {
  const { page, close } = await open(browser, `${mock.url}${address}`, { viewport: WIDE, ...options });
  await page.waitForSelector('.figures:visible, table.alerts:visible');
  await page.waitForTimeout(500);
  await before?.(page);
  await page.waitForTimeout(200);
  await page.screenshot({ path: `${folder}/${name}.png` });
  await close();
}

await mkdir(folder, { recursive: true });
await shot('list', '#/alerts');
await shot('alert', '#/alerts/usual-1', { viewport: { width: 1280, height: 1000 } });
await shot('activity', '#/alerts/usual-1', {
  viewport: { width: 1280, height: 900 },
  before: async (page) => {
    await page.click('path.mark.late >> nth=1');
    await page.evaluate(() => document.getElementById('activities-title').scrollIntoView());
  },
});
await shot('links', '#/alerts/linked-1', {
  viewport: { width: 1280, height: 1280 },
  before: async (page) => {
    await page.waitForSelector('.group-row');
    await page.evaluate(() => document.getElementById('links-title').scrollIntoView());
  },
});
await shot('links-activities', '#/alerts/linked-1', {
  colorScheme: 'dark',
  viewport: { width: 1280, height: 900 },
  before: async (page) => {
    await page.locator('.activities tbody').nth(2).locator('.fold').first().click();
    await page.evaluate(() => document.querySelectorAll('.activities tbody')[2].previousElementSibling.lastElementChild.scrollIntoView());
  },
});
await shot('narrow-links', '#/alerts/linked-1', { viewport: NARROW, before: (page) => page.evaluate(() => document.querySelector('.timeline').scrollIntoView()) });
await shot('many', '#/alerts/many-1', { viewport: { width: 1280, height: 960 } });
await shot('dark', '#/alerts/open-1', { colorScheme: 'dark', viewport: { width: 1280, height: 1000 } });
await shot('narrow', '#/alerts', { viewport: NARROW });
await shot('narrow-alert', '#/alerts/usual-1', { viewport: NARROW, before: (page) => page.evaluate(() => document.querySelector('.timeline').scrollIntoView()) });
await shot('status', '#/status', { viewport: { width: 1280, height: 1000 }, before: (page) => page.waitForTimeout(12_000) });
await browser.close();
await mock.stop();
