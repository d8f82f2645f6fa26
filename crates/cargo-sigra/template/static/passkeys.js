// Forms that are sent with what the browser signed with a passkey. Without a script, or where the browser can't, they
// stay hidden, and the other ways are left.
const canUse = ({ domain }) =>
  window.PublicKeyCredential?.parseRequestOptionsFromJSON !== undefined &&
  (location.hostname === domain || location.hostname.endsWith(`.${domain}`));

const forms = [...document.querySelectorAll("form[data-passkey]")].filter((form) => canUse(form.dataset));

/** What the user has asked for comes first: while their dialog is open, or its answer on its way, nothing is offered. */
let isOpen = false;

/** Only one question can be open at a time: the one that waits in a field gives way. */
let offered = new AbortController();

/** The server forgets a question after five minutes, and one that waits in a field for longer is put anew. */
const ANEW = 4 * 60 * 1000;
let anew;

/** What the browser is to sign: a `PublicKeyCredentialCreationOptionsJSON` if it is to make a passkey. */
const fetchOptions = async (form, signal) => {
  const headers = { accept: "application/json" };
  const answer = await fetch(form.dataset.passkey, { method: "POST", headers, signal });
  if (!answer.ok) throw new Error(`the answer is ${answer.status}`);
  return (await answer.json()).publicKey;
};

const sign = (options) =>
  options.user
    ? navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
    : navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });

const send = (form, credential) => {
  isOpen = true;
  form.elements.credential.value = JSON.stringify(credential);
  // "Keep me logged in" is asked once, for all ways to log in.
  const rememberMe = form.elements["user[remember_me]"];
  if (rememberMe) rememberMe.value = String(document.getElementById("user_remember_me").checked);
  form.submit();
};

const complain = (form) => {
  const problem = form.querySelector("[role=alert]") ?? form.appendChild(document.createElement("p"));
  problem.className = "problem";
  problem.setAttribute("role", "alert");
  problem.textContent = "That did not work. Try again, or use another way.";
};

// A passkey that the browser offers where the address is typed.
const conditional = forms.find((form) => "conditional" in form.dataset);
let canOffer = false;

const offer = async () => {
  clearTimeout(anew);
  if (!canOffer || isOpen) return;
  offered.abort();
  offered = new AbortController();
  const { signal } = offered;
  anew = setTimeout(offer, ANEW);
  try {
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(await fetchOptions(conditional, signal));
    signal.throwIfAborted();
    const credential = await navigator.credentials.get({ publicKey, mediation: "conditional", signal });
    signal.throwIfAborted();
    send(conditional, credential);
  } catch {
    // Nothing was chosen, or the question gave way to another.
  }
};

const open = async (form) => {
  clearTimeout(anew);
  offered.abort();
  isOpen = true;
  const button = form.querySelector("button");
  button.setAttribute("aria-disabled", "true");
  try {
    send(form, await sign(await fetchOptions(form)));
  } catch {
    complain(form);
    isOpen = false;
    button.removeAttribute("aria-disabled");
    offer();
  }
};

for (const form of forms) {
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!isOpen) open(form);
  });
}

if (forms.length > 0) {
  for (const hint of document.querySelectorAll("[data-without-passkeys]")) hint.hidden = true;
}

// A page that the browser kept begins anew.
addEventListener("pageshow", ({ persisted }) => {
  if (!persisted) return;
  isOpen = false;
  for (const form of forms) form.querySelector("button").removeAttribute("aria-disabled");
  offer();
});

canOffer = conditional !== undefined && (await PublicKeyCredential.isConditionalMediationAvailable?.());
offer();
