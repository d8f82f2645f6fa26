// Sends a form once, and when its user means to: while the request is on its way, pressing the button again does
// nothing.
const inFlight = new Map();

/** After this many milliseconds without a response, the button works again. */
const TIMEOUT = 15 * 1000;

/**
 * A page of another site can lay its own window over this one, and close it between the two presses of a double click.
 * For this many milliseconds after it gets the focus, a form with `data-deliberate` can't be sent.
 */
const DOUBLE_CLICK = 500;

let focusChangedAt = document.hasFocus() ? -Infinity : performance.now();
for (const change of ["focus", "blur"]) addEventListener(change, () => (focusChangedAt = performance.now()));

const release = (form) => {
  clearTimeout(inFlight.get(form));
  inFlight.delete(form);
  form.removeAttribute("aria-busy");
  for (const button of form.querySelectorAll("button[aria-disabled]")) {
    button.removeAttribute("aria-disabled");
    button.classList.remove("pending");
  }
};

addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") return;
  const isTooEarly = "deliberate" in form.dataset && performance.now() - focusChangedAt < DOUBLE_CLICK;
  if (isTooEarly || inFlight.has(form)) {
    event.preventDefault();
    return;
  }
  inFlight.set(form, setTimeout(release, TIMEOUT, form));
  form.setAttribute("aria-busy", "true");
  // Not `disabled`: the button keeps the focus, and screen readers still announce it.
  for (const button of form.querySelectorAll("button:not([type=button])")) button.setAttribute("aria-disabled", "true");
  event.submitter?.classList.add("pending");
});

// The browser restores a page from its back/forward cache with its forms still locked.
addEventListener("pageshow", () => [...inFlight.keys()].forEach(release));
