import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { chromium } from "playwright-core";
import { EMAIL } from "./support/app.js";
import {
  DEVICE_COOKIE,
  LAST_LOGIN_METHOD_COOKIE,
  REMEMBER_ME_COOKIE,
  SESSION_COOKIE,
  assertAnonymous,
  assertAt,
  assertFlash,
  cookieNames,
  follow,
  launchOptions,
  logInUnseen,
  logOut,
} from "./support/browser.js";
import { suite, withAndWithoutJavaScript } from "./support/suite.js";

suite("logging out", (world) => {
  let withPageCache;
  before(async () => {
    // With the back/forward cache, as users have it.
    withPageCache = await chromium.launch({ ...launchOptions(), ignoreDefaultArgs: ["--disable-back-forward-cache"] });
  });
  after(() => withPageCache?.close());

  withAndWithoutJavaScript((mode) => {
    it("leaves only the cookies of the known browser and of the last login method", async () => {
      const page = await world.browser(mode);
      await logInUnseen(page, { rememberMe: true });
      await page.goto("/");
      assert.deepEqual(await cookieNames(page.context()), [SESSION_COOKIE, REMEMBER_ME_COOKIE]);
      await logOut(page);
      await assertAt(page, "/");
      await assertFlash(page, "Logged out successfully.");
      const cookies = await page.context().cookies();
      assert.deepEqual(cookies.map(({ name }) => name).sort(), [DEVICE_COOKIE, LAST_LOGIN_METHOD_COOKIE]);
      const stored = await page.evaluate(async () => [
        ...Object.keys(localStorage),
        ...Object.keys(sessionStorage),
        ...(await indexedDB.databases()).map(({ name }) => name),
        ...(globalThis.caches ? await caches.keys() : []),
      ]);
      assert.deepEqual(stored, []);
      assert.match(await page.locator("header").innerText(), /Log in/);
      await assertAnonymous(page);
    });

    it("hides pages from the back button", async () => {
      const page = await world.browser(mode, withPageCache);
      await logInUnseen(page);
      await page.goto("/dashboard");
      await page.goto("/users/sessions");
      await logOut(page);
      await assertAt(page, "/");
      for (let steps = 0; steps < 2; steps++) {
        await follow(page, () => page.evaluate(() => history.back()));
        await assertAt(page, "/users/log-in");
        assert.doesNotMatch(await page.locator("body").innerText(), new RegExp(EMAIL));
      }
    });

    it("works on the page with the live connection", async () => {
      const page = await world.browser(mode);
      await logInUnseen(page);
      await page.goto("/dashboard");
      if (mode.javaScriptEnabled) await page.getByText("on", { exact: true }).waitFor();
      await logOut(page);
      await assertAt(page, "/");
      await assertFlash(page, "Logged out successfully.");
    });

    it("can be done twice", async () => {
      const page = await world.browser(mode);
      await logInUnseen(page);
      const stale = await page.context().newPage();
      await Promise.all([page.goto("/"), stale.goto("/")]);
      await logOut(page);
      await logOut(stale);
      await assertAt(stale, "/");
      await assertFlash(stale, "Logged out successfully.");
      assert.deepEqual(await cookieNames(page.context()), []);
    });
  });
});
