import assert from "node:assert/strict";
import { it } from "node:test";
import { PASSWORD } from "./support/app.js";
import { IPHONE_SAFARI, assertAt, assertFlash, confirm, follow, logIn, logInUnseen, logOut, press } from "./support/browser.js";
import { suite } from "./support/suite.js";

const SESSION_ENDED = 4401;
const WITHIN = 1000;
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
    await page.evaluate(() => window.sockets.at(-1).close());
    await page.getByText("reconnecting").waitFor();
    await page.getByText("on", { exact: true }).waitFor();

    world.expectProblem(/WebSocket.* failed|status of 401/);
    await page.evaluate(() => window.sockets.at(-1).close());
    await page.getByText("reconnecting").waitFor();
    // Like on another device, so this browser isn't notified.
    await page.request.delete("/users/log-out", { headers: { origin: world.app.url } });
    await page.waitForURL("/users/log-in");
    assert.ok(live.closed.every(({ code }) => code !== SESSION_ENDED));
  });
});

/** Opens the dashboard, and records when its connections close and why. */
async function openDashboard(page) {
  const live = { page, closed: [] };
  await page.exposeFunction("noteClose", (code) => live.closed.push({ code, at: Date.now() }));
  await page.addInitScript(() => {
    window.sockets = [];
    window.WebSocket = class extends WebSocket {
      constructor(...args) {
        super(...args);
        window.sockets.push(this);
        this.addEventListener("close", (event) => window.noteClose(event.code));
      }
    };
  });
  await page.goto("/dashboard");
  await page.getByText("on", { exact: true }).waitFor();
  return live;
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
  await send();
  for (const { page, closed } of lives) {
    await page.waitForURL("/users/log-in");
    assert.deepEqual(closed.map(({ code }) => code), [SESSION_ENDED]);
    const took = closed[0].at - answeredAt;
    assert.ok(took < WITHIN + longestStall(), `closed ${took} ms after the response`);
  }
}
