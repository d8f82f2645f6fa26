// Follows the guide `docs/getting-started.md`: every numbered step, in order.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { it } from "node:test";
import { assertAt, assertFlash, follow, logIn, logOut, openMail, press, send } from "./support/browser.js";
import { suite, withAndWithoutJavaScript } from "./support/suite.js";

const EMAIL = "ada@example.com";
const OLD = "a few words in a row";
const NEW = "other words in another row";

/** The actions for each step, by the beginning of its text. */
const STEPS = {
  "Open the home page": async ({ first }) => {
    await first.goto("/");
    await follow(first, () => first.locator("main").getByRole("link", { name: "Register" }).click());
  },
  "Register as": async ({ first }) => {
    await send(first, { Email: EMAIL, Password: OLD }, "Register");
    assert.match(await first.locator("main").innerText(), new RegExp(`Open the link in the email to ${EMAIL}`));
  },
  'Open `/dev/mailbox`, and follow the link in the email "Confirm': async ({ first }) => {
    await openMail(first, EMAIL, "Confirm your email address");
  },
  'Press "Confirm my email address"': async ({ first }) => {
    await press(first, "Confirm my email address");
    await assertFlash(first, "Your email address is confirmed.");
  },
  "Log in with your email address": async ({ first }) => {
    await logIn(first, { email: EMAIL, password: OLD });
    await assertFlash(first, "Welcome back!");
  },
  "Open `/dashboard`. It shows": async ({ first }) => {
    await first.goto("/dashboard");
    assert.match(await first.locator("main").innerText(), new RegExp(EMAIL));
  },
  "Log out.": async ({ first }) => {
    await logOut(first);
    await assertFlash(first, "Logged out successfully.");
  },
  "Open `/dashboard` again": async ({ first }) => {
    await first.goto("/dashboard");
    await assertAt(first, "/users/log-in");
  },
  "In another browser, log in": async ({ other }) => {
    await logIn(other, { email: EMAIL, password: OLD });
    await assertFlash(other, "Welcome back!");
  },
  "Back in the first browser": async ({ first }) => {
    await first.goto("/users/log-in");
    await follow(first, () => first.getByRole("link", { name: "Forgot your password?" }).click());
    await send(first, { Email: EMAIL }, "Send me a link");
  },
  'Open `/dev/mailbox`, and follow the link in the email "Reset': async ({ first }) => {
    await openMail(first, EMAIL, "Reset your password");
  },
  "Set the password": async ({ first }) => {
    await send(first, { "New password": NEW, "Confirm new password": NEW }, "Set password");
    await assertFlash(first, "Your password was changed. You can log in with it now.");
  },
  "In the other browser": async ({ other }) => {
    await other.goto("/dashboard");
    await assertAt(other, "/users/log-in");
  },
  "In the first browser, log in with the new password": async ({ first }) => {
    await logIn(first, { email: EMAIL, password: NEW });
    await assertFlash(first, "Welcome back!");
  },
  "Open `/users/sessions`": async ({ first }) => {
    await first.goto("/users/sessions");
    assert.match(await first.locator("main").innerText(), /this device only/);
    assert.equal(await first.locator(".device").count(), 1);
  },
};

suite("the getting started guide", (world) => {
  let done = 0;

  it("contains the values that this test fills in", async () => {
    const guide = await text();
    for (const words of [EMAIL, OLD, NEW]) assert.ok(guide.includes(`\`${words}\``), words);
  });

  withAndWithoutJavaScript((mode) => {
    it("can be followed step by step", async () => {
      // A new server, because the email address is registered after the first time.
      if (done++) await world.restartApp();
      const browsers = { first: await world.browser(mode), other: await world.browser(mode) };
      const steps = await numberedSteps();
      const names = Object.keys(STEPS);
      assert.equal(steps.length, names.length, "every step has an action, and every action a step");
      for (const [at, name] of names.entries()) {
        assert.ok(steps[at].startsWith(name), `step ${at + 1} is "${steps[at]}", and not "${name} ..."`);
        await STEPS[name](browsers);
      }
    });
  });
});

function text() {
  return readFile(join(import.meta.dirname, "..", "docs", "getting-started.md"), "utf8");
}

/** Returns the steps of the guide, which must be numbered from one. */
async function numberedSteps() {
  const found = [...(await text()).matchAll(/^(\d+)\. (.*(?:\n {3,}.*)*)/gm)];
  found.forEach(([, number], at) => assert.equal(Number(number), at + 1, "the steps are numbered in order"));
  return found.map(([, , step]) => step.replace(/\s+/g, " "));
}
