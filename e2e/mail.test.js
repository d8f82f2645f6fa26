// Emails through a real mail server, with outages.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { simpleParser } from "mailparser";
import { SMTPServer } from "smtp-server";
import { startApp } from "./support/app.js";
import { SUITE_TIMEOUT } from "./support/suite.js";

const SENDER = "MyApp <hello@my-app.example>";

describe("mail", { timeout: SUITE_TIMEOUT }, () => {
  const running = [];
  after(async () => {
    for (const stop of running.reverse()) await stop();
  });

  /** Starts a mail server that keeps received emails: `{ port, mails }`. */
  async function startMailServer(port = 0, options = {}) {
    const mails = [];
    const server = new SMTPServer({
      authOptional: true,
      disabledCommands: ["STARTTLS"],
      logger: false,
      // The application keeps connections open.
      closeTimeout: 100,
      onData: (stream, session, done) => simpleParser(stream).then((mail) => (mails.push(mail), done()), done),
      ...options,
    });
    server.listen(port, "127.0.0.1");
    await once(server.server, "listening");
    let stopped;
    const stop = () => (stopped ??= new Promise((resolve) => server.close(resolve)));
    running.push(stop);
    return { port: server.server.address().port, mails, stop };
  }

  async function startAppWith(port) {
    const app = await startApp({ SMTP_URL: `smtp://127.0.0.1:${port}`, MAIL_FROM: SENDER });
    running.push(app.stop);
    return app;
  }

  async function register(app, email) {
    const body = new URLSearchParams({ "user[email]": email, "user[password]": "a few words in a row" });
    return fetch(`${app.url}/users/register`, { method: "POST", body, redirect: "manual" });
  }

  async function arrival(mails, count = 1) {
    for (let waited = 0; mails.length < count && waited < 120_000; waited += 50) await sleep(50);
    assert.equal(mails.length, count, "emails arrived");
    return mails[count - 1];
  }

  it("arrives as text and as HTML, with a link to PUBLIC_URL", async () => {
    const server = await startMailServer();
    const app = await startAppWith(server.port);
    assert.equal((await register(app, "ada@example.com")).status, 303);
    const mail = await arrival(server.mails);
    assert.equal(mail.to.text, "ada@example.com");
    assert.equal(mail.from.text, '"MyApp" <hello@my-app.example>');
    assert.equal(mail.subject, "Confirm your email address");
    assert.equal(mail.headers.get("auto-submitted"), "auto-generated");
    const link = mail.text.match(/http\S+/)[0];
    assert.ok(link.startsWith(`${app.url}/users/confirm/`), link);
    assert.ok(mail.html.includes(`href="${link}"`));
    assert.equal((await fetch(link)).status, 200);
  });

  it("is sent later if the server is down, and the registration succeeds", async () => {
    const away = await startMailServer();
    await away.stop();
    const app = await startAppWith(away.port);
    assert.equal((await register(app, "grace@example.com")).status, 303);
    while (!app.log().includes("mail.delayed")) await sleep(20);
    const back = await startMailServer(away.port);
    const mail = await arrival(back.mails);
    assert.equal(mail.to.text, "grace@example.com");
    assert.ok(!app.log().includes("grace@example.com"), "the log has no email address");
  });

  it("is given up if the server refuses it permanently, and the log says so", async () => {
    const refusal = Object.assign(new Error("no such mailbox: eve@example.com"), { responseCode: 550 });
    const server = await startMailServer(0, { onRcptTo: (address, session, done) => done(refusal) });
    const app = await startAppWith(server.port);
    assert.equal((await register(app, "eve@example.com")).status, 303);
    while (!app.log().includes("mail.failed")) await sleep(20);
    assert.match(app.log(), /it responded with 550/);
    assert.ok(!app.log().includes("eve@example.com"));
  });
});
