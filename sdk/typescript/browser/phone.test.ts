import { expect, test } from "vitest";
import type { Locator } from "playwright-core";
import { Browser } from "./support/browser.js";
import { endsWithTheTest } from "./support/ending.js";
import { Sandbox } from "../tests/support/sandbox.js";
import { Shop } from "./support/shop.js";

const phones = [
  { width: 390, height: 844 },
  { width: 360, height: 640 },
  { width: 320, height: 568 },
];

test.each(phones)("on a phone of $width by $height, the retries are seen beside Pay", async (viewport) => {
  const sandbox = endsWithTheTest(await Sandbox.start());
  const browser = endsWithTheTest(new Browser({ viewport, hasTouch: true, isMobile: true }));
  const shop = new Shop(await browser.open(sandbox.address));
  await shop.badNetwork.check({ force: true });
  // As a person does: the button is brought into view, at the edge of the screen if need be.
  await shop.pay.evaluate((button) => button.scrollIntoView({ block: "end" }));
  await shop.pay.tap();
  await shop.hasResult("response lost on its way");
  await shop.isPaid();
  await shop.triesCount.filter({ hasText: /^1 click → \d+ requests → 1 payment$/ }).waitFor();
  for (const part of [shop.pay, shop.triesCount, shop.tries.first(), shop.status]) expect(await isInView(part)).toBe(true);
  expect(await shop.tries.allInnerTexts()).toEqual((await shop.results()).map(() => expect.stringContaining("Request ")));
  // The page is the user's again: it stays where it is scrolled to.
  await shop.page.evaluate(() => window.scrollTo(0, 0));
  const read = shop.page.waitForResponse("**/ledger");
  await shop.page.evaluate(() => dispatchEvent(new Event("focus")));
  await (await read).finished();
  expect(await shop.page.evaluate(() => window.scrollY)).toBe(0);
  const width = await shop.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  expect(width).toBeLessThanOrEqual(0);
});

test("of many requests the latest ten are seen beside Pay, and the count says how many there are", async () => {
  const sandbox = endsWithTheTest(await Sandbox.start());
  const browser = endsWithTheTest(new Browser({ viewport: { width: 320, height: 568 } }));
  const shop = new Shop(await browser.open(sandbox.address));
  await shop.sendNoKey.check({ force: true });
  await shop.click(10);
  await shop.showsStatus("Paid 10 times!");
  expect(await shop.page.getByText("last 10:").isVisible()).toBe(false);
  await shop.click(2);
  await shop.showsStatus("Paid 12 times!");
  await shop.page.getByText("last 10:").waitFor();
  expect(await shop.tries.count()).toBe(10);
  await shop.triesCount.filter({ hasText: "12 clicks → 12 requests → 12 payments" }).waitFor();
});

function isInView(part: Locator): Promise<boolean> {
  return part.evaluate((element) => {
    const { top, bottom } = element.getBoundingClientRect();
    return top >= 0 && bottom <= window.innerHeight;
  });
}
