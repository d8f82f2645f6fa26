const message = document.querySelector("#message");
const logIn = document.querySelector("#log-in");
const logOut = document.querySelector("#log-out");

/** Calls the API. Fails with a problem: `{ status, title, code }`. */
async function call(method, path, body) {
  const headers = body ? { "content-type": "application/json" } : {};
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  if (!response.ok) throw await response.json();
  return response.status === 204 ? null : response.json();
}

function show(user, text) {
  message.textContent = user ? `Hello ${user.email}` : text;
  logIn.hidden = Boolean(user);
  logOut.hidden = !user;
}

logIn.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    show(await call("POST", "/api/log-in", Object.fromEntries(new FormData(logIn))));
  } catch (problem) {
    show(null, problem.code === "wrong_credentials" ? "Wrong email or password." : problem.title);
  }
});

logOut.addEventListener("submit", async (event) => {
  event.preventDefault();
  await call("POST", "/api/log-out");
  show(null, "Logged out.");
});

call("GET", "/api/me").then((user) => show(user), () => show(null, "Log in to continue."));
