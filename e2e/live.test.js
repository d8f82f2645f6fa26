import assert from "node:assert/strict";
import { it } from "node:test";
import { PASSWORD } from "./support/app.js";
import { IPHONE_SAFARI, assertAt, assertFlash, confirm, follow, logIn, logInUnseen, logOut, press } from "./support/browser.js";
import { suite } from "./support/suite.js";

const SESSION_ENDED = 4401;
const WITHIN = 1000;
/** How long a page whose session has ended waits before it asks for the login page. */
const PAUSE = 500;
const NAP = 20;

suite("the live connection", (world) => {
  it("closes when another device logs this one out", async () => {
    const [here, there] = [await world.browser(), await world.browser({ userAgent: IPHONE_SAFARI })];
    await logInUnseen(here);
    await logInUnseen(there);
    const live = await openDashboard(there);
    await here.goto("/users/sessions");
    const phone = here.locator(".device", { hasText: "Safari on iPhone" });
    await assertEnds([live], here, () => press(here, "Log out", phone));
    await assertFlash(there, "You must log in to access this page.");

    await logIn(there, { from: null });
    await assertAt(there, "/dashboard");
    await there.getByText("on", { exact: true }).waitFor();
  });

  it("closes when the user logs out in another tab", async () => {
    const tab = await world.browser();
    await logInUnseen(tab, { rememberMe: true });
    const live = await openDashboard(await tab.context().newPage());
    await tab.goto("/");
    await assertEnds([live], tab, () => logOut(tab));
    await assertAt(tab, "/");
    await assertFlash(tab, "Logged out successfully.");
  });

  it("closes on all devices when the user logs out everywhere", async () => {
    const [here, there] = [await world.browser(), await world.browser()];
    await logInUnseen(here);
    await logInUnseen(there, { rememberMe: true });
    const otherTab = await openDashboard(await here.context().newPage());
    const otherDevice = await openDashboard(there);
    await here.goto("/users/sessions");
    await assertEnds([otherTab, otherDevice], here, () => confirm(here, "Log out everywhere…", "Log out everywhere"));
    await assertFlash(here, "Logged out of all devices.");
  });

  it("stays open when another session ends", async () => {
    const [here, there] = [await world.browser(), await world.browser()];
    await logInUnseen(here);
    await logInUnseen(there);
    const live = await openDashboard(there);
    await here.goto("/");
    await logOut(here);
    await waitForClosing(there);
    assert.deepEqual(live.closed, []);
    assert.equal(await there.locator("#live-status").innerText(), "on");
  });

  it("stays open when the user reauthenticates or logs in again in another tab", async () => {
    const tab = await world.browser();
    const stale = await tab.context().newPage();
    await stale.goto("/users/log-in");
    await logInUnseen(tab);
    const live = await openDashboard(await tab.context().newPage());
    await tab.goto("/users/sudo");
    await tab.getByLabel("Password").fill(PASSWORD);
    await press(tab, "Continue");
    await waitForClosing(tab);
    assert.deepEqual(live.closed, []);

    await follow(live.page, () => logIn(stale, { from: null }));
    await assertAt(live.page, "/dashboard");
    await live.page.getByText("on", { exact: true }).waitFor();
    assert.deepEqual(live.closed.map(({ code }) => code), [SESSION_ENDED]);
  });

  it("reconnects after an interruption, unless its session has ended", async () => {
    const page = await world.browser();
    await logInUnseen(page);
    const live = await openDashboard(page);
    await interrupt(page);
    await page.getByText("on", { exact: true }).waitFor();

    world.expectProblem(/WebSocket.* failed|status of 401/);
    await interrupt(page, { isAway: true });
    // Like on another device, so this browser isn't notified.
    await page.request.delete("/users/log-out", { headers: { origin: world.app.url } });
    // It may have noticed already.
    await page.evaluate(() => (window.isAway = false)).catch(() => {});
    await page.waitForURL("/users/log-in");
    assert.ok(live.closed.every(({ code }) => code !== SESSION_ENDED));
  });
});

/** Opens the dashboard, and records when its connections close and why, and what it says about them. */
async function openDashboard(page) {
  const live = { page, closed: [] };
  await page.exposeFunction("noteClose", (code, inPage) => live.closed.push({ code, at: Date.now(), inPage }));
  await page.addInitScript(() => {
    window.sockets = [];
    window.isAway = false;
    window.WebSocket = class extends WebSocket {
      constructor(url) {
        super(window.isAway ? `${url}/away` : url);
        window.sockets.push(this);
        this.addEventListener("close", (event) => window.noteClose(event.code, Date.now()));
      }
    };
    window.said = [];
    const listen = () => window.said.push(document.getElementById("live-status")?.textContent ?? "");
    new MutationObserver(listen).observe(document, { subtree: true, childList: true, characterData: true });
  });
  await page.goto("/dashboard");
  await page.getByText("on", { exact: true }).waitFor();
  return live;
}

/** Closes the connection, and waits until the page has noticed. With `isAway`, no other connection can be opened. */
async function interrupt(page, { isAway = false } = {}) {
  await page.evaluate((isAway) => {
    Object.assign(window, { isAway, said: [] });
    window.sockets.at(-1).close();
  }, isAway);
  // It may have another connection soon.
  await page.waitForFunction(() => window.said.some((text) => text.includes("reconnecting")));
}

/** Waits longer than closing a connection may take. */
async function waitForClosing(page) {
  await page.waitForTimeout(WITHIN * 1.5);
}

/** Measures the longest delay of timers on this machine. */
function watchForStalls() {
  let longest = 0;
  let due = Date.now() + NAP;
  const timer = setInterval(() => {
    longest = Math.max(longest, Date.now() - due);
    due = Date.now() + NAP;
  }, NAP);
  return () => {
    clearInterval(timer);
    return longest;
  };
}

/** Sends a form, and expects it to close the connections and to redirect their pages. */
async function assertEnds(lives, sender, send) {
  let answeredAt;
  const longestStall = watchForStalls();
  // Not the response to a `GET`: the icon of the page may come late.
  const isForm = (response) => response.request().method() === "POST";
  sender.on("response", (response) => isForm(response) && (answeredAt ??= Date.now()));
  // The next page of the sender shows a message. It must come first, however slow it is.
  let isDone;
  const done = new Promise((resolve) => (isDone = resolve));
  for (const { page } of lives) await page.route("**/dashboard", (route) => done.then(() => route.continue()));
  await send();
  isDone();
  for (const { page, closed } of lives) {
    await page.waitForURL("/users/log-in");
    assert.deepEqual(closed.map(({ code }) => code), [SESSION_ENDED]);
    const paused = (await page.evaluate(() => performance.timeOrigin)) - closed[0].inPage;
    assert.ok(paused > PAUSE - 50, `left ${paused} ms after the connection had closed`);
    const took = closed[0].at - answeredAt;
    assert.ok(took < WITHIN + longestStall(), `closed ${took} ms after the response`);
  }
}
