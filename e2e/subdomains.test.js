// A login that several subdomains share, but no other site.
import assert from "node:assert/strict";
import { it } from "node:test";
import { DEVICE_COOKIE, REMEMBER_ME_COOKIE, SESSION_COOKIE, assertAt, logIn, logOut } from "./support/browser.js";
import { suite } from "./support/suite.js";

suite("subdomains", (world) => {
  const at = (host, path = "/") => `http://${host}:${world.app.port}${path}`;
  const isLoggedIn = async (page, host) => {
    await page.goto(at(host, "/dashboard"));
    return new URL(page.url()).pathname === "/dashboard";
  };

  it("share a login and a logout under COOKIE_DOMAIN", async () => {
    await world.restartApp({ COOKIE_DOMAIN: "my-app.localhost" });
    const page = await world.browser();
    await logIn(page, { from: at("app.my-app.localhost", "/users/log-in"), rememberMe: true });
    await assertAt(page, "/");
    const cookies = await page.context().cookies();
    for (const name of [SESSION_COOKIE, REMEMBER_ME_COOKIE, DEVICE_COOKIE]) {
      assert.equal(cookies.find((cookie) => cookie.name === name)?.domain, ".my-app.localhost", name);
    }

    assert.ok(await isLoggedIn(page, "app.my-app.localhost"));
    assert.ok(await isLoggedIn(page, "api.my-app.localhost"), "one login for both");
    assert.ok(await isLoggedIn(page, "my-app.localhost"));
    assert.ok(!(await isLoggedIn(page, "other.localhost")), "another site gets nothing");
    assert.ok(!(await isLoggedIn(page, "evil-my-app.localhost")));

    await page.goto(at("api.my-app.localhost", "/dashboard"));
    await logOut(page);
    const left = (await page.context().cookies()).map((cookie) => cookie.name);
    assert.deepEqual(left.filter((name) => [SESSION_COOKIE, REMEMBER_ME_COOKIE].includes(name)), []);
    assert.ok(!(await isLoggedIn(page, "app.my-app.localhost")), "logged out of both");
  });

  it("don't share a login without COOKIE_DOMAIN", async () => {
    await world.restartApp();
    const page = await world.browser();
    await logIn(page, { from: at("app.my-app.localhost", "/users/log-in") });
    assert.ok(await isLoggedIn(page, "app.my-app.localhost"));
    assert.ok(!(await isLoggedIn(page, "api.my-app.localhost")));
    assert.ok(!(await isLoggedIn(page, "my-app.localhost")));
  });
});
