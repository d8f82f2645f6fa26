// Forms that send what the browser signed with a passkey. They stay hidden without JavaScript, and in browsers without
// passkeys.
const canUse = ({ domain }) =>
  window.PublicKeyCredential?.parseRequestOptionsFromJSON !== undefined &&
  (location.hostname === domain || location.hostname.endsWith(`.${domain}`));

const forms = [...document.querySelectorAll("form[data-passkey]")].filter((form) => canUse(form.dataset));

/** Whether a dialog that the user opened is open, or its form is being sent. Nothing is offered meanwhile. */
let isOpen = false;

/** Aborts the offer in the email field: browsers allow only one passkey request at a time. */
let offered = new AbortController();

/** The server forgets a challenge after five minutes, so an offer that waits longer gets a new one. */
const ANEW = 4 * 60 * 1000;
let anew;

/** Fetches what the browser signs: a `PublicKeyCredentialCreationOptionsJSON` to create a passkey. */
const fetchOptions = async (form, signal) => {
  const headers = { accept: "application/json" };
  const response = await fetch(form.dataset.passkey, { method: "POST", headers, signal });
  if (!response.ok) throw new Error(`the response is ${response.status}`);
  return (await response.json()).publicKey;
};

const sign = (options) =>
  options.user
    ? navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
    : navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });

const send = (form, credential) => {
  isOpen = true;
  form.querySelector("[name$='[credential]']").value = JSON.stringify(credential);
  // One "Keep me logged in" checkbox serves all ways to log in.
  const rememberMe = form.elements["user[remember_me]"];
  if (rememberMe) rememberMe.value = String(document.getElementById("user_remember_me").checked);
  form.submit();
};

const complain = (form) => {
  const problem = form.querySelector("[role=alert]") ?? form.appendChild(document.createElement("p"));
  problem.className = "problem";
  problem.setAttribute("role", "alert");
  problem.textContent = "That didn't work. Try again, or use another method.";
};

// The form whose passkeys the browser offers in the email field.
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
    // The user chose no passkey, or the offer was aborted.
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

// The browser restores a page from its back/forward cache as it was left: reset it.
addEventListener("pageshow", ({ persisted }) => {
  if (!persisted) return;
  isOpen = false;
  for (const form of forms) form.querySelector("button").removeAttribute("aria-disabled");
  offer();
});

canOffer = conditional !== undefined && (await PublicKeyCredential.isConditionalMediationAvailable?.());
offer();
