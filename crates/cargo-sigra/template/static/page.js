// What pages can only do with a script: they show passwords and local times, copy texts, print, and keep the keyboard
// in a dialog.

/** The words of this script, in the language of the page. */
const words = document.body.dataset;

/** Shows what was typed into a password field. */
for (const button of document.querySelectorAll("[data-show]")) {
  const input = document.getElementById(button.dataset.show);
  // What is seen, and what screen readers say.
  const texts = [...button.children];
  const show = texts.map((text) => text.textContent);
  const hide = [words.hide, words.hidePassword];
  const say = (words) => texts.forEach((text, index) => (text.textContent = words[index]));
  button.hidden = false;
  button.addEventListener("click", () => {
    const isShown = input.type === "text";
    input.type = isShown ? "password" : "text";
    say(isShown ? show : hide);
    input.focus();
  });
  // Password managers save only what a password field holds.
  input.form.addEventListener("submit", () => {
    input.type = "password";
    say(show);
  });
}

/** Copies a text, and says so for two seconds. */
for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) break;
  const label = button.querySelector("span");
  const before = label.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).innerText.trim());
      label.textContent = words.copied;
    } catch {
      label.textContent = words.copyFailed;
    }
    setTimeout(() => (label.textContent = before), 2000);
  });
}

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}

/** Opens dialogs so that the keyboard can't reach the page behind them. Without a script, they are popovers. */
for (const button of document.querySelectorAll("[popovertarget]")) {
  const dialog = button.popoverTargetElement;
  if (!(dialog instanceof HTMLDialogElement)) continue;
  button.addEventListener("click", (event) => {
    event.preventDefault();
    if (dialog.open) dialog.close();
    else dialog.showModal();
  });
}

/** Shows times in the time zone of the user. Without a script, they are in UTC. */
const language = document.documentElement.lang;
const locale = navigator.languages.find((name) => name.startsWith(language)) ?? language;
const local = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];

const ago = (seconds) => {
  const [unit, size] = UNITS.find(([, size]) => seconds >= size) ?? [];
  return unit ? relative.format(-Math.floor(seconds / size), unit) : words.justNow;
};

for (const time of document.querySelectorAll("time")) {
  const at = new Date(time.dateTime);
  const seconds = (Date.now() - at) / 1000;
  const isRecent = seconds > -60 && seconds < 30 * 86400;
  time.textContent = isRecent ? `${ago(seconds)}, ${local.format(at)}` : local.format(at);
}
