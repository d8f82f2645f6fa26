// better-auth on Node's own HTTP server, with its defaults: every request asks the database (its cookie cache
// is off unless turned on). With `TOKENS=on`, it is asked with keys of the plugin for API keys.

import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { apiKey } from "@better-auth/api-key";
import { betterAuth } from "better-auth";
import { APIError, createAuthEndpoint } from "better-auth/api";
import { setSessionCookie } from "better-auth/cookies";
import { getMigrations } from "better-auth/db/migration";
import { fromNodeHeaders, toNodeHandler } from "better-auth/node";
import database from "./database.js";

const { open, each, email, users, sessions, tokens, port } = database;
const db = open();

/** Logs in by number, as better-auth's own plugins do when they have found out who it is. */
const logInByNumber = {
  id: "log-in-by-number",
  endpoints: {
    logIn: createAuthEndpoint("/log-in/:number", { method: "POST" }, async (context) => {
      const { internalAdapter } = context.context;
      const found = await internalAdapter.findUserByEmail(email(context.params.number));
      if (!found) throw new APIError("NOT_FOUND");
      const session = await internalAdapter.createSession(found.user.id);
      await setSessionCookie(context, { session, user: found.user });
      return context.json({});
    }),
  },
};

/** A session for each request with a key, which is the plugin's way to say whose it is. */
const keys = apiKey({ enableSessionForAPIKeys: true, rateLimit: { enabled: false } });

const options = {
  database: db,
  secret: randomBytes(32).toString("hex"),
  baseURL: `http://127.0.0.1:${port}`,
  basePath: "/",
  emailAndPassword: { enabled: true },
  plugins: tokens ? [logInByNumber, keys] : [logInByNumber],
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  logger: { level: "error" },
};
await (await getMigrations(options)).runMigrations();
fill();

const auth = betterAuth(options);
const handle = toNodeHandler(auth);

createServer(async (request, response) => {
  if (request.url === "/hello") return response.setHeader("content-type", "text/plain").end("Hello");
  if (tokens && request.url === "/tokens") return createKey(request, response);
  if (request.url !== "/me") return handle(request, response);
  const found = await auth.api.getSession({ headers: fromNodeHeaders(request.headers) });
  if (!found) return response.writeHead(401).end();
  response.setHeader("content-type", "text/plain");
  response.end(found.user.email);
}).listen(port, "127.0.0.1");

async function createKey(request, response) {
  const found = await auth.api.getSession({ headers: fromNodeHeaders(request.headers) });
  if (!found) return response.writeHead(401).end();
  response.end((await auth.api.createApiKey({ body: { userId: found.user.id } })).key);
}

function fill() {
  const now = new Date().toISOString();
  const later = new Date(Date.now() + 7 * 86400000).toISOString();
  const id = () => randomBytes(24).toString("base64url");
  const ids = [];
  const user = "INSERT INTO user (id, name, email, emailVerified, createdAt, updatedAt) VALUES (?, ?, ?, 1, ?, ?)";
  each(db, users, user, (n) => [(ids[n] = id()), `User ${n}`, email(n), now, now]);
  const session =
    "INSERT INTO session (id, expiresAt, token, createdAt, updatedAt, ipAddress, userId) VALUES (?, ?, ?, ?, ?, ?, ?)";
  each(db, sessions, session, (n) => [id(), later, id(), now, now, "127.0.0.1", ids[1 + (n % users)]]);
  if (!tokens) return;
  const key =
    "INSERT INTO apikey (id, configId, referenceId, key, enabled, rateLimitEnabled, createdAt, updatedAt) " +
    "VALUES (?, 'default', ?, ?, 1, 0, ?, ?)";
  const hash = () => randomBytes(32).toString("base64url");
  each(db, sessions, key, (n) => [id(), ids[1 + (n % users)], hash(), now, now]);
}
