import assert from "node:assert/strict";
import { it } from "node:test";
import {
  IPHONE_SAFARI,
  LINUX_FIREFOX,
  SESSION_COOKIE,
  WINDOWS_CHROME,
  assertAnonymous,
  assertAt,
  assertFlash,
  confirm,
  cookieNames,
  logInUnseen,
  press,
} from "./support/browser.js";
import { suite, withAndWithoutJavaScript } from "./support/suite.js";

suite("the devices page", (world) => {
  withAndWithoutJavaScript((mode) => {
    it("shows all devices, and logs any of them out", async () => {
      const here = await world.browser({ ...mode, userAgent: LINUX_FIREFOX });
      const phone = await world.browser({ ...mode, userAgent: IPHONE_SAFARI });
      const office = await world.browser({ ...mode, userAgent: WINDOWS_CHROME });
      await logInUnseen(here);
      await logInUnseen(phone, { rememberMe: true });
      await logInUnseen(office);

      await here.goto("/users/sessions");
      const [first, ...others] = await names(here);
      assert.equal(first, "Firefox on Linux This device", "this device comes first");
      assert.deepEqual(others.sort(), ["Chrome on Windows", "Safari on iPhone Remembered"]);
      for (const text of await here.locator(".device").allInnerTexts()) {
        assert.match(text, /127\.0\.0\.1/);
        assert.match(text, mode.javaScriptEnabled ? /just now, .*20\d\d/ : /\w+ \d+, 20\d\d, \d\d:\d\d UTC/);
      }

      await press(here, "Log out", here.locator(".device", { hasText: "Safari on iPhone" }));
      await assertAt(here, "/users/sessions");
      await assertFlash(here, "Logged out of that device.");
      assert.deepEqual(await names(here), ["Firefox on Linux This device", "Chrome on Windows"]);

      await phone.goto("/");
      assert.doesNotMatch(await phone.locator("body").innerText(), /logged in as/i);
      assert.deepEqual(await cookieNames(phone.context()), [], "the phone keeps no dead cookies");
      await assertAnonymous(phone);

      await office.goto("/users/sessions");
      await press(office, "Log out", office.locator(".device.current"));
      await assertAt(office, "/");
      await assertFlash(office, "Logged out successfully.");
      assert.deepEqual(await cookieNames(office.context()), []);
      await assertAnonymous(office);

      // This page still lists the office.
      world.expectProblem(/status of 404/);
      await press(here, "Log out", here.locator(".device", { hasText: "Chrome on Windows" }));
      assert.match(await here.locator("main").innerText(), /^Error 404[\s\S]*Home/);
      await here.goto("/users/sessions");
      assert.deepEqual(await names(here), ["Firefox on Linux This device"]);
      assert.match(await here.locator("main").innerText(), /logged in on this device only/);
    });

    it("logs all devices out at once", async () => {
      const [here, there] = [await world.browser(mode), await world.browser(mode)];
      await logInUnseen(here, { rememberMe: true });
      await logInUnseen(there, { rememberMe: true });
      await here.goto("/users/sessions");
      await confirm(here, "Log out everywhere…", "Log out everywhere");
      await assertAt(here, "/");
      await assertFlash(here, "Logged out of all devices.");
      for (const page of [here, there]) {
        await assertAnonymous(page);
      }
      for (const name of await cookieNames(there.context())) assert.ok(name.startsWith(`${SESSION_COOKIE}.`), name);
    });

    it("keeps the keyboard in the dialog that asks, and then returns it to the button", async () => {
      const page = await world.browser(mode);
      await logInUnseen(page);
      await page.goto("/users/sessions");
      const focused = () => page.evaluate(() => document.activeElement.textContent.trim());
      await page.getByRole("button", { name: "Log out everywhere…" }).press("Enter");
      const order = [];
      for (let at = 0; at < 6; at += 1) {
        if (!(await page.evaluate(() => document.activeElement === document.body))) order.push(await focused());
        await page.keyboard.press("Tab");
      }
      assert.deepEqual(order.slice(0, 2), ["Cancel", "Log out everywhere"]);
      // Without a script, it is a popover.
      if (mode.javaScriptEnabled) assert.equal(order[2], "Cancel");
      await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).press("Escape");
      assert.equal(await focused(), "Log out everywhere…");
      assert.equal(await page.getByRole("dialog").count(), 0);
      await press(page, "Log out", page.locator(".device.current"));
    });
  });
});

/** Returns the names and badges of the devices, from top to bottom. */
async function names(page) {
  const texts = await page.locator(".device h2").allInnerTexts();
  return texts.map((text) => text.replace(/\s+/g, " ").trim());
}
