// A form is sent once: while it is on its way, pressing its button again does nothing.
const onTheWay = new Map();

/** If no answer has come by then, the button can be pressed again. */
const PATIENCE = 15 * 1000;

const release = (form) => {
  clearTimeout(onTheWay.get(form));
  onTheWay.delete(form);
  form.removeAttribute("aria-busy");
  for (const button of form.querySelectorAll("button[aria-disabled]")) button.removeAttribute("aria-disabled");
};

addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") return;
  if (onTheWay.has(form)) {
    event.preventDefault();
    return;
  }
  onTheWay.set(form, setTimeout(release, PATIENCE, form));
  form.setAttribute("aria-busy", "true");
  // Not `disabled`: the button keeps the focus, and what it says is still read out.
  for (const button of form.querySelectorAll("button:not([type=button])")) button.setAttribute("aria-disabled", "true");
});

// A page that the browser kept is as it was left.
addEventListener("pageshow", () => [...onTheWay.keys()].forEach(release));
