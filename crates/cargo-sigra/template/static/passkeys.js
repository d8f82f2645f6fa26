// Forms that are sent with what the browser signed with a passkey. Without a script, or where the browser can't, they
// stay hidden, and the other ways are left.
const canUse = ({ domain }) =>
  window.PublicKeyCredential?.parseRequestOptionsFromJSON !== undefined &&
  (location.hostname === domain || location.hostname.endsWith(`.${domain}`));

const forms = [...document.querySelectorAll("form[data-passkey]")].filter((form) => canUse(form.dataset));

/** Only one question can be open at a time. */
let asking = new AbortController();

/** What the browser is to sign: a `PublicKeyCredentialCreationOptionsJSON` if it is to make a passkey. */
const fetchOptions = async (form) => {
  const answer = await fetch(form.dataset.passkey, { method: "POST", headers: { accept: "application/json" } });
  if (!answer.ok) throw new Error(`the answer is ${answer.status}`);
  return (await answer.json()).publicKey;
};

const sign = (options, mediation) => {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  return options.user
    ? navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options), signal })
    : navigator.credentials.get({
        publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options),
        mediation,
        signal,
      });
};

const send = (form, credential) => {
  form.elements.credential.value = JSON.stringify(credential);
  form.submit();
};

const complain = (form) => {
  const problem = form.querySelector("[role=alert]") ?? form.appendChild(document.createElement("p"));
  problem.className = "problem";
  problem.setAttribute("role", "alert");
  problem.textContent = "That did not work. Try again, or use another way.";
};

for (const form of forms) {
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      send(form, await sign(await fetchOptions(form)));
    } catch {
      complain(form);
      button.disabled = false;
    }
  });
}

if (forms.length > 0) {
  for (const hint of document.querySelectorAll("[data-without-passkeys]")) hint.hidden = true;
}

// A passkey that the browser offers where the address is typed.
const conditional = forms.find((form) => "conditional" in form.dataset);
if (conditional && (await PublicKeyCredential.isConditionalMediationAvailable?.())) {
  try {
    send(conditional, await sign(await fetchOptions(conditional), "conditional"));
  } catch {
    // Nothing was chosen.
  }
}
