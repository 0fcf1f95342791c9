import { expect, test } from "vitest";
import { Browser } from "./support/browser.js";
import { endsWithTheTest } from "./support/ending.js";
import { Sandbox } from "../tests/support/sandbox.js";
import { Shop } from "./support/shop.js";

async function open(before: () => void): Promise<{ sandbox: Sandbox; browser: Browser; shop: Shop }> {
  const sandbox = endsWithTheTest(await Sandbox.start());
  const browser = endsWithTheTest(new Browser());
  const page = await browser.open("about:blank");
  await page.context().addInitScript(before);
  await page.goto(sandbox.address);
  return { sandbox, browser, shop: new Shop(page) };
}

const refused: [string, () => void][] = [
  [
    "refuses every storage",
    () => {
      const refuse = (): never => {
        throw new DOMException("Access is denied for this document.", "SecurityError");
      };
      Object.defineProperty(window, "localStorage", { get: refuse });
      IDBFactory.prototype.open = refuse;
    },
  ],
  [
    "has no room left",
    () => {
      Storage.prototype.setItem = () => {
        throw new DOMException("The quota has been exceeded.", "QuotaExceededError");
      };
    },
  ],
];

test.each(refused)("a browser that %s pays once all the same, as long as the page stays", async (_, before) => {
  const { sandbox, browser, shop } = await open(before);
  await shop.click(3);
  await shop.isPaid();
  await shop.showsStatus("The same answer was given 3 times.");
  await shop.counts("3 clicks", "1 request", "1 payment");
  await shop.newOrder.click();
  await shop.counts("0 clicks", "0 requests", "0 payments");
  expect(sandbox.effects()).toHaveLength(1);
  expect(browser.complaints).toEqual([]);
});

test("a clock that was set back does not make a second payment of a paid order", async () => {
  const { sandbox, shop } = await open(() => {
    const now = Date.now;
    const late = sessionStorage.getItem("opened") === null ? 0 : 3_600_000;
    Date.now = () => now() - late;
    if (location.protocol === "http:") sessionStorage.setItem("opened", "before");
  });
  await shop.click(1);
  const first = await shop.isPaid();
  await shop.page.reload();
  expect(await shop.isPaid()).toBe(first);
  await shop.click(1);
  await shop.counts("2 clicks", "1 request", "1 payment");
  await shop.newOrder.click();
  await shop.click(1);
  const second = await shop.isPaid();
  expect(sandbox.effects().map(({ id }) => id)).toEqual([first, second]);
});

test("an order that was paid twice, because its key was thrown away, is shown as paid twice", async () => {
  const { sandbox, shop } = await open(() => {});
  await shop.click(1);
  await shop.isPaid();
  await shop.page.evaluate(
    () => new Promise((resolve, reject) => Object.assign(indexedDB.deleteDatabase("tower-idempotency"), { onsuccess: resolve, onerror: reject })),
  );
  await shop.page.reload();
  await shop.isPaid();
  await shop.click(1);
  await shop.showsStatus("Paid 2 times!");
  expect(sandbox.effects()).toHaveLength(2);
  await shop.counts("2 clicks", "2 requests", "2 payments");
  expect(await shop.ledger.filter({ hasText: "this order" }).count()).toBe(2);
});
