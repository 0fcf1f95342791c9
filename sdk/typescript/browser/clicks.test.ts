import { execFileSync } from "node:child_process";
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
  await shop.showsStatus("The same response came 2 times.");
  await shop.counts("2 clicks", "1 request", "1 payment");
  expect(sandbox.effects()).toHaveLength(1);
});

test("ten clicks join one request, and all get the same response", async () => {
  const { sandbox, shop } = await open();
  await shop.serverResponds("after 2 s");
  await shop.click(10);
  await shop.showsStatus("10 clicks wait for one response.");
  const id = await shop.isPaid();
  await shop.showsStatus("The same response came 10 times.");
  await shop.counts("10 clicks", "1 request", "1 payment");
  expect(sandbox.effects().map((effect) => effect.id)).toEqual([id]);
  expect(sandbox.effects()[0]?.key).toBe(await shop.key());
});

test("a click after the response sends the same key, and so does one after a reload: the server replays", async () => {
  const { sandbox, shop } = await open();
  await shop.pay.click();
  const id = await shop.isPaid();
  await shop.pay.click();
  await shop.showsStatus("The same response came 2 times.");
  await shop.hasResult("already done: same response again");
  await shop.counts("2 clicks", "2 requests", "1 payment");

  await shop.page.reload();
  expect(await shop.isPaid()).toBe(id);
  await shop.pay.click();
  await shop.showsStatus("The same response came 3 times.");
  await shop.counts("3 clicks", "3 requests", "1 payment");
  expect(await shop.isPaid()).toBe(id);
  expect(new Set(await shop.attempts.locator("code").allInnerTexts()).size).toBe(1);
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
  await shop.attempts.filter({ hasText: "response lost" }).first().waitFor();
  const id = await shop.isPaid();
  await shop.showsStatus("The same response came 10 times.");
  const results = await shop.results();
  expect(results[0]).toContain("lost");
  expect(results.at(-1)).toContain("already done: same response again");
  expect(await shop.tries.count()).toBe(results.length);
  await shop.counts("10 clicks", `${results.length} requests`, "1 payment");
  expect(sandbox.effects().map((effect) => effect.id)).toEqual([id]);
});

test("all of it works without a mouse", async () => {
  const { sandbox, shop } = await open();
  const { keyboard } = shop.page;
  const focused = () => shop.page.evaluate(() => document.activeElement?.id || document.activeElement?.getAttribute("name"));
  const order = [];
  await shop.page.getByRole("link", { name: "Documentation" }).waitFor();
  for (let tab = 0; tab < 9; tab += 1) {
    await keyboard.press("Tab");
    order.push(await focused());
  }
  expect(order).toEqual(["docs", "new", "amount", "currency", "to", "pay", "bad", "keyless", "delay"]);

  for (let tab = 0; tab < 2; tab += 1) await keyboard.press("Shift+Tab");
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

test("an order that was sent says why it cannot be changed, and the button stays where it is", async () => {
  const { shop } = await open();
  const place = async (): Promise<number | undefined> => (await shop.pay.boundingBox())?.y;
  expect(await shop.terms.innerText()).toBe("You can still change these.");
  const before = await place();
  await shop.pay.click();
  await shop.isPaid();
  expect(await shop.terms.innerText()).toBe("Sent. For other terms, begin a new order.");
  expect(await place()).toBe(before);
  await shop.newOrder.click();
  expect(await shop.terms.innerText()).toBe("You can still change these.");
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

test("the ledger shows what was paid, to whom and for which order", async () => {
  const { sandbox, shop } = await open();
  await fetch(`${sandbox.address}payments`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: '{"amount":105,"currency":"USD","to":"acct_9"}',
  });
  await shop.page.getByLabel("Amount").fill("7,5");
  await shop.page.getByLabel("Recipient").fill("acct_7");
  await shop.pay.click();
  await shop.isPaid();
  const [own, other] = await shop.ledger.allInnerTexts();
  for (const words of ["7.50 EUR", "acct_7", "this order"]) expect(own).toContain(words);
  for (const words of ["1.05 USD", "acct_9", "another", "no key"]) expect(other).toContain(words);
});

test("the header and the curl command are the real ones: in a shell it is one more replay", async () => {
  const { sandbox, shop } = await open();
  await shop.page.getByText("For the curious").click();
  await shop.page.locator("#header").filter({ hasText: "The first click makes the key." }).waitFor();
  await shop.page.getByLabel("Recipient").fill("O'Neill & Söhne");
  await shop.pay.click();
  const id = await shop.isPaid();
  const key = await shop.key();
  expect(await shop.page.locator("#header").innerText()).toBe(`X-Idempotency-Key: ${key}`);
  const said = execFileSync("sh", ["-c", `${await shop.page.locator("#curl").innerText()} -s`], { encoding: "utf8" });
  expect(said).toMatch(/^HTTP\/1.1 201/);
  expect(said.toLowerCase()).toContain("x-idempotent-result: true");
  expect(said).toContain(id);
  expect(sandbox.effects()).toHaveLength(1);
  expect(await shop.page.getByRole("link", { name: "Documentation" }).getAttribute("href")).toMatch(/^https:/);
});

test("the contents of a ledger are shown as text", async () => {
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
