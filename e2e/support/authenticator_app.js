// An authenticator app, as on a phone.
import { setTimeout as sleep } from "node:timers/promises";
import { TOTP } from "otpauth";

const STEP = 30_000;

export class AuthenticatorApp {
  #totp;
  #lastStep = 0;

  constructor(key) {
    this.#totp = new TOTP({ secret: key.replaceAll(/\s/g, "") });
  }

  /** Takes the key from the page that sets it up. */
  static async scan(page) {
    return new AuthenticatorApp(await page.locator(".key").textContent());
  }

  /** What it shows now. */
  code() {
    this.#lastStep = Math.floor(Date.now() / STEP);
    return this.#totp.generate();
  }

  /** A code works once: waits until it shows another. */
  async nextCode() {
    await sleep((this.#lastStep + 1) * STEP - Date.now() + 50);
    return this.code();
  }
}
