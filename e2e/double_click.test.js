// Buttons that are pressed twice, with a script that prevents the second press, and without it.
import assert from "node:assert/strict";
import { it } from "node:test";
import { EMAIL, PASSWORD } from "./support/app.js";
import { assertAt } from "./support/browser.js";
import { suite } from "./support/suite.js";

suite("a double click", (world) => {
  let sessions = 0;

  for (const javaScriptEnabled of [true, false]) {
    it(`logs in once, ${javaScriptEnabled ? "with" : "without"} a script`, async () => {
      const page = await world.browser({ javaScriptEnabled });
      await page.goto("/users/log-in");
      await page.getByLabel("Email").first().fill(EMAIL);
      await page.getByLabel("Password").fill(PASSWORD);
      await page.getByRole("button", { name: "Log in", exact: true }).dblclick();
      await page.waitForURL((url) => url.pathname === "/");
      await page.goto("/users/sessions");
      await assertAt(page, "/users/sessions");
      assert.equal(await page.locator("li.device").count(), (sessions += 1));

      await page.goto("/users/sudo");
      await page.getByLabel("Password").fill(PASSWORD);
      await page.getByRole("button", { name: "Continue" }).dblclick();
      await page.waitForURL((url) => url.pathname === "/");
      await page.goto("/dashboard");
      await assertAt(page, "/dashboard");
    });
  }

  it("leaves a button that works again after going back", async () => {
    const page = await world.browser();
    await page.goto("/users/reset-password");
    await page.getByLabel("Email").fill("nobody@example.com");
    const button = page.getByRole("button", { name: /link/i });
    await button.click();
    await page.waitForLoadState();
    await page.goBack();
    assert.equal(await page.locator("main button[aria-disabled]").count(), 0);
  });
});
