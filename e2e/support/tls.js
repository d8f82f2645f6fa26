// A TLS front for the application, and a Chromium that binds sessions to its device.
import { execFileSync } from "node:child_process";
import { X509Certificate, createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { createServer } from "node:https";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launchOptions } from "./browser.js";

/** Makes a certificate for `localhost`: `{ key, cert, spki }`. */
export function makeCertificate() {
  const folder = mkdtempSync(join(tmpdir(), "my_app-tls-"));
  try {
    const [keyFile, certFile] = [join(folder, "key.pem"), join(folder, "cert.pem")];
    execFileSync(
      "openssl",
      [
        ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost".split(" "),
        ...["-addext", "subjectAltName=DNS:localhost", "-keyout", keyFile, "-out", certFile],
      ],
      { stdio: "pipe" },
    );
    const [key, cert] = [readFileSync(keyFile), readFileSync(certFile)];
    const publicKey = new X509Certificate(cert).publicKey.export({ type: "spki", format: "der" });
    return { key, cert, spki: createHash("sha256").update(publicKey).digest("base64") };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Starts a server that passes requests and WebSockets on to an application: `{ url, requests, passTo(port), stop() }`.
 * `requests` has `{ line, headers, status }` of each, in the order of their arrival.
 */
export async function startTlsFront({ key, cert }) {
  const requests = [];
  let port;
  const note = ({ method, url, headers }) => {
    const noted = { line: `${method} ${url}`, headers, status: undefined };
    requests.push(noted);
    return noted;
  };
  const server = createServer({ key, cert }, (request, response) => {
    const noted = note(request);
    const { method, url: path, headers } = request;
    const passed = httpRequest({ host: "127.0.0.1", port, method, path, headers, setHost: false }, (answer) => {
      noted.status = answer.statusCode;
      response.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(response);
    });
    passed.on("error", () => response.destroy());
    request.pipe(passed);
  });
  const sockets = new Set();
  server.on("upgrade", (request, socket, head) => {
    note(request);
    const passed = connect(port, "127.0.0.1", () => {
      const lines = [`${request.method} ${request.url} HTTP/1.1`];
      for (let i = 0; i < request.rawHeaders.length; i += 2) {
        lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`);
      }
      passed.write(`${lines.join("\r\n")}\r\n\r\n`);
      passed.write(head);
      passed.pipe(socket).pipe(passed);
    });
    for (const [one, other] of [[passed, socket], [socket, passed]]) {
      sockets.add(one);
      one.on("error", () => other.destroy()).on("close", () => (other.destroy(), sockets.delete(one)));
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `https://localhost:${server.address().port}`,
    requests,
    passTo: (other) => (port = other),
    stop: async () => {
      sockets.forEach((socket) => socket.destroy());
      server.closeAllConnections();
      server.close();
    },
  };
}

/**
 * Prepares a profile for device-bound sessions, and returns the options to start Chromium with it. Linux has no TPM, so
 * the keys are software keys. A flag of the command line doesn't turn that on: the file with the experiments does.
 */
export async function deviceBoundOptions(profile, spki) {
  const experiments = [
    "enable-bound-session-credentials-software-keys-for-manual-testing@1",
    "enable-standard-device-bound-session-credentials@2",
  ];
  await writeFile(join(profile, "Local State"), JSON.stringify({ browser: { enabled_labs_experiments: experiments } }));
  const { executablePath, args } = launchOptions();
  return {
    executablePath,
    // The default arguments of Playwright turn features off.
    ignoreDefaultArgs: true,
    args: [
      ...args,
      "--headless=new",
      "--remote-debugging-pipe",
      `--user-data-dir=${profile}`,
      // A certificate that isn't trusted would rule bound sessions out, even if errors are ignored.
      `--ignore-certificate-errors-spki-list=${spki}`,
      "about:blank",
    ],
  };
}
