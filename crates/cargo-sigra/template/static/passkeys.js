// Buttons that send what the browser signed with a passkey. They stay hidden without JavaScript, and in browsers
// without passkeys.
const canUse = ({ domain }) =>
  window.PublicKeyCredential?.parseRequestOptionsFromJSON !== undefined &&
  (location.hostname === domain || location.hostname.endsWith(`.${domain}`));

const buttons = [...document.querySelectorAll("button[data-passkey]")].filter((button) => canUse(button.dataset));

/** Whether a dialog that the user opened is open, or its form is being sent. Nothing is offered meanwhile. */
let isOpen = false;

/** Aborts the offer in the email field: browsers allow only one passkey request at a time. */
let offered = new AbortController();

/** The server forgets a challenge after five minutes, so an offer that waits longer gets a new one. */
const REFRESH_INTERVAL = 4 * 60 * 1000;
let refreshTimer;

/** Fetches what the browser signs: a `PublicKeyCredentialCreationOptionsJSON` to create a passkey. */
const fetchOptions = async (button, signal) => {
  const headers = { accept: "application/json" };
  const response = await fetch(button.dataset.passkey, { method: "POST", headers, signal });
  if (!response.ok) throw new Error(`the response is ${response.status}`);
  return (await response.json()).publicKey;
};

const sign = (options) =>
  options.user
    ? navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
    : navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });

const send = (button, credential) => {
  isOpen = true;
  const { form } = button;
  form.querySelector("[name='credential']").value = JSON.stringify(credential);
  form.action = button.getAttribute("formaction") ?? form.action;
  form.submit();
};

const showProblem = (button) => {
  const problem = button.form.querySelector("[role=alert]") ?? document.createElement("p");
  problem.className = "problem";
  problem.setAttribute("role", "alert");
  problem.textContent = document.body.dataset.failed;
  button.after(problem);
};

// The button whose passkeys the browser offers in the email field.
const conditional = buttons.find((button) => "conditional" in button.dataset);
let canOffer = false;

const offer = async () => {
  clearTimeout(refreshTimer);
  if (!canOffer || isOpen) return;
  offered.abort();
  offered = new AbortController();
  const { signal } = offered;
  refreshTimer = setTimeout(offer, REFRESH_INTERVAL);
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

const open = async (button) => {
  clearTimeout(refreshTimer);
  offered.abort();
  isOpen = true;
  button.setAttribute("aria-disabled", "true");
  button.classList.add("pending");
  try {
    send(button, await sign(await fetchOptions(button)));
  } catch {
    showProblem(button);
    isOpen = false;
    release(button);
    offer();
  }
};

const release = (button) => {
  button.removeAttribute("aria-disabled");
  button.classList.remove("pending");
};

for (const button of buttons) {
  button.hidden = false;
  button.addEventListener("click", (event) => {
    event.preventDefault();
    if (!isOpen) open(button);
  });
}

if (buttons.length > 0) {
  for (const hint of document.querySelectorAll("[data-without-passkeys]")) hint.hidden = true;
  for (const part of document.querySelectorAll("[data-with-passkeys]")) part.hidden = false;
}

// The browser restores a page from its back/forward cache as it was left: reset it.
addEventListener("pageshow", ({ persisted }) => {
  if (!persisted) return;
  isOpen = false;
  buttons.forEach(release);
  offer();
});

canOffer = conditional !== undefined && (await PublicKeyCredential.isConditionalMediationAvailable?.());
offer();
