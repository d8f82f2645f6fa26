// Programs that log in by OAuth with a library that others wrote, oauth4webapi: in a browser, and with a code.
import assert from "node:assert/strict";
import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import * as oauth from "oauth4webapi";
import { EMAIL, PASSWORD, startOtherSite } from "./support/app.js";
import { assertAt, follow, logIn, openMail, press, send } from "./support/browser.js";
import { suite, withAndWithoutJavaScript } from "./support/suite.js";

const client = { client_id: "my_app_cli" };
const publicClient = oauth.None();
const INSECURE = { [oauth.allowInsecureRequests]: true };
const FROM_LINUX = { ...INSECURE, headers: { "user-agent": "my_app_cli/1.0 (linux)" } };

/** Reads the metadata of the server, which must name itself. */
async function discover(url) {
  const issuer = new URL(url);
  return oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...INSECURE }));
}

/** Calls the API with an access token. */
async function me(url, token) {
  const headers = { authorization: `Bearer ${token}` };
  return fetch(`${url}/api/me`, { headers });
}

/** Returns what a program asks a browser for. */
async function authorizeUrl(server, callback, verifier, state) {
  const url = new URL(server.authorization_endpoint);
  for (const [name, value] of Object.entries({
    response_type: "code",
    client_id: client.client_id,
    redirect_uri: callback.uri,
    scope: "projects:read",
    state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  })) {
    url.searchParams.set(name, value);
  }
  return url.href;
}

/** Listens where the browser comes back to: `{ uri, url }`, of which the last is a promise. */
async function listen() {
  let arrived;
  const url = new Promise((resolve) => (arrived = resolve));
  const site = await startOtherSite(
    createServer((request, response) => {
      if (request.url.startsWith("/callback")) arrived(new URL(request.url, "http://127.0.0.1"));
      response.setHeader("content-type", "text/html").end("<!doctype html><title>Done</title><link rel=icon href=data:,>");
    }),
  );
  return { uri: `http://127.0.0.1:${site.port}/callback`, url, stop: site.stop };
}

