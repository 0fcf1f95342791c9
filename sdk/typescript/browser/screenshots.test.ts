import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { BrowserContextOptions } from "playwright-core";
import { Browser } from "./support/browser.js";
import { endsWithTheTest } from "./support/ending.js";
import { Proxy } from "./support/proxy.js";
import { Sandbox } from "../tests/support/sandbox.js";
import { sideways } from "./support/sideways.js";
import { Shop } from "./support/shop.js";

const PLACE = fileURLToPath(new URL("../../../target/screenshots/", import.meta.url));

const WIDTHS = { 1280: 900, 390: 844, 320: 568 };

const looks = Object.entries(WIDTHS).flatMap(([width, height]) =>
  (["light", "dark"] as const).map((colorScheme): [string, BrowserContextOptions] => [
    `${width}-${colorScheme}`,
    { colorScheme, viewport: { width: Number(width), height }, reducedMotion: "reduce" },
  ]),
);

test.each(looks)("the page can be looked at, and nothing is cut off: %s", async (look, options) => {
  const sandbox = endsWithTheTest(await Sandbox.start());
  const proxy = endsWithTheTest(await Proxy.before(sandbox.port));
  const browser = endsWithTheTest(new Browser(options));
  mkdirSync(PLACE, { recursive: true });
  const page = await browser.open(proxy.address);
  const shop = new Shop(page);
  const take = async (moment: string, fullPage = true): Promise<void> => {
    await page.screenshot({ path: `${PLACE}${look}-${moment}.png`, fullPage });
    expect(await sideways(page), `${moment}: scrolls or is cut off sideways`).toEqual([]);
  };

  await shop.showsStatus("Nothing has been sent.");
  await take("1-fresh");

  // A payment of another client, and one of an earlier order.
  await fetch(`${sandbox.address}payments`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: '{"amount":123456789,"currency":"EUR","to":"a-recipient-with-a-name-that-is-as-long-as-any-that-is-accepted-here"}',
  });
  await shop.click(2);
  await shop.isPaid();
  await shop.newOrder.click();

  await shop.serverResponds("after 2 s");
  await shop.badNetwork.check({ force: true });
  await shop.click(10);
  await shop.hasResult("response lost on its way");
  await shop.timeLeft.filter({ hasText: "This page gives up in" }).waitFor();
  await take("2-bad-network", false);
  await take("3-bad-network");

  await shop.isPaid();
  await page.getByText("For the curious").click();
  await take("4-done");
  await page.getByText("For the curious").click();

  await shop.sendNoKey.check({ force: true });
  await shop.serverResponds("at once");
  await shop.click(1);
  await shop.showsStatus("and without a key the server took each request for a new payment.");
  await take("5-without-a-key", false);
  await take("6-without-a-key");

  await shop.badNetwork.uncheck({ force: true });
  await shop.sendNoKey.uncheck({ force: true });
  proxy.lose(1);
  proxy.respond("login page");
  await shop.click(1);
  await shop.showsStatus("Another page came back");
  await take("7-login-page", false);

  await shop.newOrder.click();
  await page.getByLabel("Amount").fill("twelve");
  await page.getByLabel("Recipient").fill("");
  await shop.pay.click();
  await take("8-mistakes");

  await page.getByLabel("Amount").fill("12");
  await page.getByLabel("Recipient").fill("acct_2");
  await sandbox.kill();
  await shop.click(1);
  await shop.timeLeft.filter({ hasText: "This page gives up in" }).waitFor();
  await shop.counts("1 click", "\\d+ requests?", "? payments");
  await take("9-server-gone", false);
  await shop.stop.click();
  await shop.showsStatus("You stopped before a response came.");
  await take("10-stopped", false);
  expect(browser.complaints).toEqual([]);
});
