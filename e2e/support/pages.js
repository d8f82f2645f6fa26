// All pages of the application, and the rules that each must follow.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { EMAIL } from "./app.js";
import { IPHONE_SAFARI, LINUX_FIREFOX, follow, logIn, logInUnseen, logOut, openMail, press, send } from "./browser.js";
import { AuthenticatorApp } from "./authenticator_app.js";

export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };

/**
 * Opens each page, and passes it to `visit` with its name. `browser(options)` opens a new browser.
 * Three devices are logged in at the end.
 */
export async function eachPage(browser, options, visit) {
  const page = await browser(options);
  const open = async (name, path) => {
    if (path) await page.goto(path);
    await visit(name, page);
  };
  await open("home-anonymous", "/");
  await open("log-in", "/users/log-in");
  await logIn(page, { password: "not the password" });
  await open("log-in-error");
  await page.goto("/dashboard");
  await open("log-in-required");
  await open("not-found", "/no/such/page");
  await open("mailbox-empty", "/dev/mailbox");
  await open("register", "/users/register");
  for (const input of await page.locator("input").all()) await input.evaluate((input) => input.removeAttribute("minlength"));
  await send(page, { Email: "grace@example.com", Password: "tooshort" }, "Register");
  await open("register-error");
  await send(page, { Email: "grace@example.com", Password: "a good long password" }, "Register");
  await open("check-email");
  await openMail(page, "grace@example.com", "Confirm your email address");
  await open("confirm");
  await open("confirm-ask", "/users/confirm");
  await open("reset-password-ask", "/users/reset-password");
  await send(page, { Email: "grace@example.com" }, "Send me a link");
  await openMail(page, "grace@example.com", "Reset your password");
  await open("reset-password");
  const twice = { "New password": "a better long password", "Confirm new password": "something different" };
  await send(page, twice, "Set password");
  await open("reset-password-error");
  await page.goto("/users/log-in");
  await send(page, { Email: "grace@example.com" }, "Email me a link");
  await open("check-email-log-in");
  await openMail(page, "grace@example.com", "Log in to MyApp");
  await open("log-in-link");
  await open("mailbox", "/dev/mailbox");
  await open("mailbox-text", "/dev/mailbox?text=true");
  await secondFactorPages(page, options, open);
  await page.goto("/users/log-in");
  await page.getByLabel("Password").evaluate((input) => (input.name = "other"));
  await send(page, { Email: EMAIL, Password: "x" }, "Log in");
  await open("form-unreadable");
  await open("log-in-again", "/users/log-in");
  await logIn(page);
  await page.goto("/");
  await open("home");
  await open("dashboard", "/dashboard");
  await open("sudo", "/users/sudo");
  await open("settings", "/users/settings");
  await page.getByRole("button", { name: "Your account" }).click();
  await open("menu");
  await open("settings-email", "/users/settings/email");
  await send(page, { "New email address": EMAIL }, "Change email address");
  await open("settings-email-error");
  await open("settings-password", "/users/settings/password");
  await send(page, { "New password": "a good long password", "Confirm new password": "another" }, "Change password");
  await open("settings-password-error");
  await open("settings-delete", "/users/settings/delete");
  await page.goto("/users/settings/delete");
  await send(page, { [`Type ${EMAIL} to delete your account`]: "ada@example.com" }, "Delete my account");
  await open("settings-delete-error");
  await open("log-in-methods", "/users/settings/log-in-methods");
  await open("settings-language", "/users/settings/language");
  await open("activity", "/users/settings/activity");
  await tokenPages(page, open);
  await programPages(page, open);
  for (const [userAgent, rememberMe] of [[IPHONE_SAFARI, true], [LINUX_FIREFOX, false]]) {
    await logInUnseen(await browser({ ...options, userAgent }), { rememberMe });
  }
  await open("devices", "/users/sessions");
  await page.getByRole("button", { name: "Log out everywhere…" }).click();
  await open("devices-confirm");
  await open("not-found-logged-in", "/no/such/page");
}

/** The number of users who set up a second factor. */
let adas = 0;

