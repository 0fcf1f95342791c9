import { expect, test } from "vitest";
import { Browser } from "./support/browser.js";
import { endsWithTheTest } from "./support/ending.js";
import { Sandbox } from "../tests/support/sandbox.js";
import { Shop } from "./support/shop.js";

async function open(): Promise<{ sandbox: Sandbox; browser: Browser; shop: Shop }> {
  const sandbox = endsWithTheTest(await Sandbox.start());
  const browser = endsWithTheTest(new Browser());
  return { sandbox, browser, shop: new Shop(await browser.open(sandbox.address)) };
}

test("a double click is one request and one payment", async () => {
  const { sandbox, shop } = await open();
  await shop.pay.dblclick();
  await shop.isPaid();
  await shop.showsStatus("The same answer was given 2 times.");
  await shop.counts("2 clicks", "1 request", "1 payment");
  expect(sandbox.effects()).toHaveLength(1);
});

test("ten clicks join one request, and all are given the same answer", async () => {
  const { sandbox, shop } = await open();
  await shop.serverTakes("2 seconds");
  await shop.click(10);
  await shop.showsStatus("10 clicks wait for one answer.");
  const id = await shop.isPaid();
  await shop.showsStatus("The same answer was given 10 times.");
  await shop.counts("10 clicks", "1 request", "1 payment");
  expect(sandbox.effects().map((effect) => effect.id)).toEqual([id]);
  expect(sandbox.effects()[0]?.key).toBe(await shop.key());
});

test("a click after the answer is the same payment, and one after a reload is replayed", async () => {
  const { sandbox, shop } = await open();
  await shop.pay.click();
  const id = await shop.isPaid();
  await shop.pay.click();
  await shop.showsStatus("The same answer was given 2 times.");
  await shop.counts("2 clicks", "1 request", "1 payment");

  await shop.page.reload();
  expect(await shop.isPaid()).toBe(id);
  await shop.pay.click();
  await shop.attempts.filter({ hasText: "201 replayed" }).waitFor();
  await shop.showsStatus("The same answer was given 3 times.");
  expect(await shop.isPaid()).toBe(id);
  expect(sandbox.effects()).toHaveLength(1);
});

test("a new order is a new payment under a new key", async () => {
  const { sandbox, shop } = await open();
  await shop.pay.click();
  const first = await shop.isPaid();
  await shop.newOrder.click();
  await shop.showsStatus("Nothing has been sent.");
  await shop.counts("0 clicks", "0 requests", "0 payments");
  await shop.pay.click();
  const second = await shop.isPaid();
  const effects = sandbox.effects();
  expect(effects.map((effect) => effect.id)).toEqual([first, second]);
  expect(effects[0]?.key).not.toBe(effects[1]?.key);
});

test("a bad network turns ten clicks into several requests and one payment", async () => {
  const { sandbox, shop } = await open();
  await shop.badNetwork.check({ force: true });
  await shop.click(10);
  await shop.attempts.filter({ hasText: "answer lost" }).first().waitFor();
  const id = await shop.isPaid();
  await shop.showsStatus("The same answer was given 10 times.");
  const results = await shop.results();
  expect(results[0]).toContain("lost");
  expect(results.at(-1)).toContain("201 replayed");
  await shop.counts("10 clicks", `${results.length} requests`, "1 payment");
  expect(sandbox.effects().map((effect) => effect.id)).toEqual([id]);
});

test("all of it works without a mouse", async () => {
  const { sandbox, shop } = await open();
  const { keyboard } = shop.page;
  const focused = () => shop.page.evaluate(() => document.activeElement?.id || document.activeElement?.getAttribute("name"));
  const order = [];
  for (let tab = 0; tab < 7; tab += 1) {
    await keyboard.press("Tab");
    order.push(await focused());
  }
  expect(order).toEqual(["new", "amount", "currency", "to", "pay", "bad", "delay"]);

  await keyboard.press("Shift+Tab");
  await keyboard.press("Space");
  expect(await shop.badNetwork.isChecked()).toBe(true);
  await keyboard.press("Space");
  for (let tab = 0; tab < 4; tab += 1) await keyboard.press("Shift+Tab");
  expect(await focused()).toBe("amount");
  await keyboard.press("Control+A");
  await keyboard.type("7,50");
  await keyboard.press("Escape");
  await keyboard.press("Enter");
  await keyboard.press("Enter");
  await shop.isPaid();
  await shop.showsStatus("7.50 EUR to acct_2");
  await shop.counts("2 clicks", "1 request", "1 payment");
  // Where the focus was, it still is, and Escape leaves all as it is.
  expect(await focused()).toBe("amount");
  await keyboard.press("Escape");
  await shop.counts("2 clicks", "1 request", "1 payment");
  expect(sandbox.effects()).toHaveLength(1);
});

test("what cannot be paid is told at the field, and nothing is sent", async () => {
  const { sandbox, shop } = await open();
  const amount = shop.page.getByLabel("Amount");
  for (const wrong of ["", "twelve", "0", "1.234", "-5", "1000000.01"]) {
    await amount.fill(wrong);
    await shop.pay.click();
    expect(await amount.getAttribute("aria-invalid"), wrong).toBe("true");
    expect(await shop.page.locator("#amount-mistake").innerText(), wrong).toMatch(/^Enter /);
  }
  await amount.fill("1");
  expect(await amount.getAttribute("aria-invalid")).toBe("false");
  await shop.counts("0 clicks", "0 requests", "0 payments");
  expect(sandbox.effects()).toEqual([]);
});

test("the page loads nothing from another host, and has nothing to complain of", async () => {
  const { sandbox, browser, shop } = await open();
  await shop.badNetwork.check({ force: true });
  await shop.click(3);
  await shop.isPaid();
  await shop.page.reload();
  await shop.isPaid();
  const others = browser.asked.filter((address) => !address.startsWith(sandbox.address) && !address.startsWith("data:"));
  expect(browser.asked.length).toBeGreaterThan(8);
  expect(others).toEqual([]);
  expect(browser.complaints).toEqual([]);
});

test("what stands in a ledger is shown as text", async () => {
  const { sandbox, browser, shop } = await open();
  const key = "<img/src=x/onerror=document.title='owned'>";
  await fetch(`${sandbox.address}payments`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-idempotency-key": key },
    body: '{"amount":100,"currency":"EUR","to":"acct_9"}',
  });
  await shop.page.reload();
  const shown = shop.ledger.locator(`code[title="${key}"]`);
  await shown.waitFor();
  expect(await shop.page.locator("img").count()).toBe(0);
  expect(browser.complaints).toEqual([]);
});
