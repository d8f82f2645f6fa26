// Buttons that are pressed twice, with a script that prevents the second press, and without it.
import assert from "node:assert/strict";
import { it } from "node:test";
import { EMAIL, PASSWORD } from "./support/app.js";
import { assertAt, logIn, press } from "./support/browser.js";
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

  it("that begins in a window of another site, and ends on this one, gives no access", async () => {
    const page = await world.browser();
    await logIn(page);
    const query = new URLSearchParams({
      response_type: "code",
      client_id: "my_app_cli",
      redirect_uri: "http://127.0.0.1:1/callback",
      code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
      code_challenge_method: "S256",
    });
    await page.goto(`/oauth/authorize?${query}`);
    const isStopped = (changesFocus) =>
      page.evaluate((changesFocus) => {
        const stopped = new Promise((resolve) =>
          addEventListener("submit", (event) => (resolve(event.defaultPrevented), event.preventDefault()), { once: true }),
        );
        // The other site's window closes, and the second press follows.
        if (changesFocus) ["blur", "focus"].forEach((change) => dispatchEvent(new Event(change)));
        document.querySelector("button[value=allow]").click();
        return stopped;
      }, changesFocus);
    assert.equal(await isStopped(true), true, "the form stays");
    await page.waitForTimeout(600);
    assert.equal(await isStopped(false), false, "it can be sent");
  });

  it("leaves a button that works again after going back", async () => {
    const page = await world.browser();
    await page.goto("/users/reset-password");
    await page.getByLabel("Email").fill("nobody@example.com");
    await press(page, /link/i);
    await page.goBack();
    await assertAt(page, "/users/reset-password");
    assert.equal(await page.locator("main button[aria-disabled]").count(), 0);
  });
});
