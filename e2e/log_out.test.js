import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { chromium } from "playwright-core";
import {
  REMEMBER_ME_COOKIE,
  SESSION_COOKIE,
  assertAnonymous,
  assertAt,
  assertFlash,
  cookieNames,
  launchOptions,
  logIn,
  press,
} from "./support/browser.js";
import { suite, withAndWithoutJavaScript } from "./support/suite.js";

suite("logging out", (world) => {
  let withPageCache;
  before(async () => {
    // As people have it, who go back to pages that the browser kept alive.
    withPageCache = await chromium.launch({ ...launchOptions(), ignoreDefaultArgs: ["--disable-back-forward-cache"] });
  });
  after(() => withPageCache?.close());

  withAndWithoutJavaScript((mode) => {
    it("leaves nothing in the browser", async () => {
      const page = await world.browser(mode);
      await logIn(page, { rememberMe: true });
      assert.deepEqual(await cookieNames(page.context()), [SESSION_COOKIE, REMEMBER_ME_COOKIE]);
      await press(page, "Log out");
      await assertAt(page, "/");
      await assertFlash(page, "Logged out successfully.");
      assert.deepEqual(await cookieNames(page.context()), []);
      assert.match(await page.locator("header").innerText(), /Log in/);
      await assertAnonymous(page);
    });

    it("does not bring the dashboard back with the back button", async () => {
      const page = await world.browser(mode, withPageCache);
      await logIn(page);
      await page.goto("/dashboard");
      await page.waitForTimeout(200);
      await press(page, "Log out");
      await assertAt(page, "/");
      await page.goBack({ waitUntil: "commit" }).catch(() => {});
      await page.waitForTimeout(700);
      console.log(page.url(), await page.locator("body").innerText());
    });

    it("can be done twice", async () => {
      const page = await world.browser(mode);
      await logIn(page);
      const stale = await page.context().newPage();
      await stale.goto("/");
      await press(page, "Log out");
      await press(stale, "Log out");
      await assertAt(stale, "/");
      await assertFlash(stale, "Logged out successfully.");
      assert.deepEqual(await cookieNames(page.context()), []);
    });
  });
});
