// The second factor: setting it up, presenting it, and removing it.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { it } from "node:test";
import { AuthenticatorApp } from "./support/authenticator_app.js";
import { assertAnonymous, assertAt, assertFlash, confirm, follow, logIn, logOut, openMail, press, send } from "./support/browser.js";
import { suite, withAndWithoutJavaScript } from "./support/suite.js";

const PASSWORD = "four words in a row";

suite("a second factor", (world) => {
  let userCount = 0;

  withAndWithoutJavaScript((mode) => {
    /** Opens a browser in which a new user is logged in. */
    async function member() {
      const user = { email: `${mode.javaScriptEnabled ? "scripted" : "plain"}${(userCount += 1)}@example.com`, password: PASSWORD };
      const page = await world.browser(mode);
      await page.goto("/users/register");
      await send(page, { Email: user.email, Password: PASSWORD }, "Register");
      await openMail(page, user.email, "Confirm your email address");
      await press(page, "Confirm my email address");
      await logIn(page, user);
      await assertAt(page, "/");
      return { user, page };
    }

    /** Sets up an authenticator app, and returns it with the backup codes. */
    async function enroll(page) {
      await page.goto("/users/settings");
      await follow(page, () => page.getByRole("link", { name: "Two-factor authentication" }).click());
      await follow(page, () => page.getByRole("link", { name: "Set up an app" }).click());
      const app = await AuthenticatorApp.scan(page);
      await send(page, { "Code from the app": await app.code() }, "Turn on");
      const codes = await page.locator(".codes code").allInnerTexts();
      assert.equal(new Set(codes).size, 10);
      return { app, codes };
    }

    it("is set up, required, and skipped in a trusted browser", async () => {
      const { user, page } = await member();
      await page.goto("/users/settings/mfa/totp");
      const qr = await page.getByRole("img", { name: "QR code for an authenticator app" }).locator("svg").boundingBox();
      assert.ok(qr.width >= 200 && qr.width === qr.height, JSON.stringify(qr));
      const { app } = await enroll(page);
      await assertFlash(page, "Your authenticator app is set up.");
      await follow(page, () => page.getByRole("link", { name: "I've saved my codes" }).click());
      await assertAt(page, "/users/settings/mfa");
      await logOut(page);

      await page.goto("/dashboard");
      await logIn(page, { ...user, from: null });
      await assertAt(page, "/users/mfa-challenge");
      await page.goto("/dashboard");
      await assertAt(page, "/users/mfa-challenge");
      await send(page, { Code: app.wrongCode() }, "Continue");
      await assertFlash(page, "That code is wrong or has expired. Try again.");
      await page.getByLabel("Trust this browser").check();
      await send(page, { Code: await app.nextCode() }, "Continue");
      await assertAt(page, "/dashboard");
      await assertFlash(page, "Welcome back!");

      await logOut(page);
      await logIn(page, user);
      await assertAt(page, "/");
      await page.goto("/users/sessions");
      await press(page, /^Stop trusting/);
      await press(page, /^Log out of/);
      await logIn(page, user);
      await assertAt(page, "/users/mfa-challenge");
      await press(page, "Cancel");
      await assertAnonymous(page);
      await openMail(page, user.email, "A second factor was added");
    });

    it("can be replaced by a backup code once", async () => {
      const { user, page } = await member();
      const { codes } = await enroll(page);
      const [download] = await Promise.all([
        page.waitForEvent("download"),
        page.getByRole("link", { name: "Download" }).click(),
      ]);
      assert.equal(download.suggestedFilename(), "my_app-backup-codes.txt");
      assert.deepEqual((await readFile(await download.path(), "utf8")).trim().split("\n"), codes);
      assert.equal(await page.getByRole("button", { name: "Print" }).isVisible(), mode.javaScriptEnabled);
      await page.emulateMedia({ media: "print" });
      assert.deepEqual(await printed(page), ["MyApp", "Backup codes", ...codes]);
      await page.emulateMedia({ media: null });

      const elsewhere = await world.browser(mode);
      for (const [code, answer] of [[codes[0], "/"], [codes[0], "/users/mfa-challenge"], [codes[1].toUpperCase(), "/"]]) {
        await elsewhere.context().clearCookies();
        await logIn(elsewhere, user);
        await follow(elsewhere, () => elsewhere.getByRole("link", { name: "Use a backup code" }).click());
        await send(elsewhere, { "Backup code": code }, "Continue");
        await assertAt(elsewhere, answer);
      }
    });

    it("is required before sensitive actions, and can be removed", async () => {
      const { user, page } = await member();
      const { app, codes } = await enroll(page);
      await page.goto("/users/sudo");
      assert.equal(await page.getByLabel("Password").count(), 0);
      await follow(page, () => page.getByRole("link", { name: "Use a backup code" }).click());
      await send(page, { "Backup code": codes[0] }, "Continue");
      await assertAt(page, "/");
      await page.goto("/users/settings/mfa");
      assert.match(await page.locator("main").innerText(), /9 codes left/);
      await confirm(page, "Generate new codes…", "Generate new codes");
      const fresh = await page.locator(".codes code").allInnerTexts();
      assert.ok(fresh.every((code) => !codes.includes(code)));
      await page.goto("/users/settings/mfa");
      await confirm(page, "Remove the authenticator app…", "Remove app");
      await assertFlash(page, "Authenticator app removed.");
      await logOut(page);
      await logIn(page, user);
      await assertAt(page, "/");
      assert.ok(app);
    });
  });
});

/** Returns the texts that the printer puts on paper, without the explanation of the codes. */
async function printed(page) {
  const texts = await page.locator("a, button, h1, .flash, .codes code").all();
  const visible = await Promise.all(texts.map(async (text) => (await text.isVisible()) && (await text.innerText()).trim()));
  return visible.filter(Boolean);
}
