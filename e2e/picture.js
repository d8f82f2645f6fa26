// Saves the pictures of the README and of the guides: the login page beside the settings, in light and dark mode.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { startApp } from "./support/app.js";
import { launchOptions, logIn } from "./support/browser.js";

const folder = join(import.meta.dirname, "../docs");
const SCREEN = { width: 980, height: 880 };
const FRAME = `
  body { margin: 0; padding: 32px; display: flex; align-items: start; gap: 32px; width: max-content; }
  img { width: ${SCREEN.width * 0.8}px; border-radius: 14px; outline: 1px solid rgb(128 128 128 / 0.35); }
`;

const browser = await chromium.launch(launchOptions());
const app = await startApp({}, "localhost");
try {
  for (const colorScheme of ["light", "dark"]) {
    const context = await browser.newContext({ baseURL: app.url, viewport: SCREEN, colorScheme });
    const page = await context.newPage();
    const shots = [];
    const take = async (path) => {
      await page.goto(path);
      await page.evaluate(() => document.activeElement.blur());
      shots.push((await page.screenshot()).toString("base64"));
    };
    await take("/users/log-in");
    await logIn(page);
    // The message of the login is for the first page.
    await page.goto("/");
    await take("/users/settings");
    await compose(context, colorScheme, shots);
    await context.close();
  }
} finally {
  await app.stop();
  await browser.close();
}
console.log(`saved in ${folder}`);

/** Puts screenshots beside each other, in a file that browsers and code hosts show. */
async function compose(context, name, shots) {
  const page = await context.newPage();
  await page.setViewportSize({ width: 1720, height: 1000 });
  const images = shots.map((shot) => `<img src="data:image/png;base64,${shot}">`);
  await page.setContent(`<!doctype html><style>${FRAME}</style>${images.join("")}`);
  await page.waitForFunction(() => [...document.images].every((image) => image.complete));
  const size = await page.evaluate(() => [document.body.offsetWidth, document.body.offsetHeight]);
  const session = await context.newCDPSession(page);
  await session.send("Emulation.setDefaultBackgroundColorOverride", { color: { r: 0, g: 0, b: 0, a: 0 } });
  const clip = { x: 0, y: 0, width: size[0], height: size[1], scale: 1 };
  const { data } = await session.send("Page.captureScreenshot", { format: "webp", quality: 82, clip });
  await writeFile(join(folder, `pages-${name}.webp`), Buffer.from(data, "base64"));
}
