import assert from "node:assert/strict";
import { it } from "node:test";
import { EMAIL } from "./support/app.js";
import { assertAt, assertFlash, confirm, follow, logInUnseen, logOut, press } from "./support/browser.js";
import { suite, withAndWithoutJavaScript } from "./support/suite.js";

suite("an error page", (world) => {
  withAndWithoutJavaScript((mode) => {
    it("explains a wrong URL, and links to the home page", async () => {
      const page = await world.browser(mode);
      world.expectProblem(/status of 404/);
      assert.equal((await page.goto("/no/such/page")).status(), 404);
      await assertHelpful(page, "404", /no page at this URL/);
      await follow(page, () => page.getByRole("link", { name: "Home" }).click());
      await assertAt(page, "/");

      world.expectProblem(/status of 405/);
      assert.equal((await page.goto("/users/log-out")).status(), 405);
      await assertHelpful(page, "405", /can't be opened in that way/);
    });

    it("explains what is wrong with a form", async () => {
      const page = await world.browser(mode);
      const send = async (password, name = "user[password]") => {
        await page.goto("/users/log-in");
        await page.getByLabel("Email").fill(EMAIL);
        const field = page.getByLabel("Password");
        await field.evaluate((input, sent) => Object.assign(input, sent), { value: password, name });
        await press(page, "Log in");
      };
      await send("x".repeat(5000));
      await assertFlash(page, "Invalid email or password");
      world.expectProblem(/status of 413/);
      for (const bytes of [70_000, 1_000_000]) {
        await send("x".repeat(bytes));
        await assertHelpful(page, "413", /too large/);
      }
      world.expectProblem(/status of 422/);
      await send("x", "other");
      await assertHelpful(page, "422", /fill it in again/);
    });

    it("keeps the navigation of the user", async () => {
      const page = await world.browser(mode);
      world.expectProblem(/status of 404/);
      await page.goto("/no/such/page");
      assert.match(await page.locator("header").innerText(), /Log in[\s\S]*Register/);
      await logInUnseen(page);
      await page.goto("/no/such/page");
      await logOut(page);
      await assertFlash(page, "Logged out successfully.");
    });

    it("says that the session has ended, and links to the login page", async () => {
      const page = await world.browser(mode);
      await logInUnseen(page);
      const stale = await page.context().newPage();
      await Promise.all([page.goto("/"), stale.goto("/users/sessions")]);
      await logOut(page);
      world.expectProblem(/status of 401/);
      await confirm(stale, "Log out everywhere…", "Log out everywhere");
      await assertHelpful(stale, "401", /Log in and try again/);
      await follow(stale, () => stale.locator("main").getByRole("link", { name: "Log in" }).click());
      await assertAt(stale, "/users/log-in");
    });
  });
});

async function assertHelpful(page, status, advice) {
  const text = await page.locator("main").innerText();
  assert.ok(text.startsWith(`Error ${status}`), text);
  assert.match(text, advice);
  assert.equal(await page.locator("h1").count(), 1);
}