/** Visits the pages of setting up a second factor. The user is logged out at the end. */
async function secondFactorPages(page, { javaScriptEnabled = true }, open) {
  const ada = { email: `ada${(adas += 1)}@example.com`, password: "a good long password" };
  await page.goto("/users/register");
  await send(page, { Email: ada.email, Password: ada.password }, "Register");
  await logIn(page, ada);
  await open("mfa-settings-unconfirmed", "/users/settings/mfa");
  await openMail(page, ada.email, "Confirm your email address");
  await press(page, "Confirm my email address");
  await open("mfa-settings", "/users/settings/mfa");
  await follow(page, () => page.getByRole("link", { name: "Set up an app" }).click());
  await page.getByText("Can't scan it?").click();
  await open("totp");
  const app = await AuthenticatorApp.scan(page);
  await send(page, { "Code from the app": app.wrongCode() }, "Turn on");
  await open("totp-error");
  await send(page, { "Code from the app": await app.code() }, "Turn on");
  await open("backup-codes");
  const codes = await page.locator(".codes code").allInnerTexts();
  await follow(page, () => page.getByRole("link", { name: "I've saved my codes" }).click());
  await open("mfa-settings-on");
  if (javaScriptEnabled) await passkeyPages(page, open);
  await logOut(page);
  await logIn(page, ada);
  await open("mfa-challenge");
  await follow(page, () => page.getByRole("link", { name: "Use a backup code" }).click());
  await open("mfa-challenge-backup-code");
  await page.getByLabel("Trust this browser").check();
  await send(page, { "Backup code": codes[0] }, "Continue");
  await open("devices-trusted", "/users/sessions");
  await open("sudo-second-factor", "/users/sudo");
  await page.goto("/");
  await logOut(page);
}

/** Visits the settings of a user with a passkey, which a virtual authenticator creates. */
async function passkeyPages(page, open) {
  await page.addInitScript(() => (PublicKeyCredential.isConditionalMediationAvailable = async () => false));
  const session = await page.context().newCDPSession(page);
  await session.send("WebAuthn.enable", { enableUI: false });
  const kind = { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true };
  const options = { ...kind, isUserVerified: true, automaticPresenceSimulation: true };
  await session.send("WebAuthn.addVirtualAuthenticator", { options });
  await send(page, { "Name of the new passkey (optional)": "My laptop" }, "Add a passkey");
  await open("mfa-settings-passkey");
  await page.locator("summary", { hasText: "Rename" }).click();
  await open("mfa-settings-rename");
  await page.getByRole("button", { name: "Remove… My laptop" }).click();
  await open("mfa-settings-remove");
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
}

/** Visits the settings of access tokens. */
async function tokenPages(page, open) {
  const create = async (fields) => {
    await page.goto("/users/settings/tokens");
    await page.getByLabel("Name").fill("A script that copies all projects each night");
    if (fields.permission) await page.getByLabel(fields.permission).check();
    if (fields.date) await page.getByLabel("Expires", { exact: true }).selectOption("On the date below");
    if (fields.date) await page.getByLabel("Last day on which it is valid").fill(fields.date);
    await press(page, "Create token");
  };
  await open("tokens", "/users/settings/tokens");
  await create({});
  await open("tokens-permission-error");
  await create({ permission: "See your projects", date: "2020-01-31" });
  await open("tokens-date-error");
  await create({ permission: "See your projects" });
  await open("tokens-created");
  await page.getByRole("button", { name: "Revoke…" }).first().click();
  await open("tokens-revoke");
}

