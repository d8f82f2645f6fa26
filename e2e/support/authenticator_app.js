// An authenticator app.
import { setTimeout as sleep } from "node:timers/promises";
import { TOTP } from "otpauth";

const STEP = 30_000;
const EXPIRES_ON_THE_WAY = 5_000;

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
