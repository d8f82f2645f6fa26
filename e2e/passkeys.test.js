// Passkeys, with a virtual authenticator of the browser (WebAuthn section 11).
import assert from "node:assert/strict";
import { it } from "node:test";
import { REMEMBER_ME_COOKIE, assertAt, assertFlash, confirm, follow, logIn, logOut, openMail, press, send } from "./support/browser.js";
import { suite } from "./support/suite.js";

const PASSWORD = "four words in a row";

suite("a passkey", (world) => {
  let userCount = 0;

  /** Opens a browser with an authenticator. It only offers passkeys in the email field if asked to. */
  async function device({ offers = false } = {}) {
    const page = await world.browser();
    if (!offers) {
      await page.addInitScript(() => (PublicKeyCredential.isConditionalMediationAvailable = async () => false));
    }
    const session = await page.context().newCDPSession(page);
    await session.send("WebAuthn.enable", { enableUI: false });
    const { authenticatorId } = await session.send("WebAuthn.addVirtualAuthenticator", {
      options: {
        protocol: "ctap2",
        transport: "internal",
        hasResidentKey: true,
        hasUserVerification: true,
        isUserVerified: true,
        automaticPresenceSimulation: true,
      },
    });
    const unlock = (isUserVerified) => session.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified });
    const answer = (enabled) => session.send("WebAuthn.setAutomaticPresenceSimulation", { authenticatorId, enabled });
    return { page, unlock, answer };
  }

  async function member(options) {
    const user = { email: `keyed${(userCount += 1)}@example.com`, password: PASSWORD };
    const here = await device(options);
    // The virtual authenticator would choose an offered passkey immediately.
    await here.answer(false);
    await here.page.goto("/users/register");
    await send(here.page, { Email: user.email, Password: PASSWORD }, "Register");
    await openMail(here.page, user.email, "Confirm your email address");
    await press(here.page, "Confirm my email address");
    await logIn(here.page, user);
    await assertAt(here.page, "/");
    await here.answer(true);
    return { user, ...here };
  }

  async function add(page, name) {
    await page.goto("/users/settings/mfa");
    await send(page, { "Name of the new passkey (optional)": name }, "Add a passkey");
  }

  it("is added, named, and logs in without a password", async () => {
    const { user, page } = await member();
    await add(page, "My laptop");
    await assertFlash(page, "Passkey added.");
    assert.equal(await page.locator(".codes li").count(), 10);
    await follow(page, () => page.getByRole("link", { name: "I've saved my codes" }).click());
    await page.getByText("Rename").first().click();
    await send(page, { "New name": "My good old laptop" }, "Rename");
    assert.match(await page.locator("main").innerText(), /My good old laptop/);
    await logOut(page);

    await page.goto("/dashboard");
    await press(page, "Use a passkey");
    await assertAt(page, "/dashboard");
    await assertFlash(page, "Welcome back!");
    await openMail(page, user.email, "A second factor was added");
  });

  it("is offered in the email field", async () => {
    const { page, answer } = await member({ offers: true });
    await add(page, "My laptop");
    await answer(false);
    await follow(page, () => page.getByRole("link", { name: "I've saved my codes" }).click());
    await logOut(page);
    await answer(true);
    await follow(page, async () => {
      await page.goto("/users/log-in").catch(() => {});
      await page.waitForURL("**/");
    });
    await assertAt(page, "/");
    await assertFlash(page, "Welcome back!");
  });

  it("keeps its user logged in if they chose that", async () => {
    const { page } = await member();
    await add(page, "My laptop");
    await follow(page, () => page.getByRole("link", { name: "I've saved my codes" }).click());
    await logOut(page);
    await page.goto("/users/log-in");
    await page.getByLabel("Keep me logged in").check();
    await press(page, "Use a passkey");
    await assertAt(page, "/");
    const names = (await page.context().cookies()).map(({ name }) => name);
    assert.ok(names.includes(REMEMBER_ME_COOKIE), names.join());
  });

  it("is requested in a dialog that a late offer doesn't close", async () => {
    const page = await world.browser();
    await page.addInitScript(() => {
      PublicKeyCredential.isConditionalMediationAvailable = async () => true;
      globalThis.asked = [];
      // The user takes a while to answer the dialog.
      navigator.credentials.get = ({ mediation = "modal", signal }) => {
        const question = { mediation, isClosed: false };
        globalThis.asked.push(question);
        return new Promise((_, refuse) => {
          signal?.addEventListener("abort", () => {
            question.isClosed = true;
            refuse(signal.reason);
          });
        });
      };
    });
    // The offer gets its response after the dialog has opened.
    let isFirst = true;
    let opened;
    let came;
    const isOpen = new Promise((resolve) => (opened = resolve));
    const hasCome = new Promise((resolve) => (came = resolve));
    await page.route("**/users/log-in/passkey/options", async (route) => {
      const isOffer = isFirst;
      isFirst = false;
      const response = await route.fetch();
      if (isOffer) await isOpen;
      // The page may have canceled it.
      await route.fulfill({ response }).catch(() => {});
      if (isOffer) came();
    });
    const asked = page.waitForRequest("**/users/log-in/passkey/options");
    await page.goto("/users/log-in");
    await asked;
    await page.getByRole("button", { name: "Use a passkey" }).click();
    await page.waitForFunction(() => globalThis.asked.length > 0);
    opened();
    await hasCome;
    await page.waitForTimeout(500);
    assert.deepEqual(await page.evaluate(() => globalThis.asked), [{ mediation: "modal", isClosed: false }]);
    assert.equal(await page.getByRole("alert").count(), 0);
  });

  it("is a second factor after the password, and reauthenticates", async () => {
    const { user, page } = await member();
    await add(page, "My laptop");
    await follow(page, () => page.getByRole("link", { name: "I've saved my codes" }).click());
    await logOut(page);
    await logIn(page, user);
    await assertAt(page, "/users/mfa-challenge");
    await press(page, "Use a passkey");
    await assertAt(page, "/");

    await page.goto("/users/sudo");
    await press(page, "Use a passkey");
    await assertAt(page, "/");
    await page.goto("/users/settings/mfa");
    await confirm(page, /^Remove…/, "Remove passkey");
    await assertFlash(page, "Passkey removed.");
    await logOut(page);
    await logIn(page, user);
    await assertAt(page, "/");
  });

  it("is named after the browser that created it, unless the user names it", async () => {
    const { page } = await member();
    await page.goto("/users/settings/mfa");
    await press(page, "Add a passkey");
    await assertFlash(page, "Passkey added.");
    await follow(page, () => page.getByRole("link", { name: "I've saved my codes" }).click());
    await page.getByRole("heading", { name: "on Linux" }).waitFor();
  });

  it("fails if the user can't unlock it, and other ways remain", async () => {
    const { page, unlock } = await member();
    await unlock(false);
    await page.goto("/users/settings/mfa");
    await page.getByLabel("Name of the new passkey (optional)").fill("Somebody else's");
    await page.getByRole("button", { name: "Add a passkey" }).click();
    await page.getByRole("alert").filter({ hasText: "That didn't work" }).waitFor();
    await assertAt(page, "/users/settings/mfa");
  });

  it("is not offered without a script, or on another host", async () => {
    const plain = await world.browser({ javaScriptEnabled: false });
    await plain.goto("/users/log-in");
    assert.ok(!(await plain.getByRole("button", { name: "Use a passkey" }).isVisible()));
    const elsewhere = await world.browser({ baseURL: world.app.url.replace("localhost", "127.0.0.1") });
    await elsewhere.goto("/users/log-in");
    assert.ok(!(await elsewhere.getByRole("button", { name: "Use a passkey" }).isVisible()));
  });
}, "localhost");