/** Visits the pages on which the user gives programs access. */
async function programPages(page, open) {
  const asked = { client_id: "my_app_cli", scope: "projects:read projects:write" };
  const challenge = { code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", code_challenge_method: "S256" };
  const authorize = (client) =>
    `/oauth/authorize?${new URLSearchParams({ ...asked, ...challenge, ...client, response_type: "code" })}`;
  await open("authorize", authorize({ redirect_uri: "http://127.0.0.1:9/callback" }));
  await open("authorize-problem", authorize({ client_id: "unknown", redirect_uri: "http://127.0.0.1:9/callback" }));
  await open("device", "/device");
  await send(page, { Code: "BCDF-GHJK" }, "Continue");
  await open("device-error");
  const device = await page.request.post("/oauth/device_authorization", { form: asked });
  await page.goto((await device.json()).verification_uri_complete);
  await press(page, "Continue");
  await open("authorize-device");
  await press(page, "Cancel");
  await open("device-canceled");
}

/** Replaces the email address with a very long one, because pages must not get wider than the screen. */
export async function stretchEmail(page) {
  const long = "maximiliane.von-und-zu-hohenlohe-langenburg@international.example-corporation.com";
  await page.evaluate(
    ([email, long]) => {
      const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      while (texts.nextNode()) texts.currentNode.data = texts.currentNode.data.replaceAll(email, long);
      for (const input of document.querySelectorAll("input[type=email]")) input.value = long;
    },
    [EMAIL, long],
  );
}

const TRANSLATIONS = join(import.meta.dirname, "../../crates/cargo-sigra/template/locales/de.po");

/** Shows the words of the page in German, in which they are longer, while `look` runs. Texts with parameters stay. */
export async function inGerman(page, look) {
  const german = [...readFileSync(TRANSLATIONS, "utf8").matchAll(/^msgid (".+")\nmsgstr (".+")$/gm)];
  const replaced = await page.evaluateHandle(
    (german) => {
      const replaced = [];
      const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      while (texts.nextNode()) {
        const { data } = texts.currentNode;
        if (!german[data.trim()]) continue;
        replaced.push([texts.currentNode, data]);
        texts.currentNode.data = data.replace(data.trim(), () => german[data.trim()]);
      }
      return replaced;
    },
    Object.fromEntries(german.map(([, english, german]) => [JSON.parse(english), JSON.parse(german)])),
  );
  await look();
  await replaced.evaluate((replaced) => replaced.forEach(([text, data]) => (text.data = data)));
}

/** Returns descriptions of what is wrong with the current page. Runs inside the page. */
export function faults() {
  const found = [];
  const check = (holds, fault) => holds || found.push(fault);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const isShown = (element) =>
    element.checkVisibility() && element.getBoundingClientRect().right > 0 && !element.closest(".visually-hidden");
  const named = (element) => element.outerHTML.slice(0, 90);
  const root = document.documentElement;

  check(root.lang, "the language is not given");
  check(document.title.includes(" · "), "the title does not say what the page is");
  check(all("h1").length === 1, `${all("h1").length} main headings`);
  check(all("main").length === 1, `${all("main").length} main parts`);
  const levels = all("h1, h2, h3, h4").map((heading) => Number(heading.tagName[1]));
  check(levels.every((level, at) => level <= (levels[at - 1] ?? 0) + 1), `headings skip a level: ${levels}`);

  for (const input of all("input:not([type=hidden])")) {
    check(input.labels.length === 1, `no label: ${named(input)}`);
    if (!["checkbox", "date"].includes(input.type)) check(input.autocomplete, `no autocomplete: ${named(input)}`);
    const takesEmail = input.type === "email" && !input.readOnly;
    check(!takesEmail || input.maxLength === 254, `too short for some addresses: ${named(input)}`);
  }
  for (const control of all("a, button")) check(control.textContent.trim(), `no name: ${named(control)}`);
  for (const flash of all(".flash")) {
    const role = flash.classList.contains("flash-error") ? "alert" : "status";
    check(flash.getAttribute("role") === role, `not the role ${role}: ${named(flash)}`);
  }
  const problems = all(".field .problem, fieldset .problem").map((problem) => problem.closest(".field, fieldset"));
  const isAtProblem = problems.some((field) => field.contains(document.activeElement));
  check(!problems.length || isAtProblem, `the focus is not at a problem: ${named(document.activeElement)}`);
  const ids = all("[id]").map((element) => element.id);
  check(new Set(ids).size === ids.length, `an id is used twice: ${ids}`);
  for (const reference of all("[aria-describedby], [aria-labelledby]")) {
    const names = ["aria-describedby", "aria-labelledby"].map((name) => reference.getAttribute(name) ?? "").join(" ");
    for (const id of names.trim().split(/\s+/)) check(document.getElementById(id), `no #${id}: ${named(reference)}`);
  }
  check(!all("[style], style, script:not([src])").length, "inline style or script");

  const width = document.scrollingElement.scrollWidth;
  check(width <= root.clientWidth, `scrolls sideways: ${width} px on ${root.clientWidth} px`);
  for (const element of all("body *").filter(isShown)) {
    const isCut = element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).overflowX === "hidden";
    check(!isCut || element.title, `cut off, and nowhere to read in full: ${named(element)}`);
  }
  for (const target of all("a, button, input:not([type=hidden])").filter(isShown)) {
    const { height } = (target.type === "checkbox" ? target.labels[0] : target).getBoundingClientRect();
    check(height >= 40, `hard to touch, ${Math.round(height)} px high: ${named(target)}`);
  }

  // Mixed colors are `color(srgb 0.5 0.5 0.5)`, others `rgb(127, 127, 127)`.
  const channels = (color) => {
    const numbers = color.match(/[\d.]+/g).map(Number);
    return color.startsWith("color(") ? numbers.map((number, at) => (at < 3 ? number * 255 : number)) : numbers;
  };
  const luminance = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map((c) => (c <= 10 ? c / 3294 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = channels(getComputedStyle(at).backgroundColor);
      if (color[3] !== 0) return color;
    }
    return [255, 255, 255];
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !isShown(element)) continue;
    const tones = [luminance(channels(getComputedStyle(element).color)), luminance(ground(element))].sort();
    const contrast = (Math.max(...tones) + 0.05) / (Math.min(...tones) + 0.05);
    check(contrast >= 4.5, `contrast ${contrast.toFixed(1)}: ${named(element)}`);
  }
  return found;
}
