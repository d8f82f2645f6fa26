// An authenticator app.
import { setTimeout as sleep } from "node:timers/promises";
import { TOTP } from "otpauth";

const STEP = 30_000;

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

  /** Returns the current code. */
  code() {
    this.#lastStep = Math.floor(Date.now() / STEP);
    return this.#totp.generate();
  }

  /** Waits for the next code, because each one works only once. */
  async nextCode() {
    await sleep((this.#lastStep + 1) * STEP - Date.now() + 50);
    return this.code();
  }
}
