// The Vite configurations of the guide to single-page frontends and of its example, in front of a backend that returns
// what it received.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer as createBackend, request } from "node:http";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { createServer } from "vite";

const FRONTEND = fileURLToPath(new URL("../examples/single-page/frontend", import.meta.url));
const GUIDE = new URL("../docs/single-page-apps.md", import.meta.url);

let backend;

before(async () => {
  backend = createBackend((received, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ path: received.url, headers: received.headers }));
  });
  backend.listen(0, "127.0.0.1");
  await once(backend, "listening");
});

after(() => backend.close());

/** Returns the configuration in the guide. */
async function ofGuide() {
  const block = (await readFile(GUIDE, "utf8")).match(/`vite\.config\.js`:\n\n```js\n([^]*?)```/)[1];
  return (await import(`data:text/javascript,${encodeURIComponent(block)}`)).default;
}

async function ofExample() {
  return (await import("../examples/single-page/frontend/vite.config.js")).default;
}

/** Starts Vite with a configuration whose requests go to our backend. */
async function start(t, { server }) {
  const target = `http://127.0.0.1:${backend.address().port}`;
  const proxied = Object.entries(server.proxy).map(([path, options]) => [path, { ...options, target }]);
  const vite = await createServer({
    configFile: false,
    root: FRONTEND,
    logLevel: "silent",
    server: { ...server, proxy: Object.fromEntries(proxied), host: "127.0.0.1", port: 0, ws: false },
  });
  await vite.listen();
  t.after(() => vite.close());
  return vite.httpServer.address().port;
}

/** Sends a request as a browser does that opened the frontend at `localhost`. */
function send(port, path, mode) {
  const headers = { host: `localhost:${port}`, origin: `http://localhost:${port}`, "sec-fetch-site": "same-origin" };
  headers["sec-fetch-mode"] = mode;
  if (mode === "navigate") headers.accept = "text/html";
  return new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port, path, headers }, async (response) => {
      let text = "";
      for await (const part of response) text += part;
      resolve({ status: response.statusCode, text });
    });
    sent.on("error", reject).end();
  });
}

describe("a single-page frontend", () => {
  for (const [name, config, paths] of [
    ["the guide", ofGuide, ["/users/log-in", "/me"]],
    ["the example", ofExample, ["/api/me"]],
  ]) {
    test(`with the configuration of ${name}, requests of scripts don't look forged to the backend`, async (t) => {
      const port = await start(t, await config());
      for (const path of paths) {
        const { text } = await send(port, path, "cors");
        const received = JSON.parse(text);
        assert.equal(received.path, path);
        assert.equal(received.headers.host, `localhost:${port}`);
        assert.equal(received.headers.origin, `http://localhost:${port}`);
        assert.equal(received.headers["sec-fetch-site"], "same-origin");
      }
      assert.match((await send(port, "/", "navigate")).text, /<form id="log-in"/);
    });
  }

  test("links in emails lead to pages of the frontend", async (t) => {
    const port = await start(t, await ofGuide());
    const { status, text } = await send(port, "/users/confirm/abc", "navigate");
    assert.equal(status, 200);
    assert.match(text, /<form id="log-in"/);
  });
});
