import assert from "node:assert/strict";
import { it } from "node:test";
import { assertAt, logIn, press } from "./support/browser.js";
import { suite, withAndWithoutJavaScript } from "./support/suite.js";

const languageOf = (page) => page.evaluate(() => document.documentElement.lang);
const heading = (page) => page.locator("h1").innerText();

suite("languages", (world) => {
  withAndWithoutJavaScript((mode) => {
    it("follow the browser, and a visitor can choose another one without losing the page", async () => {
      const page = await world.browser({ ...mode, locale: "de-AT" });
      await page.goto("/users/log-in");
      assert.equal(await heading(page), "Anmelden");
      await press(page, "English");
      await assertAt(page, "/users/log-in");
      assert.equal(await heading(page), "Log in");
      await press(page, "Deutsch");
      await assertAt(page, "/users/log-in");
      assert.equal(await languageOf(page), "de");
      await page.goto("/users/register");
      assert.equal(await heading(page), "Registrieren");
    });

    it("are a setting of the user, in every browser", async () => {
      const page = await world.browser(mode);
      await logIn(page);
      await page.goto("/users/settings/language");
      await page.getByLabel("Language of pages and emails").selectOption("Deutsch");
      await press(page, "Save");
      await page.getByText("Ihre Sprache wurde gespeichert.").waitFor();
      assert.equal(await heading(page), "Sprache");
      const other = await world.browser(mode);
      await logIn(other);
      assert.equal(await languageOf(other), "de");
      await other.getByText("Willkommen zurück!").waitFor();
      await page.getByLabel("Sprache der Seiten und E-Mails").selectOption("Wie in meinem Browser");
      await press(page, "Speichern");
      await page.getByText("Your language was saved.").waitFor();
    });
  });

  it("include the texts of scripts", async () => {
    const page = await world.browser({ locale: "de-DE" });
    await page.goto("/users/log-in");
    const password = page.getByLabel("Passwort", { exact: true });
    await page.getByRole("button", { name: "Passwort anzeigen" }).click();
    assert.equal(await password.getAttribute("type"), "text");
    const hide = page.getByRole("button", { name: "Passwort verbergen" });
    assert.match(await hide.innerText(), /^Verbergen/);
    await hide.click();
    assert.equal(await password.getAttribute("type"), "password");
  });
});