suite(
  "programs",
  (world) => {
    withAndWithoutJavaScript((mode) => {
      it("logs in with a browser, refreshes, and is ended on the devices page", async () => {
        const server = await discover(world.app.url);
        const [verifier, state, callback] = [oauth.generateRandomCodeVerifier(), oauth.generateRandomState(), await listen()];
        const page = await world.browser(mode);
        await page.goto(await authorizeUrl(server, callback, verifier, state));
        await logIn(page, { from: null });
        assert.equal(await page.getByRole("heading", { level: 1 }).textContent(), "Give MyApp CLI access?");
        await press(page, "Give access");
        const answer = oauth.validateAuthResponse(server, client, await callback.url, state);
        await callback.stop();
        const exchanged = await oauth.authorizationCodeGrantRequest(
          server, client, publicClient, answer, callback.uri, verifier, FROM_LINUX,
        );
        const tokens = await oauth.processAuthorizationCodeResponse(server, client, exchanged);
        assert.deepEqual(await (await me(world.app.url, tokens.access_token)).json().then((me) => me.permissions), [
          "projects:read",
        ]);
        const refreshed = await oauth.refreshTokenGrantRequest(server, client, publicClient, tokens.refresh_token, FROM_LINUX);
        const next = await oauth.processRefreshTokenResponse(server, client, refreshed);
        assert.notEqual(next.refresh_token, tokens.refresh_token);

        await openMail(page, EMAIL, "A program got access to your account");
        const program = page.getByRole("listitem").filter({ hasText: "MyApp CLI on Linux" });
        await press(page, "End access", program);
        assert.equal((await me(world.app.url, next.access_token)).status, 401);
        const ended = await oauth.refreshTokenGrantRequest(server, client, publicClient, next.refresh_token, FROM_LINUX);
        await assert.rejects(oauth.processRefreshTokenResponse(server, client, ended), { error: "invalid_grant" });
      });

      it("logs in with a code, and logs out", async () => {
        const server = await discover(world.app.url);
        const parameters = new URLSearchParams({ scope: "projects:read" });
        const begun = await oauth.deviceAuthorizationRequest(server, client, publicClient, parameters, FROM_LINUX);
        const waiting = await oauth.processDeviceAuthorizationResponse(server, client, begun);
        const page = await world.browser(mode);
        await page.goto(waiting.verification_uri_complete);
        await logIn(page, { from: null });
        assert.equal(await page.getByLabel("Code").inputValue(), waiting.user_code);
        await send(page, { Code: waiting.user_code.toLowerCase() }, "Continue");
        assert.match(await page.getByRole("main").textContent(), /on Linux, with the IP address 127\.0\.0\.1/);
        await press(page, "Give access");
        assert.match(await page.getByRole("status").textContent(), /MyApp CLI can now access your account/);
        const polled = await oauth.deviceCodeGrantRequest(server, client, publicClient, waiting.device_code, FROM_LINUX);
        const tokens = await oauth.processDeviceCodeResponse(server, client, polled);
        assert.equal((await me(world.app.url, tokens.access_token)).status, 200);
        const revoked = await oauth.revocationRequest(server, client, publicClient, tokens.refresh_token, INSECURE);
        await oauth.processRevocationResponse(revoked);
        assert.equal((await me(world.app.url, tokens.access_token)).status, 401);
      });
    });

    it("logs in the example command line with a code", async () => {
      const metadata = execFileSync("cargo", ["metadata", "--format-version=1", "--no-deps"], { cwd: import.meta.dirname });
      const binary = process.env.EXAMPLE_CLI_BIN || join(JSON.parse(metadata).target_directory, "debug", "example-cli");
      const folder = await mkdtemp(join(tmpdir(), "cli-e2e-"));
      const env = { ACME_SERVER: world.app.url, XDG_CONFIG_HOME: folder };
      const whoami = () => promisify(execFile)(binary, ["whoami"], { env });
      await assert.rejects(whoami(), { code: 1, stderr: /you are not logged in/ });

      const login = spawn(binary, ["login", "--device"], { env, stdio: ["ignore", "pipe", "inherit"] });
      // It may end before the page has loaded that gives it access.
      const ended = once(login, "exit");
      const [line] = await once(login.stdout.setEncoding("utf8"), "data");
      const [, url, code] = line.match(/Open (\S+) and enter the code (\S+)/);
      const page = await world.browser();
      await page.goto(url);
      await logIn(page, { from: null });
      await send(page, { Code: code }, "Continue");
      await press(page, "Give access");
      assert.deepEqual(await ended, [0, null]);
      assert.match((await whoami()).stdout, /@.*projects:read/);

      await promisify(execFile)(binary, ["logout"], { env });
      await assert.rejects(whoami(), { code: 1 });
      await follow(page, () => page.goto(`${world.app.url}/users/sessions`));
      assert.equal(await page.getByText("MyApp CLI").count(), 0);
      await rm(folder, { recursive: true, force: true });
    });

    it("can be called by a page of another origin, which sends no cookies", async () => {
      const page = await world.browser();
      await logIn(page);
      const site = await startOtherSite(
        createServer((_, response) =>
          response.setHeader("content-type", "text/html").end("<!doctype html><title>Other</title><link rel=icon href=data:,>"),
        ),
      );
      await page.goto(`http://127.0.0.1:${site.port}/`);
      world.expectProblem(/status of 400/);
      const read = await page.evaluate(async (url) => {
        const body = new URLSearchParams({ grant_type: "refresh_token", client_id: "my_app_cli", refresh_token: "x" });
        const metadata = await (await fetch(`${url}/.well-known/oauth-authorization-server`)).json();
        return [metadata.issuer, await (await fetch(`${url}/oauth/token`, { method: "POST", body })).json()];
      }, world.app.url);
      assert.deepEqual([read[0], read[1].error], [world.app.url, "invalid_grant"]);
      await site.stop();
      await follow(page, () => page.goto(world.app.url));
    });

    it("gets access only after a recent login", async () => {
      // Longer than the next two pages take on a slow machine.
      const ttl = 10;
      await world.restartApp({ SUDO_TTL: String(ttl) });
      const server = await discover(world.app.url);
      const [verifier, state, callback] = [oauth.generateRandomCodeVerifier(), oauth.generateRandomState(), await listen()];
      const page = await world.browser();
      await logIn(page);
      await sleep(ttl * 1000);
      await page.goto(await authorizeUrl(server, callback, verifier, state));
      await assertAt(page, "/users/sudo");
      await send(page, { Password: PASSWORD }, "Continue");
      await press(page, "Give access");
      assert.equal((await callback.url).searchParams.get("state"), state);
      await callback.stop();
    });
  },
  "localhost",
);
