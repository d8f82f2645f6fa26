// Chromium, and common actions of users.
import assert from "node:assert/strict";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { EMAIL, PASSWORD } from "./app.js";

export const LINUX_FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
export const IPHONE_SAFARI =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) " +
  "Version/18.0 Mobile/15E148 Safari/604.1";
export const WINDOWS_CHROME =
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

export const SESSION_COOKIE = "_my_app_key";
export const REMEMBER_ME_COOKIE = "_my_app_web_user_remember_me";
export const DEVICE_COOKIE = "_my_app_device";
export const LAST_LOGIN_METHOD_COOKIE = "_my_app_last_login_method";

/** Returns the options to start Chromium. */
export function launchOptions() {
  return {
    executablePath: process.env.CHROMIUM || onPath("chromium"),
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  };
}

/** Records the problems of pages: script errors, refused content, failed requests. */
export function watch(context, problems) {
  context.on("weberror", (error) => problems.push(`script error: ${error.error()}`));
  context.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) problems.push(`console: ${message.text()}`);
  });
}

/** Runs an action that loads another page, and waits for that page. */
export async function follow(page, action) {
  // The current page may still be loading, and the event could be its own.
  await page.waitForLoadState();
  const loaded = page.waitForEvent("load");
  await Promise.all([loaded, action()]);
}

/** Presses a button of a form, and waits for the next page. */
export function press(page, name, within = page) {
  return follow(page, () => within.getByRole("button", { name }).click());
}

/** Logs out with the menu of the account. */
export async function logOut(page) {
  await page.getByRole("button", { name: "Your account" }).click();
  await press(page, "Log out", page.locator("header"));
}

/** Presses a button that opens a dialog, and then the button in the dialog that does what it asks. */
export async function confirm(page, open, answer) {
  await page.getByRole("button", { name: open }).click();
  await press(page, answer, page.getByRole("dialog"));
}

/** Fills in the login page and sends it. With `from: null`, uses the current page. */
export async function logIn(page, options = {}) {
  const { email = EMAIL, password = PASSWORD, rememberMe = false, from = "/users/log-in" } = options;
  if (from) await page.goto(from);
  await page.getByLabel("Email").fill(email);
  await page.getByLabel("Password").fill(password);
  if (rememberMe) await page.getByLabel("Keep me logged in").check();
  await press(page, "Log in");
}

/** Fills in fields by their labels, and sends the form. */
export async function send(page, fields, button, within = page) {
  for (const [label, value] of Object.entries(fields)) await within.getByLabel(label, { exact: true }).fill(value);
  await press(page, button, within);
}

/** Opens the link in the newest email to an address, from the mailbox page. */
export async function openMail(page, email, subject) {
  await page.goto("/dev/mailbox?text=true");
  const mails = page.getByRole("navigation", { name: "Emails" }).getByRole("link");
  await follow(page, () => mails.filter({ hasText: `To ${email}` }).filter({ hasText: subject }).first().click());
  await follow(page, () => page.locator(".mail").getByRole("link").click());
}

/** Logs in without opening the login page. */
export async function logInUnseen(page, { rememberMe = false } = {}) {
  const form = { "user[email]": EMAIL, "user[password]": PASSWORD, ...(rememberMe && { "user[remember_me]": "true" }) };
  const response = await page.request.post("/users/log-in", { form, maxRedirects: 0 });
  assert.equal(response.status(), 303);
}

/** Waits for the field that has the focus when a page opens: the browser gives it with the first frame of the page. */
export async function assertFocused(page, id) {
  await page.locator(`#${id}:focus`).waitFor();
}

export async function assertAt(page, path) {
  const url = new URL(page.url());
  assert.equal(url.pathname + url.search, path);
}

export async function assertFlash(page, ...texts) {
  assert.deepEqual(await page.locator(".flash").allInnerTexts(), texts);
}

export async function assertAnonymous(page) {
  await page.goto("/dashboard");
  await assertAt(page, "/users/log-in");
}

export async function assertLoggedIn(page) {
  await page.goto("/dashboard");
  await assertAt(page, "/dashboard");
  assert.match(await page.locator("main").innerText(), new RegExp(EMAIL));
}

/** Returns the names of all cookies, except those that stay after a logout and log nobody in. */
export async function cookieNames(context) {
  const names = (await context.cookies()).map((cookie) => cookie.name);
  return names.filter((name) => ![DEVICE_COOKIE, LAST_LOGIN_METHOD_COOKIE].includes(name)).sort();
}

function onPath(name) {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  throw new Error(`${name} is not on the PATH: install it, or set CHROMIUM to its path`);
}
