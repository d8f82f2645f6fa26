import assert from "node:assert/strict";
import { it } from "node:test";
import { EMAIL, PASSWORD } from "./support/app.js";
import {
  REMEMBER_ME_COOKIE,
  SESSION_COOKIE,
  assertAnonymous,
  assertAt,
  assertFlash,
  assertFocused,
  assertLoggedIn,
  cookieNames,
  follow,
  logIn,
  logInUnseen,
  press,
} from "./support/browser.js";
import { suite, withAndWithoutJavaScript } from "./support/suite.js";

const DAY = 24 * 60 * 60;

suite("logging in", (world) => {
  withAndWithoutJavaScript((mode) => {
    it("ends with the browser, unless the user asks to stay logged in", async () => {
      const profile = await world.profile();
      let page = await world.restartable(profile, mode);
      await logIn(page);
      await assertAt(page, "/");
      await assertFlash(page, "Welcome back!");
      assert.match(await page.locator("main").innerText(), new RegExp(`You are logged in as ${EMAIL}`));
      assert.deepEqual(await cookieNames(page.context()), [SESSION_COOKIE]);
      const cookie = (await page.context().cookies()).find((cookie) => cookie.name === SESSION_COOKIE);
      assert.deepEqual(
        { httpOnly: cookie.httpOnly, sameSite: cookie.sameSite, path: cookie.path, expires: cookie.expires },
        { httpOnly: true, sameSite: "Lax", path: "/", expires: -1 },
      );
      await page.reload();
      assert.equal(await page.locator(".flash").count(), 0, "a flash is shown once");
      await page.goto("/users/log-in");
      await assertAt(page, "/");
      await page.context().close();

      page = await world.restartable(profile, mode);
      assert.deepEqual(await cookieNames(page.context()), []);
      await assertAnonymous(page);

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

    it("redirects back to the page that required it", async () => {
      const page = await world.browser(mode);
      await page.goto("/users/sessions?x=1");
      await assertAt(page, "/users/log-in");
      await assertFlash(page, "You must log in to access this page.");
      await logIn(page, { from: null });
      await assertAt(page, "/users/sessions?x=1");
      await assertFlash(page, "Welcome back!");
    });

    it("refuses a wrong password, and keeps the email address", async () => {
      const page = await world.browser(mode);
      await page.goto("/users/sessions?x=1");
      await logIn(page, { from: null, password: "not the password" });
      await assertRefused(page, EMAIL);
      await assertFocused(page, "user_password");

      // An unknown email address is refused with the same message.
      await logIn(page, { from: null, email: "nobody@example.com" });
      await assertRefused(page, "nobody@example.com");
      await page.reload();
      assert.equal(await page.locator(".flash").count(), 0);
      assert.equal(await page.getByLabel("Email").inputValue(), "");

      // It is never treated as markup.
      await page.getByLabel("Email").evaluate((input) => (input.type = "text"));
      await logIn(page, { from: null, email: `"><b>'&ü@example.com` });
      assert.equal(await page.locator("#user_email").getAttribute("value"), `"><b>'&ü@example.com`);
      assert.equal(await page.locator("main b").count(), 0);

      await logIn(page, { from: null });
      await assertAt(page, "/users/sessions?x=1");
    });

    it("is required again before sensitive actions", async () => {
      const page = await world.browser(mode);
      await logInUnseen(page);
      await page.goto("/users/sudo");
      assert.equal(await page.getByLabel("Email").inputValue(), EMAIL);
      await page.getByLabel("Password").fill("not the password");
      await press(page, "Continue");
      await assertAt(page, "/users/sudo");
      await assertFlash(page, "Wrong password. Try again.");

      const before = (await page.context().cookies()).find((cookie) => cookie.name === SESSION_COOKIE).value;
      await page.getByLabel("Password").fill(PASSWORD);
      await press(page, "Continue");
      await assertLoggedIn(page);
      const after = (await page.context().cookies()).find((cookie) => cookie.name === SESSION_COOKIE).value;
      assert.notEqual(after, before, "a new session token");
    });

    it("works with only the keyboard", async () => {
      const page = await world.browser(mode);
      await page.goto("/users/log-in");
      await assertFocused(page, "user_email");
      assert.equal(await focused(page), "Email");
      await page.keyboard.type(EMAIL);
      await page.keyboard.press("Tab");
      assert.equal(await focused(page), "Password");
      await page.keyboard.type(PASSWORD);
      await page.keyboard.press("Tab");
      if (mode.javaScriptEnabled) {
        assert.equal(await focused(page), "Show password");
        await page.keyboard.press("Tab");
      }
      assert.equal(await focused(page), "Keep me logged in on this device");
      await page.keyboard.press("Space");
      assert.ok(await page.getByLabel("Keep me logged in").isChecked());
      await page.keyboard.press("Tab");
      assert.equal(await focused(page), "Log in");
      const show = mode.javaScriptEnabled ? ["Show password"] : [];
      for (const back of ["Keep me logged in on this device", ...show, "Password"]) {
        await page.keyboard.press("Shift+Tab");
        assert.equal(await focused(page), back);
      }
      await follow(page, () => page.keyboard.press("Enter"));
      await assertAt(page, "/");
      await assertFlash(page, "Welcome back!");
      assert.deepEqual(await cookieNames(page.context()), [SESSION_COOKIE, REMEMBER_ME_COOKIE]);
    });

    it("can be reached without tabbing through the header", async () => {
      const page = await world.browser(mode);
      await page.goto("/");
      await page.keyboard.press("Tab");
      assert.equal(await focused(page), "Skip to content");
      const box = await page.getByText("Skip to content").boundingBox();
      assert.ok(box.x >= 0 && box.y >= 0, "the skip link is visible");
      await page.keyboard.press("Enter");
      await assertFocused(page, "main");
      await page.keyboard.press("Tab");
      assert.equal(await focused(page), "Register");
      assert.ok(await page.evaluate(() => document.activeElement.closest("main") !== null));
      await follow(page, () => page.keyboard.press("Enter"));
      await assertAt(page, "/users/register");
    });
  });
});

async function assertRefused(page, email) {
  await assertAt(page, "/users/log-in");
  await assertFlash(page, "Invalid email or password");
  assert.equal(await page.getByLabel("Email").inputValue(), email);
  assert.equal(await page.getByLabel("Password").inputValue(), "");
  assert.ok(!(await cookieNames(page.context())).includes(SESSION_COOKIE));
}

/** Returns the name of the focused element, whose focus must be visible. */
async function focused(page) {
  const { name, outline } = await page.evaluate(() => {
    const element = document.activeElement;
    const { outlineStyle, outlineWidth } = getComputedStyle(element);
    const width = outlineStyle === "none" ? 0 : parseFloat(outlineWidth);
    const named = (element.labels?.[0] ?? element).cloneNode(true);
    for (const hidden of named.querySelectorAll("[aria-hidden]")) hidden.remove();
    return { name: named.textContent.trim(), outline: width };
  });
  assert.ok(outline >= 2, `the focus on "${name}" is visible`);
  return name;
}
