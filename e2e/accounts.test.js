// An account from registration to deletion: links in emails, settings, passwords.
import assert from "node:assert/strict";
import { it } from "node:test";
import { assertAnonymous, assertAt, assertFlash, assertFocused, follow, logIn, openMail, press, send } from "./support/browser.js";
import { suite, withAndWithoutJavaScript } from "./support/suite.js";

const PASSWORD = "four words in a row";
const NEW_PASSWORD = "five other words in a row";
const PASSWORD_REMOVED =
  "Your email address is confirmed. We removed the password that this account was registered with, " +
  "because someone else may have chosen it. You can set a new one in your settings.";

suite("an account", (world) => {
  let userCount = 0;

  withAndWithoutJavaScript((mode) => {
    /** Opens a browser in which a new user is logged in. */
    async function member() {
      const email = `user${(userCount += 1)}@example.com`;
      const page = await world.browser(mode);
      await page.goto("/users/register");
      await send(page, { Email: email, Password: PASSWORD }, "Register");
      await assertAt(page, "/users/check-email");
      await logIn(page, { email, password: PASSWORD });
      await assertAt(page, "/");
      return { email, page };
    }

    it("is registered, and its email address confirmed with a button", async () => {
      const { email, page } = await member();
      await openMail(page, email, "Confirm your email address");
      await press(page, "Confirm my email address");
      assert.match(await page.locator(".flash").innerText(), /address is confirmed/);
      await page.goto("/users/settings");
      assert.match(await page.locator("main").innerText(), /Confirmed/);
    });

    it("shows errors next to the field, and when a password is long enough", async () => {
      const page = await world.browser(mode);
      await page.goto("/users/register");
      const strength = () => page.evaluate(() => getComputedStyle(document.querySelector(".strength"), "::before").content);
      assert.equal(await strength(), "none");
      await page.getByLabel("Password").fill(PASSWORD);
      assert.match(await strength(), /✓/);
      await page.getByLabel("Email").evaluate((input) => (input.type = "text"));
      world.expectProblem(/status of 422/);
      await send(page, { Email: "no address", Password: "passwordpassword" }, "Register");
      const described = async (id) => page.locator(`#${id}`).evaluate((input) =>
        input.getAttribute("aria-describedby").split(" ").map((id) => document.getElementById(id).textContent).join(" "));
      assert.match(await described("user_email"), /Enter a valid email address/);
      assert.match(await described("user_password"), /too common/);
      assert.equal(await page.getByLabel("Email").inputValue(), "no address");
    });

    it("resends the confirmation link, and lets the user register with another address", async () => {
      const page = await world.browser(mode);
      const email = `mistyped-${crypto.randomUUID()}@example.com`;
      await page.goto("/users/register");
      await send(page, { Email: email, Password: PASSWORD }, "Register");
      await assertAt(page, "/users/check-email");
      await page.reload();
      assert.ok((await page.locator("main").innerText()).includes(email));
      await press(page, "Send it again");
      await assertFlash(page, "We received your request again.");
      await follow(page, () => page.getByRole("link", { name: "Open the development mailbox" }).click());
      assert.equal(await page.locator("nav a", { hasText: `To ${email}` }).count(), 2);
      await page.goto("/users/register");
      await send(page, { Email: email, Password: PASSWORD }, "Register");
      await follow(page, () => page.getByRole("link", { name: "Wrong email address?" }).click());
      await assertAt(page, "/users/register");
    });

    it("shows an error in the settings where the eye and the focus are, at an address that can be reloaded", async () => {
      const { email, page } = await member();
      world.expectProblem(/status of 422/);
      for (const [path, fields, button, id] of [
        ["/users/settings/email", { "New email address": email }, "Change email address", "user_email"],
        ["/users/settings/password", { "New password": NEW_PASSWORD, "Confirm new password": "x" }, "Change password", "user_password_confirmation"],
        ["/users/settings/password", { "New password": "passwordpassword", "Confirm new password": "passwordpassword" }, "Change password", "user_password"],
      ]) {
        await page.goto(path);
        await page.setViewportSize({ width: 390, height: 664 });
        await send(page, fields, button);
        await assertFocused(page, id);
        const box = await page.locator(".problem").boundingBox();
        assert.ok(box.y >= 0 && box.y + box.height <= 664, "the error is in view");
        assert.match(await page.title(), /^Error: /);
        assert.equal((await page.goto(page.url())).status(), 200);
        await assertAt(page, path);
      }
    });

    it("shows what was typed as a password, if a script can", async () => {
      const page = await world.browser(mode);
      await page.goto("/users/register");
      const show = page.getByRole("button", { name: "Show password" });
      assert.equal(await show.isVisible(), mode.javaScriptEnabled);
      if (!mode.javaScriptEnabled) return;
      await page.getByLabel("Password").fill(PASSWORD);
      await show.click();
      assert.equal(await page.getByLabel("Password").getAttribute("type"), "text");
      await page.getByRole("button", { name: "Hide password" }).click();
      assert.equal(await page.getByLabel("Password").getAttribute("type"), "password");
    });

    it("gets a new password by a reset link, which logs out all other devices", async () => {
      const { email, page } = await member();
      const visitor = await world.browser(mode);
      await visitor.goto("/users/log-in");
      await follow(visitor, () => visitor.getByRole("link", { name: "Forgot your password?" }).click());
      await send(visitor, { Email: email }, "Send me a link");
      await openMail(visitor, email, "Reset your password");
      await send(visitor, { "New password": NEW_PASSWORD, "Confirm new password": NEW_PASSWORD }, "Set password");
      await assertFlash(visitor, "Your password was changed. You can log in with it now.");
      await assertAnonymous(page);
      await logIn(visitor, { email, password: PASSWORD });
      await assertFlash(visitor, "Invalid email or password");
      await logIn(visitor, { email, password: NEW_PASSWORD });
      await assertAt(visitor, "/");
    });

    it("doesn't reveal the link of an email in the Referer", async () => {
      const { email } = await member();
      const page = await world.browser(mode);
      await page.goto("/users/reset-password");
      await send(page, { Email: email }, "Send me a link");
      await openMail(page, email, "Reset your password");
      const next = page.waitForRequest((request) => request.url().endsWith("/users/log-in"));
      await page.getByRole("link", { name: "Log in" }).click();
      const { referer } = await (await next).allHeaders();
      assert.equal(referer, `${new URL(page.url()).origin}/`);
    });

    it("can be logged in to with a login link", async () => {
      const { email } = await member();
      const page = await world.browser(mode);
      await page.goto("/dashboard");
      await page.getByLabel("Keep me logged in").check();
      await send(page, { Email: email }, "Email me a link");
      await assertAt(page, "/users/check-email");
      await openMail(page, email, "Log in to MyApp");
      assert.ok(await page.getByLabel("Keep me logged in").isChecked(), "the choice of the login page is kept");
      await press(page, "Log in");
      await assertAt(page, "/dashboard");
      // This browser did not register.
      await assertFlash(page, "Welcome back!", PASSWORD_REMOVED);
    });

    it("gets emails whose HTML shows the link, and opens it in place of the mailbox", async () => {
      const { page } = await member();
      await page.goto("/dev/mailbox");
      const html = page.frameLocator("iframe");
      assert.match(await html.locator("body").innerText(), new RegExp(`If the button doesn't work.*/users/confirm/`, "s"));
      await follow(page, () => html.getByRole("link", { name: "Confirm my email address" }).click());
      await press(page, "Confirm my email address");
      await assertFlash(page, "Your email address is confirmed.");
    });

    it("changes its email address and its password", async () => {
      const { email, page } = await member();
      const other = await world.browser(mode);
      await logIn(other, { email, password: PASSWORD });
      await page.goto("/users/settings");
      await follow(page, () => page.getByRole("link", { name: "Email address Not confirmed" }).click());
      await send(page, { "New email address": `new-${email}` }, "Change email address");
      await openMail(page, `new-${email}`, "Confirm your new email address");
      await press(page, "Use this email address");
      await assertFlash(page, "Your email address was changed.");

      await follow(page, () => page.getByRole("link", { name: "Password Change your password" }).click());
      await send(page, { "New password": NEW_PASSWORD, "Confirm new password": NEW_PASSWORD }, "Change password");
      await assertFlash(page, "Your password was changed. All other devices were logged out.");
      await page.goto("/users/settings/activity");
      const events = await page.locator("main h2").allInnerTexts();
      for (const event of ["Changed the password", "Changed the email address", "Logged in", "Registered"]) {
        assert.ok(events.includes(event), `${event} is not in ${events}`);
      }
      await assertAnonymous(other);
      await logIn(other, { email: `new-${email}`, password: NEW_PASSWORD });
      await assertAt(other, "/dashboard");
    });

    it("is deleted", async () => {
      const { email, page } = await member();
      await page.goto("/users/settings");
      await follow(page, () => page.getByRole("link", { name: "Delete your account You'll have" }).click());
      await page.getByLabel("to delete your account").fill(email);
      await press(page, "Delete my account");
      assert.match(await page.locator(".flash").innerText(), /^Your account will be deleted on .*\. To keep your account, log in before .*\.$/);
      await assertAnonymous(page);
      await logIn(page, { email, password: PASSWORD });
      assert.match(await page.locator(".flash").allInnerTexts().then((texts) => texts.join(" ")), /we kept it/);
    });
  });
});
