import { expect, test } from "vitest";
import { Browser } from "./support/browser.js";
import { endsWithTheTest } from "./support/ending.js";
import { Sandbox } from "../tests/support/sandbox.js";
import { Shop } from "./support/shop.js";

async function open(...flags: string[]): Promise<{ sandbox: Sandbox; browser: Browser; shop: Shop }> {
  const sandbox = endsWithTheTest(await Sandbox.start(...flags));
  const browser = endsWithTheTest(new Browser());
  const shop = new Shop(await browser.open(sandbox.address));
  await shop.sendNoKey.check({ force: true });
  return { sandbox, browser, shop };
}

test("without a key, one click on a bad network pays more than once, and the page says why", async () => {
  const { sandbox, browser, shop } = await open();
  await shop.badNetwork.check({ force: true });
  await shop.click(1);
  await shop.showsStatus("and without a key the server took each request for a new payment.");
  const payments = sandbox.effects();
  expect(payments.length).toBeGreaterThan(1);
  expect(payments.map(({ key }) => key)).toEqual(payments.map(() => null));
  await shop.showsStatus(`Paid ${payments.length} times!`);
  await shop.showsStatus("lost, and without a key");
  await shop.counts("1 click", `${payments.length} requests`, `${payments.length} payments`);
  expect(await shop.ledger.filter({ hasText: "this order" }).count()).toBe(payments.length);
  expect(browser.complaints).toEqual([]);
});

test("without a key, a double click on a good network pays twice", async () => {
  const { sandbox, shop } = await open();
  await shop.pay.dblclick();
  await shop.showsStatus("Paid 2 times!");
  await shop.showsStatus("2 clicks sent 2 requests, and without a key");
  await shop.counts("2 clicks", "2 requests", "2 payments");
  expect(sandbox.effects()).toHaveLength(2);
});

test("without a key, one click on a good network pays once, and the page does not promise more", async () => {
  const { shop } = await open();
  await shop.pay.click();
  await shop.isPaid();
  await shop.showsStatus("Without a key, a second click or a lost response is a second payment.");
  await shop.page.getByRole("heading", { name: "Without a key, you may pay twice." }).waitFor();
});

test("switching back begins a new order, which is paid once under the same loss", async () => {
  const { sandbox, shop } = await open();
  await shop.badNetwork.check({ force: true });
  await shop.click(2);
  await shop.showsStatus("times!");
  const before = sandbox.effects().length;
  await shop.sendNoKey.uncheck({ force: true });
  await shop.showsStatus("Nothing has been sent.");
  await shop.counts("0 clicks", "0 requests", "0 payments");
  await shop.page.getByRole("heading", { name: "You pay once." }).waitFor();
  await shop.click(2);
  const id = await shop.isPaid();
  await shop.hasResult("response lost on its way");
  const effects = sandbox.effects();
  expect(effects).toHaveLength(before + 1);
  expect(effects.at(-1)).toMatchObject({ id, key: await shop.key() });
});

test("the status of an order without a key stays true after a reload", async () => {
  const { sandbox, shop } = await open();
  await shop.pay.dblclick();
  await shop.showsStatus("Paid 2 times!");
  await shop.page.reload();
  await shop.showsStatus("Paid 2 times!");
  expect(await shop.sendNoKey.isChecked()).toBe(true);
  await shop.counts("2 clicks", "2 requests", "2 payments");
  expect(sandbox.effects()).toHaveLength(2);
});

test("a server that requires keys pays nothing without one, and the page says so", async () => {
  const { sandbox, shop } = await open("--require-key");
  await shop.click(1);
  await shop.showsStatus("Not paid: this server accepts no request without a key.");
  expect(sandbox.effects()).toEqual([]);
});
