import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, it } from "node:test";
import { EMAIL, PASSWORD, startOtherSite } from "./support/app.js";
import { SESSION_COOKIE, assertAnonymous, assertLoggedIn, cookieNames, logInUnseen, press } from "./support/browser.js";
import { suite, withAndWithoutJavaScript } from "./support/suite.js";

suite("a page of another origin", (world) => {
  let site;
  let origins;
  before(async () => {
    site = await startOtherSite(createServer((request, response) => respond(request, response, world.app.url)));
    origins = [
      // Another port is the same site, so browsers send SameSite cookies.
      `http://127.0.0.1:${site.port}/`,
      `http://localhost:${site.port}/`,
      // A page that hides its origin: `Origin: null`.
      `http://127.0.0.1:${site.port}/hidden`,
    ];
  });
  after(() => site?.stop());

  withAndWithoutJavaScript((mode) => {
    it("can't log users in or out", async () => {
      const page = await world.browser(mode);
      for (const origin of origins) await assertRefused(page, origin, "Log in");
      assert.ok(!(await cookieNames(page.context())).includes(SESSION_COOKIE));
      await assertAnonymous(page);

      await logInUnseen(page, { rememberMe: true });
      const cookies = await page.context().cookies();
      for (const origin of origins) {
        for (const button of ["Log out here", "Log out everywhere"]) await assertRefused(page, origin, button);
      }
      assert.deepEqual(await page.context().cookies(), cookies);
      await assertLoggedIn(page);
    });
  });

  it("can't open the live connection or read who is logged in", async () => {
    const page = await world.browser();
    await logInUnseen(page);
    world.expectProblem(/WebSocket connection to .* failed: .*response code: 403/);
    world.expectProblem(/WebSocket connection to .* failed: .*(HTTP Authentication|response code: 40)/);
    world.expectProblem(/CORS|ERR_FAILED/);
    for (const origin of origins) {
      await page.goto(origin);
      const heard = await page.evaluate(async (url) => {
        const socket = await new Promise((resolve) => {
          const socket = new WebSocket(`${url.replace("http", "ws")}/live`);
          socket.onopen = () => resolve("open");
          socket.onerror = () => resolve("refused");
        });
        const request = fetch(`${url}/me`, { credentials: "include" });
        return { socket, me: await request.then((response) => response.text(), () => "refused") };
      }, world.app.url);
      assert.deepEqual(heard, { socket: "refused", me: "refused" }, origin);
    }
  });

  it("can't show our pages in a frame", async () => {
    const page = await world.browser();
    await logInUnseen(page);
    world.expectProblem(/frame-ancestors|X-Frame-Options/i);
    await page.goto(`${origins[0]}frame`);
    const refusals = () => world.problems.filter((problem) => /frame-ancestors|X-Frame-Options/i.test(problem));
    for (let waits = 0; refusals().length < 2 && waits < 1200; waits++) await page.waitForTimeout(50);
    assert.equal(refusals().length, 2, "both frames are refused");
    const frames = page.frames().slice(1);
    assert.equal(frames.length, 2);
    for (const frame of frames) assert.ok(!(await frame.content()).includes(EMAIL));
  });

  async function assertRefused(page, origin, button) {
    world.expectProblem(/status of 403/);
    await page.goto(origin);
    const pending = page.waitForResponse((response) => response.url().startsWith(world.app.url));
    await press(page, button);
    const response = await pending;
    assert.equal(response.request().method(), "POST");
    assert.equal(response.status(), 403);
    assert.match(await page.locator("main").innerText(), /didn't come from one of our own pages/);
  }
});

/** Responds with the pages of an attacker. */
function respond(request, response, app) {
  const field = (name, value) => `<input type="hidden" name="${name}" value="${value}">`;
  const form = (path, button, ...fields) =>
    `<form method="post" action="${app}${path}">${fields.join("")}<button>${button}</button></form>`;
  const pages = {
    "/frame": `<iframe src="${app}/users/log-in"></iframe><iframe src="${app}/dashboard"></iframe>`,
  };
  const forms = [
    form("/users/log-out", "Log out here", field("_method", "delete")),
    form("/users/sessions", "Log out everywhere", field("_method", "delete")),
    form("/users/log-in", "Log in", field("user[email]", EMAIL), field("user[password]", PASSWORD)),
  ];
  const headers = { "content-type": "text/html; charset=utf-8" };
  if (request.url === "/hidden") headers["referrer-policy"] = "no-referrer";
  const body = pages[request.url] ?? forms.join("");
  response.writeHead(200, headers).end(`<!doctype html><link rel="icon" href="data:,"><title>Other</title>${body}`);
}
