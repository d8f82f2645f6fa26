// Measures the main pages with Lighthouse, on a phone and on a desktop. Accessibility and best practices must be 100.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import lighthouse, { desktopConfig } from "lighthouse";
import { chromium } from "playwright-core";
import { startApp } from "../support/app.js";
import { launchOptions, logIn } from "../support/browser.js";

const FOR_VISITORS = ["/", "/users/log-in", "/users/register", "/users/reset-password"];
const FOR_USERS = [
  "/dashboard",
  "/users/settings",
  "/users/settings/email",
  "/users/settings/password",
  "/users/settings/mfa",
  "/users/settings/activity",
  "/users/settings/delete",
  "/users/sessions",
];
const CATEGORIES = ["accessibility", "best-practices"];
const SCREENS = { phone: undefined, desktop: desktopConfig };

const app = await startApp({}, "localhost");
const profile = await mkdtemp(join(tmpdir(), "my_app-lighthouse-"));
const { args, ...options } = launchOptions();
// Lighthouse connects to the same browser, and shares its cookies.
const debugged = { ...options, args: [...args, "--remote-debugging-port=0"] };
const findings = [];

/** Returns the port that Chromium chose. */
async function debuggingPort() {
  return Number((await readFile(join(profile, "DevToolsActivePort"), "utf8")).split("\n")[0]);
}

async function measure(path, port) {
  for (const [screen, config] of Object.entries(SCREENS)) {
    const flags = { port, onlyCategories: CATEGORIES, disableStorageReset: true, logLevel: "error" };
    const { lhr } = await lighthouse(app.url + path, flags, config);
    if (new URL(lhr.finalDisplayedUrl).pathname !== path) throw new Error(`${path} led to ${lhr.finalDisplayedUrl}`);
    const scores = CATEGORIES.map((name) => Math.round(lhr.categories[name].score * 100));
    console.log([path, screen, ...scores].join("\t"));
    for (const name of CATEGORIES) {
      for (const { id, weight } of lhr.categories[name].auditRefs) {
        const { score, title, details } = lhr.audits[id];
        if (weight === 0 || score === null || score === 1) continue;
        findings.push(`${path} ${screen}: ${title} ${JSON.stringify(details?.items?.slice(0, 3))}`);
      }
    }
  }
}

try {
  const context = await chromium.launchPersistentContext(profile, debugged);
  try {
    const port = await debuggingPort();
    console.log(["page", "screen", ...CATEGORIES].join("\t"));
    for (const path of FOR_VISITORS) await measure(path, port);
    await logIn(context.pages()[0], { from: `${app.url}/users/log-in` });
    for (const path of FOR_USERS) await measure(path, port);
  } finally {
    await context.close();
  }
} finally {
  await app.stop();
  await rm(profile, { recursive: true, force: true, maxRetries: 3 });
}

if (findings.length > 0) {
  console.error(`\n${findings.join("\n")}`);
  process.exitCode = 1;
}
