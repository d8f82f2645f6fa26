// What all test files share: a server and a browser of their own, and a close look at every page they open.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe } from "node:test";
import { chromium } from "playwright-core";
import { PASSWORD, startApp } from "./app.js";
import { launchOptions, watch } from "./browser.js";

const ACTION_TIMEOUT = 10_000;

/**
 * A group of tests against one server. After each test its browsers are closed, and must have complained of
 * nothing.
 */
export function suite(name, define, host) {
  describe(name, { timeout: 80_000 }, () => {
    const world = new World(host);
    before(() => world.start());
    afterEach(() => world.tidy());
    after(() => world.stop());
    define(world);
  });
}

/** Runs the same tests for people with and without JavaScript. */
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

  /** A server with an empty database, in place of the one before. */
  async restartApp(env = {}) {
    await this.app.stop();
    this.app = await startApp(env, this.host);
  }

  /** A browser of its own, with a page open: what it stores, it shares with no other. */
  async browser(options = {}, chromium = this.chromium) {
    return this.#open(await chromium.newContext({ baseURL: this.app.url, ...options }));
  }

  /** A folder to keep a browser's data in, for [`restartable`]. */
  async profile() {
    const folder = await mkdtemp(join(tmpdir(), "my_app-profile-"));
    this.#folders.push(folder);
    return folder;
  }

  /** A whole browser process with its data in a folder. Close its context, and start it again. */
  async restartable(profile, options = {}) {
    const context = await chromium.launchPersistentContext(profile, {
      ...launchOptions(),
      baseURL: this.app.url,
      ...options,
    });
    return this.#open(context, context.pages()[0]);
  }

  /** Says that a test makes the browser complain, and of what. */
  expectProblem(pattern) {
    this.#expected.push(pattern);
  }

  async tidy() {
    const [problems, expected, contexts, folders] = [this.problems, this.#expected, this.#contexts, this.#folders];
    [this.problems, this.#expected, this.#contexts, this.#folders] = [[], [], [], []];
    await Promise.all(contexts.map((context) => context.close()));
    await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true, maxRetries: 3 })));
    const surprises = problems.filter((problem) => !expected.some((pattern) => pattern.test(problem)));
    assert.deepEqual(surprises, [], "the browser complained");
    for (const pattern of expected) {
      assert.ok(problems.some((problem) => pattern.test(problem)), `the browser did not complain of ${pattern}`);
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
