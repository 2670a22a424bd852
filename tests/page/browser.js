// The browser the tests use: Chromium of the system, headless.

import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const PLACES = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

export async function startBrowser() {
  const executablePath = PLACES.find((place) => place && existsSync(place));
  if (!executablePath) throw new Error('no Chromium is found; name one in CHROMIUM');
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
}

/** Opens a page on `url`, and collects its errors. `options` are those of a browser context. */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, timezoneId: 'Europe/Berlin', locale: 'en-GB', colorScheme: 'light', acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(8000);
  const errors = [];
  const foreignRequests = [];
  page.on('pageerror', (error) => errors.push(error.message));
  // The browser logs every refused request; those are part of the tests.
  page.on('console', (message) => message.type() === 'error' && !/Failed to load resource/.test(message.text()) && errors.push(message.text()));
  page.on('request', (request) => !request.url().startsWith(new URL(url).origin) && !request.url().startsWith('blob:') && foreignRequests.push(request.url()));
  await page.goto(url);
  return { page, errors, foreignRequests, close: () => context.close() };
}
