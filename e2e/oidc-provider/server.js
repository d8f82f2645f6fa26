// A certified OpenID Connect provider on loopback, for the tests of the library and of the application:
//
//     node server.js [PORT]
//
// It prints its issuer as its first line, and ends with its standard input. Whoever opens its login page types who they
// are. `jane@example.com` has a verified address, `unverified.jane@example.com` an unverified one, and `jane` none.
// `POST /test/rotate-keys` replaces its keys.
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const LOOPBACK = ["127.0.0.1", "localhost", "[::1]"];

// One client for each algorithm, and one that sends its secret in the body.
const CLIENTS = [
  { client_id: "my_app" },
  { client_id: "my_app_post", token_endpoint_auth_method: "client_secret_post" },
  { client_id: "my_app_PS256", id_token_signed_response_alg: "PS256" },
  { client_id: "my_app_ES256", id_token_signed_response_alg: "ES256" },
  { client_id: "my_app_EdDSA", id_token_signed_response_alg: "EdDSA" },
].map((client) => ({
  client_secret: "a client secret: 100% & more",
  redirect_uris: ["http://127.0.0.1/callback"],
  grant_types: ["authorization_code"],
  response_types: ["code"],
  ...client,
}));

function newKeys() {
  const pairs = [
    generateKeyPairSync("rsa", { modulusLength: 2048 }),
    generateKeyPairSync("ec", { namedCurve: "P-256" }),
    generateKeyPairSync("ed25519"),
  ];
  return pairs.map(({ privateKey }) => ({ ...privateKey.export({ format: "jwk" }), kid: randomUUID(), use: "sig" }));
}

function newProvider(issuer) {
  const provider = new Provider(issuer, {
    clients: CLIENTS,
    jwks: { keys: newKeys() },
    cookies: { keys: ["the cookies outlive a rotation of the signing keys"] },
    claims: { openid: ["sub"], email: ["email", "email_verified"] },
    enabledJWA: { idTokenSigningAlgValues: ["RS256", "PS256", "ES256", "EdDSA"] },
    features: { devInteractions: { enabled: false } },
    findAccount: (_context, id) => ({ accountId: id, claims: () => claimsOf(id) }),
    interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
    // Whoever logs in has allowed everything.
    async loadExistingGrant({ oidc }) {
      const grant = new oidc.provider.Grant({ accountId: oidc.session.accountId, clientId: oidc.client.clientId });
      grant.addOIDCScope("openid email");
      await grant.save();
      return grant;
    },
  });
  // The application under test has another port each time.
  provider.Client.prototype.redirectUriAllowed = (uri) => LOOPBACK.includes(new URL(uri).hostname);
  return provider;
}

function claimsOf(id) {
  const email = id.includes("@") ? { email: id, email_verified: !id.startsWith("unverified.") } : {};
  return { sub: id, ...email };
}

const PAGE = `<!doctype html>
<html lang="en">
<title>Log in at the provider</title>
<form method="post">
  <label>Who are you? <input name="login" required></label>
  <button>Log in</button>
</form>
`;

async function logIn(provider, request, response) {
  if (request.method !== "POST") {
    response.writeHead(200, { "content-type": "text/html" }).end(PAGE);
    return;
  }
  let body = "";
  for await (const chunk of request) body += chunk;
  const accountId = new URLSearchParams(body).get("login");
  await provider.interactionFinished(request, response, { login: { accountId } });
}

let provider;

const server = createServer(async (request, response) => {
  try {
    if (request.method === "POST" && request.url === "/test/rotate-keys") {
      provider = newProvider(provider.issuer);
      response.writeHead(204).end();
    } else if (request.url === "/favicon.ico") {
      response.writeHead(204).end();
    } else if (request.url.startsWith("/interaction/")) {
      await logIn(provider, request, response);
    } else {
      await provider.callback()(request, response);
    }
  } catch (error) {
    response.writeHead(400).end(String(error));
  }
});

server.listen(Number(process.argv[2] ?? 0), "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  provider = newProvider(issuer);
  console.log(issuer);
});

process.stdin.on("end", () => process.exit(0)).resume();
