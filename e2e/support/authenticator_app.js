// An authenticator app.
import { setTimeout as sleep } from "node:timers/promises";
import { TOTP } from "otpauth";

const STEP = 30_000;
/** Longer than a code takes to the server on a slow machine. */
const EXPIRES_ON_THE_WAY = 12_000;

export class AuthenticatorApp {
  #totp;
  #lastStep = 0;

  constructor(key) {
    this.#totp = new TOTP({ secret: key.replaceAll(/\s/g, "") });
  }

  /** Reads the key from the page that sets up the app. */
  static async scan(page) {
    return new AuthenticatorApp(await page.locator(".key").textContent());
  }

  /** Returns the code of the step before, which is still valid, so that the next code needn't be waited for. */
  async code() {
    const left = STEP - (Date.now() % STEP);
    if (left < EXPIRES_ON_THE_WAY) await sleep(left + 50);
    return this.#codeOf(Math.floor(Date.now() / STEP) - 1);
  }

  /** Returns a code that the app doesn't show in the next minutes, and didn't show in the last one. */
  wrongCode() {
    const step = Math.floor(Date.now() / STEP);
    const shown = [-2, -1, 0, 1, 2, 3, 4, 5].map((later) => this.#totp.generate({ timestamp: (step + later) * STEP }));
    return ["000000", ...Array.from({ length: 9 }, (_, digit) => `${digit + 1}`.repeat(6))].find((code) => !shown.includes(code));
  }

  /** Returns the next code, because each one works only once. */
  async nextCode() {
    await sleep((this.#lastStep + 1) * STEP - Date.now() + 50);
    return this.#codeOf(Math.floor(Date.now() / STEP));
  }

  #codeOf(step) {
    this.#lastStep = step;
    return this.#totp.generate({ timestamp: step * STEP });
  }
}
