import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { BrowserContextOptions } from "playwright-core";
import { Browser } from "./support/browser.js";
import { endsWithTheTest } from "./support/ending.js";
import { Sandbox } from "../tests/support/sandbox.js";
import { Shop } from "./support/shop.js";

const PLACE = fileURLToPath(new URL("../../../target/screenshots/", import.meta.url));

const LOOKS: Record<string, BrowserContextOptions> = {
  "wide light": { colorScheme: "light" },
  "wide dark": { colorScheme: "dark" },
  "narrow light": { colorScheme: "light", viewport: { width: 390, height: 844 } },
  "narrow dark": { colorScheme: "dark", viewport: { width: 390, height: 844 } },
};

for (const [look, options] of Object.entries(LOOKS)) {
  test(`the page can be looked at: ${look}`, async () => {
    const sandbox = endsWithTheTest(await Sandbox.start());
    const browser = endsWithTheTest(new Browser({ ...options, reducedMotion: "reduce" }));
    mkdirSync(PLACE, { recursive: true });
    const page = await browser.open(sandbox.address);
    const shop = new Shop(page);
    const take = (moment: string) =>
      page.screenshot({ path: `${PLACE}${look.replace(" ", "-")}-${moment}.png`, fullPage: true });

    await shop.showsStatus("Nothing has been sent.");
    await take("1-fresh");

    // Somebody else's payment, and one of an earlier order.
    await fetch(`${sandbox.address}payments`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"amount":100,"currency":"EUR","to":"acct_9"}',
    });
    await shop.click(2);
    await shop.isPaid();
    await shop.newOrder.click();

    await shop.serverTakes("2 seconds");
    await shop.badNetwork.check({ force: true });
    await shop.click(10);
    await shop.attempts.filter({ hasText: "lost" }).first().waitFor();
    await take("2-bad-network");

    await shop.isPaid();
    await shop.ledger.filter({ hasText: "this order" }).waitFor();
    await take("3-done");

    await shop.newOrder.click();
    await page.getByLabel("Amount").fill("twelve");
    await page.getByLabel("Recipient").fill("");
    await shop.pay.click();
    await take("4-mistakes");

    expect(sandbox.effects()).toHaveLength(3);
    const width = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(width, "nothing is cut off at the side").toBeLessThanOrEqual(0);
    expect(browser.complaints).toEqual([]);
  });
}
