// Runs the application as a process: on a free port, in a new folder, with an empty database.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export const EMAIL = "demo@example.com";
export const PASSWORD = "correct horse battery staple";

const START_TIMEOUT = 60_000;
const STOP_TIMEOUT = 3_000;

/**
 * Starts the application, and waits until it responds: `{ url, port, log(), stop() }`. Passkeys need a host name,
 * such as `localhost`.
 */
export async function startApp(env = {}, host = "127.0.0.1") {
  const folder = await mkdtemp(join(tmpdir(), "my_app-e2e-"));
  const port = await freePort();
  const url = `http://${host}:${port}`;
  const child = spawn(binary(), {
    cwd: folder,
    env: {
      APP_ENV: "dev",
      PORT: String(port),
      PUBLIC_URL: url,
      DATABASE_URL: `sqlite://${join(folder, "my_app.db")}`,
      RATE_LIMITS: "off",
      NO_COLOR: "1",
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (log += text));
  const exited = new Promise((resolve) => child.once("exit", resolve).once("error", resolve));
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);

  const stop = async () => {
    child.kill("SIGTERM");
    const late = setTimeout(kill, STOP_TIMEOUT);
    await exited;
    clearTimeout(late);
    process.off("exit", kill);
    await rm(folder, { recursive: true, force: true });
  };

  const deadline = Date.now() + START_TIMEOUT;
  // Another process may have taken the port in the meantime. Then it responds instead, and this one ends.
  while (!log.includes("listening") || !(await isUp(url))) {
    if (Date.now() > deadline || child.exitCode !== null || child.pid === undefined) {
      await stop();
      if (log.includes("Address already in use")) return startApp(env, host);
      throw new Error(`the application did not start:\n${log}`);
    }
    await sleep(50);
  }
  return { url, port, log: () => log, stop };
}

/** Serves pages from another origin: `{ port, stop() }`. */
export async function startOtherSite(server) {
  // A test that fails may not stop it, and the tests must end all the same.
  server.listen(0, "127.0.0.1").unref();
  await once(server, "listening");
  return {
    port: server.address().port,
    stop: () => new Promise((resolve) => (server.close(resolve), server.closeAllConnections())),
  };
}

function binary() {
  const path = process.env.MY_APP_BIN || join(targetDirectory(), "debug", "my_app");
  if (!existsSync(path)) throw new Error(`there is no ${path}: run \`cargo build --package my_app\` first`);
  return path;
}

function targetDirectory() {
  const metadata = execFileSync("cargo", ["metadata", "--format-version=1", "--no-deps"], {
    cwd: import.meta.dirname,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  return JSON.parse(metadata).target_directory;
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

async function isUp(url) {
  try {
    return (await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(1000) })).ok;
  } catch {
    return false;
  }
}
