// The frame of all test files: a server and a browser for each, and checks of every page that they open.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";
import { PASSWORD, startApp } from "./app.js";
import { launchOptions, watch } from "./browser.js";

/** Longer than any step takes on a slow machine, where passwords are hashed with a low priority. */
const ACTION_TIMEOUT = 60_000;
/** Longer than all tests of a file take there. */
export const SUITE_TIMEOUT = 1_200_000;

/**
 * Defines a group of tests with one server. After each test, its browsers are closed, and must have reported no
 * problems.
 */
export function suite(name, define, host) {
  describe(name, { timeout: SUITE_TIMEOUT }, () => {
    const world = new World(host);
    before(() => world.start());
    afterEach(() => world.tidy());
    after(() => world.stop());
    define(world);
  });
}

/** Runs the same tests with and without JavaScript. */
export function withAndWithoutJavaScript(define) {
  for (const javaScriptEnabled of [true, false]) {
    describe(`with JavaScript ${javaScriptEnabled ? "on" : "off"}`, () => define({ javaScriptEnabled }));
  }
}

class World {
  problems = [];
  #contexts = [];
  #expected = [];
  #folders = [];

  constructor(host) {
    this.host = host;
  }

  async start() {
    this.app = await startApp({}, this.host);
    this.chromium = await chromium.launch(launchOptions());
  }

  /** Starts a server with an empty database, in place of the previous one. */
  async restartApp(env = {}) {
    await this.app.stop();
    this.app = await startApp(env, this.host);
  }

  /** Opens a new browser with a page. It shares no storage with others. */
  async browser(options = {}, chromium = this.chromium) {
    return this.#open(await chromium.newContext({ baseURL: this.app.url, ...options }));
  }

  /** Creates a folder for a browser's data, for [`restartable`]. */
  async profile() {
    const folder = await mkdtemp(join(tmpdir(), "my_app-profile-"));
    this.#folders.push(folder);
    return folder;
  }

  /** Starts a browser process with its data in a folder. To restart it, close its context and call this again. */
  async restartable(profile, options = {}) {
    const context = await chromium.launchPersistentContext(profile, {
      ...launchOptions(),
      baseURL: this.app.url,
      ...options,
    });
    return this.#open(context, context.pages()[0]);
  }

  /** Expects the browser to report a problem. */
  expectProblem(pattern) {
    this.#expected.push(pattern);
  }

  async tidy() {
    const [problems, expected, contexts, folders] = [this.problems, this.#expected, this.#contexts, this.#folders];
    [this.problems, this.#expected, this.#contexts, this.#folders] = [[], [], [], []];
    await reported(problems, expected);
    await Promise.all(contexts.map((context) => context.close()));
    await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true, maxRetries: 3 })));
    const surprises = problems.filter((problem) => !expected.some((pattern) => pattern.test(problem)));
    assert.deepEqual(surprises, [], "the browser reported problems");
    for (const pattern of expected) {
      assert.ok(problems.some((problem) => pattern.test(problem)), `the browser did not report ${pattern}`);
    }
  }

  async stop() {
    await this.chromium?.close();
    await this.app?.stop();
    const log = this.app?.log() ?? "";
    assert.doesNotMatch(log, /panicked|\bERROR\b/, "the server failed");
    assert.ok(!log.replace(/^my_app is at .*$/m, "").includes(PASSWORD), "the server logged a password");
  }

  async #open(context, page) {
    this.#contexts.push(context);
    context.setDefaultTimeout(ACTION_TIMEOUT);
    watch(context, this.problems);
    return page ?? (await context.newPage());
  }
}

/** Waits until the browser has reported all expected problems, which may come later than what they are about. */
async function reported(problems, expected) {
  const isMissing = (pattern) => !problems.some((problem) => pattern.test(problem));
  for (const deadline = Date.now() + ACTION_TIMEOUT; expected.some(isMissing) && Date.now() < deadline; ) await sleep(20);
}
