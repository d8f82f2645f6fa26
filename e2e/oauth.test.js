// Logging in at a certified OpenID Connect provider, which is at another site.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after, before, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { EMAIL, PASSWORD } from "./support/app.js";
import { assertAt, assertFlash, follow, openMail, press } from "./support/browser.js";
import { suite, withAndWithoutJavaScript } from "./support/suite.js";

const METHODS = "/users/settings/log-in-methods";

/** Starts the provider: `{ issuer, rotateKeys(), stop() }`. */
async function startProvider() {
  const server = join(import.meta.dirname, "oidc-provider", "server.js");
  const child = spawn(process.execPath, [server], { stdio: ["pipe", "pipe", "ignore"] });
  const [line] = await once(child.stdout.setEncoding("utf8"), "data");
  const issuer = line.split("\n")[0].trim();
  return {
    issuer,
    rotateKeys: () => fetch(`${issuer}/test/rotate-keys`, { method: "POST" }),
    stop: () => child.kill(),
  };
}

/** Presses a button that leads to the provider, and logs in there if it asks. */
async function atProvider(page, button, login) {
  await follow(page, () => page.getByRole("button", { name: button }).click());
  if (page.url().includes("/interaction/")) {
    await page.getByLabel("Who are you?").fill(login);
    await follow(page, () => page.getByRole("button", { name: "Log in" }).click());
  }
}

// The application is at `localhost` and the provider at an IP address, so each is another site to the other.
suite(
  "logging in at a provider",
  (world) => {
    let provider;
    const settings = () => ({
      OAUTH_PROVIDERS: "corp",
      OAUTH_CORP_ISSUER: provider.issuer,
      OAUTH_CORP_LABEL: "Corp",
      OAUTH_CORP_CLIENT_ID: "my_app",
      OAUTH_CORP_CLIENT_SECRET: "a client secret: 100% & more",
      OAUTH_CORP_TRUST_EMAILS: "true",
    });
    before(async () => {
      provider = await startProvider();
      await world.restartApp(settings());
    });
    after(() => provider?.stop());

    withAndWithoutJavaScript((mode) => {
      const jane = `jane.${mode.javaScriptEnabled ? "on" : "off"}@example.com`;

      it("registers, and logs in again in another browser", async () => {
        let page = await world.browser(mode);
        await page.goto("/dashboard");
        await page.getByLabel("Keep me logged in on this device").check();
        await atProvider(page, "Continue with Corp", jane);
        await assertAt(page, "/dashboard");
        assert.match(await page.locator("main").innerText(), new RegExp(jane));

        page = await world.browser(mode);
        await page.goto("/users/register");
        await atProvider(page, "Continue with Corp", jane);
        await assertLoggedInAs(page, jane);
      });

      it("links and unlinks, and the owner of an account logs in before it is linked", async () => {
        let page = await world.browser(mode);
        await page.goto("/users/log-in");
        await atProvider(page, "Continue with Corp", EMAIL);
        await assertAt(page, "/users/register/provider");
        await follow(page, () => page.getByRole("link", { name: "Log in to link it" }).click());
        await logInHere(page);
        await assertAt(page, `${METHODS}/link`);
        await follow(page, () => page.getByRole("button", { name: "Link it", exact: true }).click());
        await assertFlash(page, "You can now log in with Corp.");

        page = await world.browser(mode);
        await page.goto("/users/log-in");
        await atProvider(page, "Continue with Corp", EMAIL);
        await assertLoggedInAs(page, EMAIL);
        await page.goto(METHODS);
        await press(page, "Unlink Corp");
        await assertFlash(page, "You can no longer log in with this Corp account.");
      });

      it("asks for an address if the provider has proven none, and mails the link", async () => {
        const page = await world.browser(mode);
        const email = `new.${mode.javaScriptEnabled ? "on" : "off"}@example.com`;
        await page.goto("/users/log-in");
        await atProvider(page, "Continue with Corp", `nameless-${mode.javaScriptEnabled}`);
        await page.getByLabel("Email").fill(email);
        await press(page, "Register");
        await assertAt(page, "/users/check-email");
        await openMail(page, email, "Confirm your email address");
        await press(page, "Confirm my email address");
        await page.goto("/users/log-in");
        await atProvider(page, "Continue with Corp", "");
        await assertLoggedInAs(page, email);
      });

      it("shows one page for whatever the callback brings", async () => {
        const page = await world.browser(mode);
        world.expectProblem(/400/);
        await page.goto("/users/auth/corp/callback?error=%3Cscript%3E&error_description=%3Cb%3Ex");
        assert.match(await page.locator("main").innerText(), /The login didn't work/);
        await follow(page, () => page.getByRole("link", { name: "Back to the login page" }).click());
        await assertAt(page, "/users/log-in");
      });
    });

    // Once, because the application asks for new keys only so often.
    it("logs in after the provider has rotated its keys", async () => {
      await provider.rotateKeys();
      const page = await world.browser();
      await page.goto("/users/log-in");
      await atProvider(page, "Continue with Corp", "jane.on@example.com");
      await assertLoggedInAs(page, "jane.on@example.com");
    });

    withAndWithoutJavaScript((mode) => {
      it("enters sudo mode by logging in at the provider again", async () => {
        // Longer than the way back from the provider takes on a slow machine.
        const seconds = 10;
        await world.restartApp({ ...settings(), SUDO_TTL: String(seconds) });
        const page = await world.browser(mode);
        await page.goto("/users/log-in");
        await atProvider(page, "Continue with Corp", "jane@example.com");
        await sleep(seconds * 1000);
        await page.goto("/users/settings/password");
        await assertAt(page, "/users/sudo");
        await follow(page, () => page.getByRole("button", { name: "Continue with Corp" }).click());
        assert.match(page.url(), /\/interaction\//, "the provider asks again, although the user is logged in there");
        await page.getByLabel("Who are you?").fill("jane@example.com");
        await follow(page, () => page.getByRole("button", { name: "Log in" }).click());
        await assertAt(page, "/users/settings/password");
      });
    });
  },
  "localhost",
);

async function logInHere(page) {
  await page.getByLabel("Email").fill(EMAIL);
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await follow(page, () => page.getByRole("button", { name: "Log in", exact: true }).click());
}

async function assertLoggedInAs(page, email) {
  await page.goto("/dashboard");
  assert.match(await page.locator("main").innerText(), new RegExp(email));
}
