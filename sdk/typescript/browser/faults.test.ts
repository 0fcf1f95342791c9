import { expect, test } from "vitest";
import { Browser } from "./support/browser.js";
import { endsWithTheTest } from "./support/ending.js";
import { Proxy } from "./support/proxy.js";
import { Sandbox } from "../tests/support/sandbox.js";
import { Shop } from "./support/shop.js";

/** Clicks Pay on a slow server, and gives the key once the request has left. */
async function payAndGetKey(shop: Shop, time: "after 2 s" | "after 5 s" = "after 2 s"): Promise<string> {
  await shop.serverResponds(time);
  const left = shop.page.waitForRequest((request) => request.method() === "POST");
  await shop.click(1);
  const key = (await left).headers()["x-idempotency-key"];
  expect(key).toBeTruthy();
  return key ?? "";
}

/** The one effect there is. */
function onlyEffect(sandbox: Sandbox) {
  const effects = sandbox.effects();
  expect(effects).toHaveLength(1);
  return effects[0];
}

test("a reload in mid-request goes on with the same key, and says so", async () => {
  const sandbox = endsWithTheTest(await Sandbox.start());
  const browser = endsWithTheTest(new Browser());
  const shop = new Shop(await browser.open(sandbox.address));
  const key = await payAndGetKey(shop);
  await shop.page.reload();
  await shop.showsStatus("It went on with its key");
  const id = await shop.isPaid();
  expect(onlyEffect(sandbox)).toMatchObject({ id, key });
  expect((await shop.results())[0]).toContain("the page was left before a response");
});

test("a page that is closed in mid-request goes on when it is opened again", async () => {
  const sandbox = endsWithTheTest(await Sandbox.start());
  const browser = endsWithTheTest(new Browser());
  const first = new Shop(await browser.open(sandbox.address));
  // A browser without a page would end.
  await browser.open("about:blank");
  const key = await payAndGetKey(first);
  await first.page.close();
  const again = new Shop(await browser.open(sandbox.address));
  await again.showsStatus("It went on with its key");
  const id = await again.isPaid();
  expect(onlyEffect(sandbox)).toMatchObject({ id, key });
});

test("a browser that is closed in mid-request goes on when it is started again", async () => {
  const sandbox = endsWithTheTest(await Sandbox.start());
  const browser = endsWithTheTest(new Browser());
  const key = await payAndGetKey(new Shop(await browser.open(sandbox.address)), "after 5 s");
  await browser.close();
  const again = new Shop(await browser.open(sandbox.address));
  await again.showsStatus("It went on with its key");
  const id = await again.isPaid();
  expect(onlyEffect(sandbox)).toMatchObject({ id, key });
});

test("responses that a network cuts off are asked for again under the same key", async () => {
  const sandbox = endsWithTheTest(await Sandbox.start());
  const proxy = endsWithTheTest(await Proxy.before(sandbox.port));
  const browser = endsWithTheTest(new Browser());
  const shop = new Shop(await browser.open(proxy.address));
  proxy.cut(3);
  await shop.pay.dblclick();
  const id = await shop.isPaid();
  expect(proxy.lost).toBe(3);
  const results = await shop.results();
  expect(results).toHaveLength(4);
  for (const lost of results.slice(0, 3)) expect(lost).toContain("connection broke: no response");
  expect(results[3]).toContain("already done: same response again");
  expect(onlyEffect(sandbox)).toMatchObject({ id, key: await shop.key() });
});

// A browser sends a POST again by itself when a used connection breaks before a byte of the
// response: not all of these attempts are the page's, and without a key the server could not tell
// them from new payments.
test("responses that a network loses whole are one payment, whatever sends the request again", async () => {
  const sandbox = endsWithTheTest(await Sandbox.start());
  const proxy = endsWithTheTest(await Proxy.before(sandbox.port));
  const browser = endsWithTheTest(new Browser());
  const shop = new Shop(await browser.open(proxy.address));
  proxy.lose(5);
  await shop.pay.dblclick();
  const id = await shop.isPaid();
  expect(proxy.lost).toBe(5);
  expect((await shop.results()).at(-1)).toContain("already done: same response again");
  expect(onlyEffect(sandbox)).toMatchObject({ id, key: await shop.key() });
});

test("a server killed before it paid, and started again, pays once", async () => {
  const sandbox = endsWithTheTest(await Sandbox.start("--store", "sqlite:DIRECTORY/store", "--lease", "1s"));
  const browser = endsWithTheTest(new Browser());
  const shop = new Shop(await browser.open(sandbox.address));
  const key = await payAndGetKey(shop);
  await sandbox.kill();
  expect(sandbox.effects()).toEqual([]);
  await shop.attempts.filter({ hasText: "connection broke: no response" }).first().waitFor();
  await sandbox.again();
  const id = await shop.isPaid();
  expect(onlyEffect(sandbox)).toMatchObject({ id, key });
});

