import assert from "node:assert/strict";
import { it } from "node:test";
import axe from "axe-core";
import { eachPage, faults, inGerman, stretchEmail } from "./support/pages.js";
import { suite, withAndWithoutJavaScript } from "./support/suite.js";

const LOOKS = [
  { width: 1280, colorScheme: "light" },
  { width: 360, colorScheme: "dark" },
];
// 320 px is the width of a desktop browser at 400 % zoom.
const LOOKS_WITH_LONG_TEXTS = [
  { width: 1280, colorScheme: "light" },
  { width: 768, colorScheme: "dark" },
  { width: 320, colorScheme: "light" },
];

/** Returns what axe finds: the rules of WCAG 2.2 AA, and its best practices. */
async function audit(page) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => axe.run());
  return violations.map(({ id, nodes }) => `axe: ${id} ${nodes[0].html.slice(0, 90)}`);
}

suite("every page", (world) => {
  withAndWithoutJavaScript((mode) => {
    it("is accessible, on every screen", async () => {
      const found = new Map();
      const look = async (name, page, looks, findFaults) => {
        for (const { width, colorScheme } of looks) {
          await page.setViewportSize({ width, height: 800 });
          await page.emulateMedia({ colorScheme });
          for (const fault of await findFaults(page)) {
            found.set(fault, [...(found.get(fault) ?? []), `${name} ${width} ${colorScheme}`]);
          }
        }
      };
      // A long email address and long words only change the layout.
      const layout = (page) => page.evaluate(faults);
      // Without scripts there is nothing to run axe with.
      const everything = async (page) => [...(await layout(page)), ...(mode.javaScriptEnabled ? await audit(page) : [])];
      for (const status of [400, 404, 422]) world.expectProblem(new RegExp(`status of ${status}`));
      await eachPage((options) => world.browser(options), mode, async (name, page) => {
        await look(name, page, LOOKS, everything);
        await stretchEmail(page);
        await inGerman(page, () => look(name, page, LOOKS_WITH_LONG_TEXTS, layout));
      });
      const faultList = [...found].map(([fault, where]) => `\n${fault}\n    on ${where.join(", ")}`);
      assert.ok(found.size === 0, faultList.join(""));
    });
  });

  it("runs no inline script", async () => {
    const page = await world.browser();
    await page.route("/", async (route) => {
      const response = await route.fetch();
      const body = (await response.text()).replace("</main>", "<script>window.ran = true</script></main>");
      await route.fulfill({ response, body });
    });
    world.expectProblem(/inline script.*Content Security Policy/);
    await page.goto("/");
    assert.equal(await page.evaluate(() => window.ran), undefined);
  });

  it("has an icon", async () => {
    const page = await world.browser();
    await page.goto("/");
    const icon = await page.evaluate(() => document.querySelector("link[rel=icon]")?.href ?? "/favicon.ico");
    const response = await page.request.get(icon);
    assert.equal(response.status(), 200);
    assert.match(response.headers()["content-type"], /^image\//);
  });
}, "localhost");
