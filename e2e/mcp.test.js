// The example MCP server with the client of the MCP SDK: discovery, registration, log-in in a browser, a tool call,
// refresh and revocation.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { chromium } from "playwright-core";
import { startOtherSite } from "./support/app.js";
import { launchOptions } from "./support/browser.js";
import { SUITE_TIMEOUT } from "./support/suite.js";

/** What a client keeps between its runs. */
class Keeper {
  opened = null;

  constructor(callback) {
    this.redirectUrl = callback;
    this.clientMetadata = {
      client_name: "Test agent",
      redirect_uris: [callback],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      token_endpoint_auth_method: "none",
    };
  }

  state() {
    return "a state";
  }

  clientInformation() {
    return this.client;
  }

  saveClientInformation(client) {
    this.client = client;
  }

  tokens() {
    return this.saved;
  }

  saveTokens(tokens) {
    this.saved = tokens;
  }

  redirectToAuthorization(url) {
    this.opened = url;
  }

  saveCodeVerifier(verifier) {
    this.verifier = verifier;
  }

  codeVerifier() {
    return this.verifier;
  }
}

describe("the example MCP server", { timeout: SUITE_TIMEOUT }, () => {
  let folder, child, url, browser;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "mcp-e2e-"));
    const metadata = execFileSync("cargo", ["metadata", "--format-version=1", "--no-deps"], { cwd: import.meta.dirname });
    const binary = process.env.EXAMPLE_MCP_BIN || join(JSON.parse(metadata).target_directory, "debug", "example-mcp");
    const env = { PORT: "0", DATABASE: join(folder, "example.db") };
    child = spawn(binary, { env, stdio: ["ignore", "pipe", "inherit"] });
    const [line] = await once(child.stdout.setEncoding("utf8"), "data");
    url = line.match(/http:\S+/)[0];
    browser = await chromium.launch(launchOptions());
  });

  after(async () => {
    await browser?.close();
    if (child?.kill()) await once(child, "exit");
    await rm(folder, { recursive: true, force: true });
  });

  /** Connects, or finds out where to log in. */
  async function connect(keeper) {
    const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: keeper });
    const client = new Client({ name: "test", version: "1" });
    await client.connect(transport);
    return { client, transport };
  }

  const projects = async (client) => (await client.callTool({ name: "list_projects" })).content[0].text;

  it("is found, logged in at, called, refreshed and logged out of", async () => {
    let arrived;
    const answer = new Promise((resolve) => (arrived = resolve));
    const site = await startOtherSite(
      createServer((request, response) => {
        if (request.url.startsWith("/callback")) arrived(new URL(request.url, "http://127.0.0.1"));
        response.setHeader("content-type", "text/html").end("<!doctype html><title>Done</title>");
      }),
    );
    const keeper = new Keeper(`http://127.0.0.1:${site.port}/callback`);
    const first = new StreamableHTTPClientTransport(new URL(url), { authProvider: keeper });
    await assert.rejects(new Client({ name: "test", version: "1" }).connect(first), UnauthorizedError);
    assert.match(keeper.client.client_id, /^registered_/);
    assert.equal(keeper.opened.searchParams.get("resource"), url);

    const page = await (await browser.newContext()).newPage();
    await page.goto(keeper.opened.href);
    await page.getByLabel("Email").fill("ada@example.com");
    await page.getByLabel("Password").fill("correct horse battery staple");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByText("Test agent").waitFor();
    await page.getByText(`Its access is limited to ${url}`).waitFor();
    await page.getByRole("button", { name: "Give access" }).click();
    const back = await answer;
    await site.stop();
    assert.equal(back.searchParams.get("state"), "a state");
    await first.finishAuth(back.searchParams.get("code"));

    const { client, transport } = await connect(keeper);
    assert.deepEqual((await client.listTools()).tools.map((tool) => tool.name), ["list_projects"]);
    assert.equal(await projects(client), "The projects of ada@example.com: Difference Engine");
    await transport.close();

    // The client refreshes by itself when its token is refused.
    const before = keeper.saved.refresh_token;
    keeper.saved.access_token = "expired";
    const again = await connect(keeper);
    assert.equal(await projects(again.client), "The projects of ada@example.com: Difference Engine");
    assert.notEqual(keeper.saved.refresh_token, before);
    await again.transport.close();

    const body = new URLSearchParams({ client_id: keeper.client.client_id, token: keeper.saved.refresh_token });
    assert.equal((await fetch(new URL("/oauth/revoke", url), { method: "POST", body })).status, 200);
    const refused = await fetch(url, { method: "POST", headers: { authorization: `Bearer ${keeper.saved.access_token}` } });
    assert.equal(refused.status, 401);
  });
});
