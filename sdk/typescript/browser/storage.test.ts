import { expect, test } from "vitest";
import { Browser } from "./support/browser.js";
import { endsWithTheTest } from "./support/ending.js";
import { doesNotOpen, failsAtRandom, isFull, opensLate } from "./support/indexed-db.js";
import { Proxy } from "./support/proxy.js";
import { Sandbox } from "../tests/support/sandbox.js";
import { Shop } from "./support/shop.js";

interface Stage {
  sandbox: Sandbox;
  proxy: Proxy;
  browser: Browser;
  shop: Shop;
}

/** More often than a test lasts. A script of a page cannot be given `Infinity`. */
const ALWAYS = 1_000_000;

/** Opens the page in a browser whose every page is changed first. */
async function open<T>(before: (value: T) => void, value?: T): Promise<Stage> {
  const sandbox = endsWithTheTest(await Sandbox.start());
  const proxy = endsWithTheTest(await Proxy.before(sandbox.port));
  const browser = endsWithTheTest(new Browser());
  const page = await browser.open("about:blank");
  await page.context().addInitScript(before as (value: unknown) => void, value);
  await page.goto(proxy.address);
  return { sandbox, proxy, browser, shop: new Shop(page) };
}

const unusable: [string, () => void][] = [
  [
    "denies every storage",
    () => {
      const deny = (): never => {
        throw new DOMException("Access is denied for this document.", "SecurityError");
      };
      Object.defineProperty(window, "localStorage", { get: deny });
      IDBFactory.prototype.open = deny;
    },
  ],
  [
    "has no space left in localStorage",
    () => {
      Storage.prototype.setItem = () => {
        throw new DOMException("The quota has been exceeded.", "QuotaExceededError");
      };
    },
  ],
];

test.each(unusable)("a browser that %s pays once all the same, as long as the page stays", async (_, before) => {
  const { sandbox, browser, shop } = await open(before);
  await shop.click(3);
  await shop.isPaid();
  await shop.showsStatus("The same response came 3 times.");
  await shop.counts("3 clicks", "1 request", "1 payment");
  await shop.newOrder.click();
  await shop.counts("0 clicks", "0 requests", "0 payments");
  expect(sandbox.effects()).toHaveLength(1);
  expect(browser.complaints).toEqual([]);
});

/** Pays an order whose responses are all lost, and leaves the page in the middle of it. */
async function leaveUnderWay({ proxy, shop }: Stage): Promise<string> {
  proxy.lose(Infinity);
  await shop.click(1);
  await shop.hasResult("connection broke: no response");
  const key = await shop.key();
  proxy.lose(0);
  return key;
}

test("after a reload with an IndexedDB that takes seconds to open, the stored key is used all the same", async () => {
  const stage = await open(() => {});
  const { sandbox, shop } = stage;
  const key = await leaveUnderWay(stage);
  await shop.page.context().addInitScript(opensLate, 3_500);
  await shop.page.reload();
  await shop.click(1);
  const id = await shop.isPaid();
  expect(sandbox.effects()).toHaveLength(1);
  expect(sandbox.effects()[0]).toMatchObject({ id, key });
});

test("after a reload with a full disk, the stored key is used all the same", async () => {
  const stage = await open(() => {});
  const { sandbox, shop } = stage;
  const key = await leaveUnderWay(stage);
  await shop.page.context().addInitScript(isFull, ALWAYS);
  await shop.page.reload();
  await shop.click(1);
  const id = await shop.isPaid();
  expect(sandbox.effects()).toHaveLength(1);
  expect(sandbox.effects()[0]).toMatchObject({ id, key });
});

test("after a reload with a database that does not open at first, the stored key is used all the same", async () => {
  const stage = await open(() => {});
  const { sandbox, shop } = stage;
  const key = await leaveUnderWay(stage);
  await shop.page.context().addInitScript(doesNotOpen, 4);
  await shop.page.reload();
  await shop.click(1);
  const id = await shop.isPaid();
  expect(sandbox.effects()).toHaveLength(1);
  expect(sandbox.effects()[0]).toMatchObject({ id, key });
});

test("while a new key cannot be stored, nothing is sent, and the page says so", async () => {
  const { sandbox, shop } = await open(isFull, ALWAYS);
  await shop.click(2);
  await shop.showsStatus("Waiting for the storage of this browser");
  await shop.showsStatus("Nothing has been sent yet.");
  await shop.stop.click();
  await shop.counts("2 clicks", "0 requests", "0 payments");
  expect(sandbox.effects()).toEqual([]);
});

test("a disk that is full for a while delays the payment, and its key survives a reload", async () => {
  const stage = await open(isFull, 5);
  const { sandbox, shop } = stage;
  const key = await leaveUnderWay(stage);
  await shop.page.reload();
  await shop.click(1);
  const id = await shop.isPaid();
  expect(sandbox.effects()).toHaveLength(1);
  expect(sandbox.effects()[0]).toMatchObject({ id, key });
});

test("a storage that fails at random makes one payment of any number of clicks and reloads", async () => {
  const { sandbox, proxy, shop } = await open(failsAtRandom, 0.5);
  for (let order = 1; order <= 4; order += 1) {
    for (let round = 0; round < 3; round += 1) {
      proxy.lose(1);
      await shop.click(2);
      await shop.page.reload();
    }
    await shop.click(1);
    await shop.isPaid();
    expect(sandbox.effects()).toHaveLength(order);
    await shop.newOrder.click();
  }
});

test("a page that is gone between the response and its own state asks again under the same key", async () => {
  const { sandbox, shop } = await open(() => {
    if (location.protocol !== "http:") return;
    const isFirst = sessionStorage.getItem("opened") === null;
    sessionStorage.setItem("opened", "before");
    const setItem = Storage.prototype.setItem;
    Storage.prototype.setItem = function (name, text) {
      if (isFirst && text.includes('"stage":"paid"')) throw new DOMException("The quota has been exceeded.", "QuotaExceededError");
      setItem.call(this, name, text);
    };
  });
  await shop.click(1);
  const id = await shop.isPaid();
  await shop.page.reload();
  await shop.showsStatus("The server has paid it. This browser has no response yet.");
  await shop.click(1);
  expect(await shop.isPaid()).toBe(id);
  expect(sandbox.effects()).toHaveLength(1);
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
  await shop.showsStatus("The stored key is dated ahead of the clock of this machine");
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
