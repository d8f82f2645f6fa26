// The second factor: setting it up, showing it, and living without it.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { it } from "node:test";
import { AuthenticatorApp } from "./support/authenticator_app.js";
import { assertAnonymous, assertAt, assertFlash, logIn, openMail, press, send } from "./support/browser.js";
import { suite, withAndWithoutJavaScript } from "./support/suite.js";

const PASSWORD = "four words in a row";

suite("a second factor", (world) => {
  let people = 0;

  withAndWithoutJavaScript((mode) => {
    /** Somebody who has registered and logged in. */
    async function member() {
      const person = { email: `${mode.javaScriptEnabled ? "scripted" : "plain"}${(people += 1)}@example.com`, password: PASSWORD };
      const page = await world.browser(mode);
      await page.goto("/users/register");
      await send(page, { Email: person.email, Password: PASSWORD }, "Register");
      await openMail(page, person.email, "Confirm your email address");
      await press(page, "Confirm my email address");
      await logIn(page, person);
      await assertAt(page, "/");
      return { person, page };
    }

    /** Sets up an app, and keeps the backup codes. */
    async function enrol(page) {
      await page.goto("/users/settings");
      await page.getByRole("link", { name: "Two-factor authentication" }).click();
      await page.getByRole("link", { name: "Set up an app" }).click();
      const app = await AuthenticatorApp.scan(page);
      await send(page, { "Code from the app": app.code() }, "Turn on");
      const codes = await page.locator(".codes code").allInnerTexts();
      assert.equal(new Set(codes).size, 10);
      return { app, codes };
    }

    it("is set up, asked for, and trusted away for a browser", async () => {
      const { person, page } = await member();
      await page.goto("/users/settings/mfa/totp");
      const qr = await page.getByRole("img", { name: "QR code for an authenticator app" }).locator("svg").boundingBox();
      assert.ok(qr.width >= 200 && qr.width === qr.height, JSON.stringify(qr));
      const { app } = await enrol(page);
      await assertFlash(page, "Your authenticator app is set up.");
      await page.getByRole("link", { name: "I've saved my codes" }).click();
      await assertAt(page, "/users/settings/mfa");
      await press(page, "Log out");

      await page.goto("/dashboard");
      await logIn(page, { ...person, from: null });
      await assertAt(page, "/users/mfa-challenge");
      await page.goto("/dashboard");
      await assertAt(page, "/users/mfa-challenge");
      await send(page, { Code: "000000" }, "Continue");
      await assertFlash(page, "That code is wrong or has expired. Try again.");
      await page.getByLabel("Trust this browser").check();
      await send(page, { Code: await app.nextCode() }, "Continue");
      await assertAt(page, "/dashboard");
      await assertFlash(page, "Welcome back!");

      await press(page, "Log out");
      await logIn(page, person);
      await assertAt(page, "/");
      await page.goto("/users/sessions");
      await press(page, /^Stop trusting/);
      await press(page, /^Log out of/);
      await logIn(page, person);
      await assertAt(page, "/users/mfa-challenge");
      await press(page, "Cancel");
      await assertAnonymous(page);
      await openMail(page, person.email, "A second factor was added");
    });

    it("is replaced by a backup code, once", async () => {
      const { person, page } = await member();
      const { codes } = await enrol(page);
      const [download] = await Promise.all([
        page.waitForEvent("download"),
        page.getByRole("link", { name: "Download" }).click(),
      ]);
      assert.equal(download.suggestedFilename(), "my_app-backup-codes.txt");
      assert.deepEqual((await readFile(await download.path(), "utf8")).trim().split("\n"), codes);
      assert.equal(await page.getByRole("button", { name: "Print" }).isVisible(), mode.javaScriptEnabled);

      const elsewhere = await world.browser(mode);
      for (const [code, answer] of [[codes[0], "/"], [codes[0], "/users/mfa-challenge"], [codes[1].toUpperCase(), "/"]]) {
        await elsewhere.context().clearCookies();
        await logIn(elsewhere, person);
        await elsewhere.getByRole("link", { name: "Use a backup code" }).click();
        await send(elsewhere, { "Backup code": code }, "Continue");
        await assertAt(elsewhere, answer);
      }
    });

    it("is asked for before something sensitive, and given up", async () => {
      const { person, page } = await member();
      const { app, codes } = await enrol(page);
      await page.goto("/users/sudo");
      assert.equal(await page.getByLabel("Password").count(), 0);
      await page.getByRole("link", { name: "Use a backup code" }).click();
      await send(page, { "Backup code": codes[0] }, "Continue");
      await assertAt(page, "/");
      await page.goto("/users/settings/mfa");
      assert.match(await page.locator("main").innerText(), /9 codes left/);
      await press(page, "Generate new codes");
      const fresh = await page.locator(".codes code").allInnerTexts();
      assert.ok(fresh.every((code) => !codes.includes(code)));
      await page.goto("/users/settings/mfa");
      await press(page, /^Remove/);
      await assertFlash(page, "Authenticator app removed.");
      await press(page, "Log out");
      await logIn(page, person);
      await assertAt(page, "/");
      assert.ok(app);
    });
  });
});