test("a server killed after it paid replays its response when it is started again", async () => {
  const sandbox = endsWithTheTest(await Sandbox.start("--store", "sqlite:DIRECTORY/store", "--lease", "1s"));
  const proxy = endsWithTheTest(await Proxy.before(sandbox.port));
  const browser = endsWithTheTest(new Browser());
  const shop = new Shop(await browser.open(proxy.address));
  proxy.lose(Infinity);
  await shop.pay.click();
  await shop.attempts.filter({ hasText: "connection broke: no response" }).first().waitFor();
  await sandbox.kill();
  const paid = onlyEffect(sandbox);
  proxy.lose(0);
  await sandbox.again();
  expect(await shop.isPaid()).toBe(paid?.id);
  expect((await shop.results()).at(-1)).toContain("already done: same response again");
  expect(onlyEffect(sandbox)).toEqual(paid);
});

test("with the server gone, the page says for how long it still tries, and Stop ends it: the key stays", async () => {
  const sandbox = endsWithTheTest(await Sandbox.start("--store", "sqlite:DIRECTORY/store"));
  const browser = endsWithTheTest(new Browser());
  const shop = new Shop(await browser.open(sandbox.address));
  await sandbox.kill();
  await shop.click(1);
  await shop.timeLeft.filter({ hasText: /This page gives up in \d+ s\./ }).waitFor();
  await shop.counts("1 click", "\\d+ requests?", "? payments");
  const key = await shop.key();
  await shop.stop.click();
  await shop.showsStatus("It is not known yet whether this was paid.");
  await shop.showsStatus("You stopped before a response came.");
  await shop.stop.waitFor({ state: "hidden" });
  expect(await shop.page.evaluate(() => document.activeElement?.id)).toBe("pay");
  const text = await shop.page.locator("body").innerText();
  for (const raw of ["Error", "Failed to fetch", "undefined", "null", "[object"]) expect(text).not.toContain(raw);

  await sandbox.again();
  await shop.click(1);
  const id = await shop.isPaid();
  expect(onlyEffect(sandbox)).toMatchObject({ id, key });
});

test("when the client gives up, the page says that it is not known yet, and the key stays", async () => {
  const sandbox = endsWithTheTest(await Sandbox.start("--store", "sqlite:DIRECTORY/store"));
  const browser = endsWithTheTest(new Browser());
  const shop = new Shop(await browser.open(sandbox.address));
  await shop.page.getByRole("link", { name: "Documentation" }).waitFor();
  await shop.page.clock.install();
  await sandbox.kill();
  await shop.click(1);
  const end = shop.status.filter({ hasText: "No usable response came, and this page has stopped its retries." });
  while (!(await end.isVisible())) await shop.page.clock.runFor(1_000);
  await shop.showsStatus("The key stays the same, so it cannot be paid twice.");
  await shop.stop.waitFor({ state: "hidden" });
  const key = await shop.key();

  await sandbox.again();
  await shop.click(1);
  while (!(await shop.status.innerText()).includes("Paid, once.")) await shop.page.clock.runFor(1_000);
  expect(onlyEffect(sandbox)).toMatchObject({ id: await shop.isPaid(), key });
});

test("Stop while the server pays does not lose the order", async () => {
  const sandbox = endsWithTheTest(await Sandbox.start());
  const browser = endsWithTheTest(new Browser());
  const shop = new Shop(await browser.open(sandbox.address));
  const key = await payAndGetKey(shop);
  await shop.stop.click();
  await shop.showsStatus("You stopped before a response came.");
  await shop.hasResult("stopped before a response");
  await shop.click(1);
  const id = await shop.isPaid();
  expect(onlyEffect(sandbox)).toMatchObject({ id, key });
});

test("a key that the server has discarded is not sent again, and the page says so", async () => {
  const sandbox = endsWithTheTest(await Sandbox.start("--retention", "3s"));
  const browser = endsWithTheTest(new Browser());
  const shop = new Shop(await browser.open(sandbox.address));
  await shop.click(1);
  const id = await shop.isPaid();
  const { at } = onlyEffect(sandbox) ?? { at: 0 };
  await shop.page.waitForFunction((end) => Date.now() > end, at + 3_000);
  await shop.click(1);
  await shop.showsStatus("The server forgets the key about now, so the last click sent nothing.");
  await shop.counts("2 clicks", "1 request", "1 payment");
  expect(onlyEffect(sandbox)).toMatchObject({ id });
});

test("two tabs that pay one order at once pay it once", async () => {
  const sandbox = endsWithTheTest(await Sandbox.start());
  const browser = endsWithTheTest(new Browser());
  const one = new Shop(await browser.open(sandbox.address));
  await one.serverResponds("after 2 s");
  const other = new Shop(await browser.open(sandbox.address));
  await Promise.all([one.click(3), other.click(3)]);
  const ids = await Promise.all([one.isPaid(), other.isPaid()]);
  const effect = onlyEffect(sandbox);
  expect(ids).toEqual([effect?.id, effect?.id]);
  // Each tab has sent a request, and has a response of its own.
  for (const shop of [one, other]) await shop.showsStatus("The same response came");
  expect(new Set([await one.key(), await other.key()])).toEqual(new Set([effect?.key]));
});
