import assert from "node:assert/strict";
import { it } from "node:test";
import { EMAIL, PASSWORD } from "./support/app.js";
import {
  REMEMBER_ME_COOKIE,
  SESSION_COOKIE,
  assertAnonymous,
  assertAt,
  assertFlash,
  assertLoggedIn,
  cookieNames,
  follow,
  logIn,
  press,
} from "./support/browser.js";
import { suite, withAndWithoutJavaScript } from "./support/suite.js";

const DAY = 24 * 60 * 60;

suite("logging in", (world) => {
  withAndWithoutJavaScript((mode) => {
    it("ends with the browser, unless one asks to be remembered", async () => {
      const profile = await world.profile();
      let page = await world.restartable(profile, mode);
      await logIn(page);
      await assertAt(page, "/");
      await assertFlash(page, "Welcome back!");
      assert.match(await page.locator("main").innerText(), new RegExp(`You are logged in as ${EMAIL}`));
      assert.deepEqual(await cookieNames(page.context()), [SESSION_COOKIE]);
      const [cookie] = await page.context().cookies();
      assert.deepEqual(
        { httpOnly: cookie.httpOnly, sameSite: cookie.sameSite, path: cookie.path, expires: cookie.expires },
        { httpOnly: true, sameSite: "Lax", path: "/", expires: -1 },
      );
      await page.reload();
      assert.equal(await page.locator(".flash").count(), 0, "a flash is shown once");
      await page.context().close();

      page = await world.restartable(profile, mode);
      assert.deepEqual(await cookieNames(page.context()), []);
      await assertAnonymous(page);
    });

    it("outlasts the browser when one asks to be remembered", async () => {
      const profile = await world.profile();
      let page = await world.restartable(profile, mode);
      await logIn(page, { rememberMe: true });
      await assertFlash(page, "Welcome back!");
      const remembered = (await page.context().cookies()).find((cookie) => cookie.name === REMEMBER_ME_COOKIE);
      assert.equal(remembered.httpOnly, true);
      assert.equal(remembered.sameSite, "Lax");
      assert.ok(Math.abs(remembered.expires - Date.now() / 1000 - 60 * DAY) < DAY, "for 60 days");
      await page.context().close();

      page = await world.restartable(profile, mode);
      assert.deepEqual(await cookieNames(page.context()), [REMEMBER_ME_COOKIE]);
      await assertLoggedIn(page);
      assert.deepEqual(await cookieNames(page.context()), [SESSION_COOKIE, REMEMBER_ME_COOKIE]);
    });

    it("leads back to the page that asked for it", async () => {
      const page = await world.browser(mode);
      await page.goto("/users/sessions?x=1");
      await assertAt(page, "/users/log-in");
      await assertFlash(page, "You must log in to access this page.");
      await logIn(page, { from: null });
      await assertAt(page, "/users/sessions?x=1");
      await assertFlash(page, "Welcome back!");
    });

    it("leads back there after a mistyped password, too", async () => {
      const page = await world.browser(mode);
      await page.goto("/users/sessions?x=1");
      await logIn(page, { from: null, password: "mistyped" });
      await logIn(page, { from: null });
      await assertAt(page, "/users/sessions?x=1");
    });

    it("refuses a bad password, and keeps the email typed", async () => {
      const page = await world.browser(mode);
      await logIn(page, { password: "not the password" });
      await assertAt(page, "/users/log-in");
      await assertFlash(page, "Invalid email or password");
      assert.equal(await page.getByLabel("Email").inputValue(), EMAIL);
      assert.equal(await page.getByLabel("Password").inputValue(), "");
      assert.equal(await page.evaluate(() => document.activeElement.id), "user_password");
      assert.ok(!(await cookieNames(page.context())).includes(SESSION_COOKIE));

      await page.reload();
      assert.equal(await page.locator(".flash").count(), 0);
      assert.equal(await page.getByLabel("Email").inputValue(), "");
      await assertAnonymous(page);
    });

    it("says the same of an address nobody has", async () => {
      const page = await world.browser(mode);
      await logIn(page, { email: "nobody@example.com" });
      await assertAt(page, "/users/log-in");
      await assertFlash(page, "Invalid email or password");
      assert.equal(await page.getByLabel("Email").inputValue(), "nobody@example.com");
    });

    it("shows what was typed as text, never as markup", async () => {
      const page = await world.browser(mode);
      const email = `"><b>'&\u00fc@example.com`;
      await page.goto("/users/log-in");
      await page.getByLabel("Email").evaluate((input) => (input.type = "text"));
      await logIn(page, { email, from: null });
      await assertFlash(page, "Invalid email or password");
      assert.equal(await page.locator("main b").count(), 0);
      assert.equal(await page.locator("#user_email").getAttribute("value"), email);
    });

    it("is not offered to who is logged in", async () => {
      const page = await world.browser(mode);
      await logIn(page);
      await page.goto("/users/log-in");
      await assertAt(page, "/");
    });

    it("is asked for once more before something sensitive", async () => {
      const page = await world.browser(mode);
      await logIn(page);
      await page.goto("/users/sudo");
      assert.equal(await page.getByLabel("Email").inputValue(), EMAIL);
      await page.getByLabel("Password").fill("not the password");
      await press(page, "Continue");
      await assertAt(page, "/users/sudo");
      await assertFlash(page, "Invalid password");

      const before = (await page.context().cookies()).find((cookie) => cookie.name === SESSION_COOKIE).value;
      await page.getByLabel("Password").fill(PASSWORD);
      await press(page, "Continue");
      await assertLoggedIn(page);
      const after = (await page.context().cookies()).find((cookie) => cookie.name === SESSION_COOKIE).value;
      assert.notEqual(after, before, "a session token of its own");
    });

    it("works with the keyboard alone", async () => {
      const page = await world.browser(mode);
      await page.goto("/users/log-in");
      assert.equal(await focused(page), "Email");
      await page.keyboard.type(EMAIL);
      await page.keyboard.press("Tab");
      assert.equal(await focused(page), "Password");
      await page.keyboard.type(PASSWORD);
      await page.keyboard.press("Tab");
      assert.equal(await focused(page), "Keep me logged in");
      await page.keyboard.press("Space");
      assert.ok(await page.getByLabel("Keep me logged in").isChecked());
      await page.keyboard.press("Tab");
      assert.equal(await focused(page), "Log in");
      for (const back of ["Keep me logged in", "Password"]) {
        await page.keyboard.press("Shift+Tab");
        assert.equal(await focused(page), back);
      }
      await follow(page, () => page.keyboard.press("Enter"));
      await assertAt(page, "/");
      await assertFlash(page, "Welcome back!");
      assert.deepEqual(await cookieNames(page.context()), [SESSION_COOKIE, REMEMBER_ME_COOKIE]);
    });

    it("can be reached without walking through the header", async () => {
      const page = await world.browser(mode);
      await page.goto("/");
      await page.keyboard.press("Tab");
      assert.equal(await focused(page), "Skip to content");
      const box = await page.getByText("Skip to content").boundingBox();
      assert.ok(box.x >= 0 && box.y >= 0, "the skip link is in sight");
      await page.keyboard.press("Enter");
      assert.equal(await page.evaluate(() => document.activeElement.id), "main");
      await page.keyboard.press("Tab");
      assert.equal(await focused(page), "Log in");
      assert.ok(await page.evaluate(() => document.activeElement.closest("main") !== null));
      await follow(page, () => page.keyboard.press("Enter"));
      await assertAt(page, "/users/log-in");
    });
  });
});

/** The name of what has the focus, which must be visible. */
async function focused(page) {
  const { name, outline } = await page.evaluate(() => {
    const element = document.activeElement;
    const { outlineStyle, outlineWidth } = getComputedStyle(element);
    const width = outlineStyle === "none" ? 0 : parseFloat(outlineWidth);
    return { name: (element.labels?.[0] ?? element).textContent.trim(), outline: width };
  });
  assert.ok(outline >= 2, `the focus on "${name}" can be seen`);
  return name;
}
