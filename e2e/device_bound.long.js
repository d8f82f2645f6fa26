// Sessions that are bound to the device they began on, over TLS.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";
import { startApp } from "./support/app.js";
import { confirm, launchOptions, logIn, logOut, send } from "./support/browser.js";
import { SUITE_TIMEOUT } from "./support/suite.js";
import { deviceBoundOptions, makeCertificate, startTlsFront } from "./support/tls.js";

const BOUND = "__Host-_my_app_binding";
const REGISTER = "POST /users/session/binding";
const REFRESH = "POST /users/session/binding/refresh";
const EMAIL = "ada@example.com";
const PASSWORD = "violet lantern over quiet water";

/** How long a bound cookie is valid, in seconds. Browsers drop it after three quarters of that. */
const TTL = 8;
const EXPIRY = TTL * 1000;
/** Longer than any step takes on a slow machine. */
const PATIENCE = 60_000;

describe("device-bound sessions", { timeout: SUITE_TIMEOUT }, () => {
  const certificate = makeCertificate();
  let front, app, context, profile;
  const others = [];

  /** Starts the browser that binds sessions, with its data in `profile`. */
  const start = async () => {
    const options = await deviceBoundOptions(profile, certificate.spki);
    context = await chromium.launchPersistentContext(profile, { ...options, baseURL: front.url });
    context.setDefaultTimeout(PATIENCE);
    return context.pages()[0] ?? (await context.newPage());
  };

  /** Starts a browser that doesn't know device-bound sessions. */
  const otherBrowser = async () => {
    const other = await chromium.launch(launchOptions());
    others.push(other);
    return other.newContext({ baseURL: front.url, ignoreHTTPSErrors: true });
  };

  const boundCookie = async () => (await context.cookies(front.url)).find((cookie) => cookie.name === BOUND);
  const seen = (line) => front.requests.filter((request) => request.line === line);
  const isLoggedIn = async (page) => (await page.goto("/dashboard")).url().endsWith("/dashboard");

  /** Waits until something holds. */
  const until = async (what, holds) => {
    for (const deadline = Date.now() + PATIENCE; Date.now() < deadline; await sleep(50)) {
      const value = await holds();
      if (value) return value;
    }
    assert.fail(`${what}:\n${front.requests.map(({ line, status }) => `${line} ${status}`).join("\n")}`);
  };

  /** Logs in with a browser that binds the session. */
  const bound = async (options = {}) => {
    const page = await start();
    await logIn(page, { email: EMAIL, password: PASSWORD, from: "/users/log-in", ...options });
    await until("the session was not bound", boundCookie);
    return page;
  };

  before(async () => {
    front = await startTlsFront(certificate);
    app = await startApp({
      APP_ENV: "prod",
      PUBLIC_URL: front.url,
      SECRET_KEY_BASE: "pYk1v0mTz8rXc4QbW7nLd2JhGs6EfAu9tRi3oKxVwNqMyZlBgPeHjCaSdUoIfTkD",
      SMTP_URL: "memory:",
      RATE_LIMITS: "on",
      BINDING_TTL: String(TTL),
    });
    front.passTo(app.port);
    const page = await (await otherBrowser()).newPage();
    await page.goto("/users/register");
    await send(page, { Email: EMAIL, Password: PASSWORD }, "Register");
    assert.ok(page.url().endsWith("/users/check-email"), page.url());
  });

  const fresh = async () => {
    profile = await mkdtemp(join(tmpdir(), "my_app-profile-"));
    front.requests.length = 0;
  };
  before(fresh);
  afterEach(async () => {
    await context?.close();
    context = undefined;
    await Promise.all(others.splice(0).map((other) => other.close()));
    await rm(profile, { recursive: true, force: true, maxRetries: 3 });
    await fresh();
  });
  after(async () => {
    await app?.stop();
    await front?.stop();
    await rm(profile, { recursive: true, force: true });
    assert.doesNotMatch(app?.log() ?? "", /panicked|\bERROR\b/, "the server failed");
  });

  it("begin with a login, and renew their cookie before the next request", async () => {
    const page = await bound();
    assert.equal(seen(REGISTER).length, 1, "it is registered once");
    await page.goto("/users/sessions");
    assert.equal(await page.getByText("Protected against theft").count(), 1);

    await sleep(EXPIRY);
    const before = front.requests.length;
    assert.ok(await isLoggedIn(page));
    const lines = front.requests.slice(before).map((request) => request.line);
    assert.equal(lines[0], REFRESH, `the page waits for the renewal: ${lines}`);
    assert.ok(lines.indexOf("GET /dashboard") > 0, lines.join("\n"));
    assert.ok(await boundCookie());
  });

  it("renew their cookie ahead of time", async () => {
    const page = await bound();
    const first = await boundCookie();
    const renewed = async () => {
      await page.goto("/dashboard");
      const cookie = await boundCookie();
      return cookie && cookie.value !== first.value;
    };
    for (const deadline = first.expires * 1000 - 300; Date.now() < deadline; await sleep(200)) {
      if (await renewed()) return;
    }
    assert.fail("it was not renewed before it expired");
  });

  it("make copied cookies worth nothing", async () => {
    // It is open already, because the bound cookie is valid for seconds.
    const elsewhere = await otherBrowser();
    const thief = await elsewhere.newPage();
    const page = await bound({ rememberMe: true });
    const stolen = await context.cookies(front.url);
    await elsewhere.addCookies(stolen);
    assert.ok(await isLoggedIn(thief), "for the rest of the life of the bound cookie");
    await sleep(EXPIRY);
    // This browser deletes it. A thief wouldn't.
    await elsewhere.addCookies(stolen.map((cookie) => ({ ...cookie, expires: Date.now() / 1000 + 3600 })));
    assert.ok(!(await isLoggedIn(thief)));
    assert.ok(!(await isLoggedIn(thief)));
    assert.ok(await isLoggedIn(page), "the user stays logged in");
    await page.goto("/users/settings/activity");
    assert.equal(await page.getByText("A copy of this session's cookies was used").count(), 1);
  });

  it("end in the browser at a logout", async () => {
    const page = await bound({ rememberMe: true });
    await page.goto("/dashboard");
    await logOut(page);
    assert.equal(await boundCookie(), undefined);
    assert.ok(!(await isLoggedIn(page)));
    const ended = seen(REFRESH).length;
    await page.goto("/");
    assert.equal(seen(REFRESH).length, ended, "the browser doesn't try to renew it any more");
  });

  it("end in the browser at a logout everywhere on another device", async () => {
    const page = await bound({ rememberMe: true });
    const other = await (await otherBrowser()).newPage();
    await logIn(other, { email: EMAIL, password: PASSWORD, from: "/users/log-in" });
    await other.goto("/users/sessions");
    await confirm(other, "Log out everywhere…", "Log out everywhere");
    assert.ok(!(await isLoggedIn(page)));
    await sleep(EXPIRY);
    await page.goto("/");
    const ended = seen(REFRESH).length;
    await page.goto("/");
    assert.equal(seen(REFRESH).length, ended, "the browser doesn't try to renew it any more");
  });

  it("survive a restart of the browser, if the user asked to stay logged in", async () => {
    await bound({ rememberMe: true });
    await context.close();
    await sleep(EXPIRY);
    const page = await start();
    assert.ok(await isLoggedIn(page));
    assert.ok(await boundCookie());
    assert.equal(seen(REGISTER).length, 1, "it is the same session");
  });

  it("renew their cookie before a page that a link on another site leads to", async () => {
    const page = await bound();
    const alarms = async () => {
      await page.goto("/users/settings/activity");
      return page.getByText("A copy of this session's cookies was used").count();
    };
    const before = await alarms();
    const link = `<a href="${front.url}/dashboard">Dashboard</a>`;
    const other = createServer((_, response) => response.setHeader("content-type", "text/html").end(link));
    try {
      await once(other.listen(0, "127.0.0.1"), "listening");
      await page.goto(`http://127.0.0.1:${other.address().port}/`);
      await sleep(EXPIRY);
      await page.getByRole("link").click();
      await page.waitForURL(`${front.url}/**`);
      assert.ok(page.url().endsWith("/dashboard"), page.url());
    } finally {
      other.closeAllConnections();
      other.close();
    }
    await sleep(EXPIRY);
    assert.ok(await isLoggedIn(page), "the session is still bound");
    assert.equal(await alarms(), before, "a false alarm");
  });

  it("work in two tabs at once", async () => {
    const page = await bound();
    const tab = await context.newPage();
    await sleep(EXPIRY);
    assert.deepEqual(await Promise.all([isLoggedIn(page), isLoggedIn(tab)]), [true, true]);
  });

  it("keep live connections open, and end those of a browser that doesn't renew its cookie", async () => {
    const page = await bound();
    await page.goto("/dashboard");
    const opened = () => seen("GET /live").length;
    await until("no live connection", opened);
    // Nothing else is requested, so the server closes the connection, and the page opens another one.
    await sleep(EXPIRY * 2);
    await until("the connection was not opened again", () => opened() > 1);
    assert.ok(seen(REFRESH).length > 0);
    assert.ok(await isLoggedIn(page));
  });
});
