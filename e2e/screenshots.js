// Saves a screenshot of every page, on a desktop and on a phone, in light and dark mode.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { startApp } from "./support/app.js";
import { launchOptions } from "./support/browser.js";
import { DESKTOP, PHONE, eachPage } from "./support/pages.js";

const folder = process.env.SCREENSHOTS || join(import.meta.dirname, "screenshots");
const screens = { desktop: { viewport: DESKTOP }, phone: { viewport: PHONE, isMobile: true, hasTouch: true } };

await mkdir(folder, { recursive: true });
const browser = await chromium.launch(launchOptions());
try {
  for (const [screen, options] of Object.entries(screens)) {
    const app = await startApp({}, "localhost");
    try {
      const open = async (more) => (await browser.newContext({ baseURL: app.url, ...options, ...more })).newPage();
      await eachPage(open, {}, async (name, page) => {
        if (name === "dashboard") await page.getByText("on", { exact: true }).waitFor();
        for (const colorScheme of ["light", "dark"]) {
          await page.emulateMedia({ colorScheme });
          await page.screenshot({ path: join(folder, `${name}-${screen}-${colorScheme}.png`), fullPage: true });
        }
      });
    } finally {
      await app.stop();
    }
  }
} finally {
  await browser.close();
}
console.log(`saved in ${folder}`);
