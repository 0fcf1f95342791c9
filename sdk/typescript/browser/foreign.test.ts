// Responses that did not come from the payment server, and a ledger that cannot be read.

import { expect, test } from "vitest";
import { Browser } from "./support/browser.js";
import { endsWithTheTest } from "./support/ending.js";
import { Proxy, type Foreign } from "./support/proxy.js";
import { Sandbox } from "../tests/support/sandbox.js";
import { Shop } from "./support/shop.js";

async function open(...flags: string[]): Promise<{ sandbox: Sandbox; proxy: Proxy; shop: Shop }> {
  const sandbox = endsWithTheTest(await Sandbox.start(...flags));
  const proxy = endsWithTheTest(await Proxy.before(sandbox.port));
  const browser = endsWithTheTest(new Browser());
  return { sandbox, proxy, shop: new Shop(await browser.open(proxy.address)) };
}

const foreign: [Foreign, string][] = [
  ["login page", "Another page came back"],
  ["not found", "A response with status 404 says nothing about this payment"],
  ["gone", "A response with status 410 says nothing about this payment"],
  ["unprocessable", "A response with status 422 says nothing about this payment"],
];

test.each(foreign)("after a lost response, a %s settles nothing, and the order goes on under its key", async (what, words) => {
  const { sandbox, proxy, shop } = await open();
  proxy.cut(1);
  proxy.respond(what);
  await shop.click(1);
  await shop.showsStatus(words);
  await shop.showsStatus("The server has paid it. This browser has no response yet.");
  const key = await shop.key();
  await shop.click(1);
  const id = await shop.isPaid();
  expect(sandbox.effects()).toHaveLength(1);
  expect(sandbox.effects()[0]).toMatchObject({ id, key });
});

// A browser sends a POST again by itself when a used connection breaks before a byte of the
// response. The client then sees the response of the second request as its first. Only the ledger
// knows better.
test.each(["not found", "gone", "unprocessable"] as const)("a %s after a request that the browser sent again by itself frees no key", async (what) => {
  const { sandbox, proxy, shop } = await open();
  proxy.lose(1);
  proxy.respond(what);
  await shop.click(1);
  await shop.showsStatus("The server has paid it. This browser has no response yet.");
  await shop.page.getByLabel("Recipient").and(shop.page.locator("[readonly]")).waitFor();
  await shop.click(1);
  const id = await shop.isPaid();
  expect(sandbox.effects().map((effect) => effect.id)).toEqual([id]);
});

test("bad gateways after a lost response are retried under the same key", async () => {
  const { sandbox, proxy, shop } = await open();
  proxy.lose(1);
  proxy.respond("bad gateway", "bad gateway", "bad gateway");
  await shop.click(1);
  const id = await shop.isPaid();
  await shop.hasResult("the server cannot do it now");
  expect(sandbox.effects()).toHaveLength(1);
  expect(sandbox.effects()[0]).toMatchObject({ id, key: await shop.key() });
});

test("a page to log in, as the first response, is not taken for a payment", async () => {
  const { sandbox, proxy, shop } = await open();
  proxy.respond("login page");
  await shop.click(1);
  await shop.showsStatus("It is not known yet whether this was paid.");
  await shop.counts("1 click", "1 request", "0 payments");
  await shop.click(1);
  await shop.isPaid();
  expect(sandbox.effects()).toHaveLength(1);
});

test.each([
  ["unprocessable", "The server says: the recipient is not known."],
  ["precondition failed", "The server did not accept the request (status 412)."],
] as const)("a rejection (%s) without doubt is not a payment, and the order can be corrected under its key", async (what, words) => {
  const { sandbox, proxy, shop } = await open();
  proxy.respond(what, what);
  for (let time = 1; time <= 2; time += 1) {
    await shop.click(1);
    await shop.showsStatus("Not paid.");
    await shop.showsStatus(words);
    await shop.counts(`${time} clicks?`, `${time} requests?`, "0 payments");
    expect((await shop.results()).at(-1)).toContain("not accepted");
  }
  const key = await shop.key();
  await shop.page.getByLabel("Recipient").fill("acct_8");
  await shop.click(1);
  await shop.isPaid();
  expect(sandbox.effects()[0]).toMatchObject({ key });
  expect(await (await fetch(`${sandbox.address}ledger`)).json()).toMatchObject([{ to: "acct_8" }]);
});

test("a response that was not stored, and does not say how it ended, is not a rejection and frees no key", async () => {
  const { sandbox, proxy, shop } = await open();
  proxy.respond("not retained");
  await shop.click(1);
  await shop.showsStatus("It is not known yet whether this was paid.");
  await shop.showsStatus("The server has done this order earlier, and does not say how it ended.");
  await shop.hasResult("already done: response not stored");
  const key = await shop.key();
  await shop.click(1);
  await shop.isPaid();
  expect(sandbox.effects().map((effect) => effect.key)).toEqual([key]);
});

test("with a server that stores rejections, the corrected order takes a new key, however many clicks were rejected", async () => {
  const { sandbox, proxy, shop } = await open("--profile", "ietf");
  proxy.respond("unprocessable");
  const heard = await shop.listens();
  await shop.click(10);
  await shop.showsStatus("Not paid.");
  await shop.counts("10 clicks", "1 request", "0 payments");
  const key = await shop.key();
  await shop.page.getByLabel("Recipient").fill("acct_8");
  await shop.click(1);
  await shop.isPaid();
  expect(sandbox.effects()).toHaveLength(1);
  expect(sandbox.effects()[0]?.key).not.toBe(key);
  expect(await heard()).toContain("Not paid.");
  expect(await heard()).not.toContain("It is not known yet");
});

test("a rejection while another tab has the order under way does not say that it is not paid, and the key stays", async () => {
  const { sandbox, proxy, shop: one } = await open();
  const other = new Shop(await one.page.context().newPage());
  await other.page.goto(proxy.address);
  // The response to the one waits until the other has sent the same order.
  const [sent, rejected] = [gate(), gate()];
  await one.page.route("**/payments", async (route) => {
    await sent.opened;
    await route.fulfill({ status: 410 });
  }, { times: 1 });
  await other.page.route("**/payments", async (route) => {
    sent.open();
    await rejected.opened;
    await route.continue();
  });
  await one.click(1);
  await one.counts("1 click", "1 request", "0 payments");
  await other.click(1);
  await one.showsStatus("It is not known yet whether this was paid.");
  await one.showsStatus("Another request of this order may have been paid.");
  await one.page.getByLabel("Recipient").and(one.page.locator("[readonly]")).waitFor();
  rejected.open();
  const id = await other.isPaid();
  await one.click(1);
  expect(await one.isPaid()).toBe(id);
  expect(sandbox.effects().map((effect) => effect.id)).toEqual([id]);
});

/** Something that is waited for until it is opened. */
function gate(): { opened: Promise<void>; open(): void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

test("a rejection while the ledger cannot be read does not say that it is not paid", async () => {
  const { sandbox, proxy, shop } = await open();
  proxy.hidesLedger = true;
  proxy.respond("unprocessable");
  await shop.click(1);
  await shop.showsStatus("It is not known yet whether this was paid.");
  await shop.showsStatus("The server says: the recipient is not known. Another request of this order may have been paid.");
  proxy.hidesLedger = false;
  await shop.click(1);
  const id = await shop.isPaid();
  expect(sandbox.effects().map((effect) => effect.id)).toEqual([id]);
});

test("while the ledger cannot be read, nothing is claimed of it", async () => {
  const { sandbox, proxy, shop } = await open();
  proxy.hidesLedger = true;
  await shop.click(1);
  await shop.showsStatus("The list of payments cannot be read now, so this page cannot say how often it was paid.");
  await shop.counts("1 click", "1 request", "? payments");
  expect(await shop.status.innerText()).not.toContain("once");
  await shop.page.getByText("What is shown here may be old.").waitFor();
  proxy.hidesLedger = false;
  const id = await shop.isPaid();
  await shop.counts("1 click", "1 request", "1 payment");
  expect(sandbox.effects().map((effect) => effect.id)).toEqual([id]);
});

test("a payment that the ledger has lost is not called paid", async () => {
  const sandbox = endsWithTheTest(await Sandbox.start());
  const browser = endsWithTheTest(new Browser());
  const shop = new Shop(await browser.open(sandbox.address));
  await shop.click(1);
  await shop.isPaid();
  sandbox.loseLedger();
  await shop.page.reload();
  await shop.showsStatus("The response and the list of payments do not agree.");
  await shop.counts("1 click", "1 request", "0 payments");
});

test.each(["ietf", "stripe"])("the page asks its server for its profile, and pays a %s server once", async (profile) => {
  const { sandbox, proxy, shop } = await open("--profile", profile);
  proxy.lose(2);
  await shop.click(10);
  const id = await shop.isPaid();
  await shop.hasResult("already done: same response again");
  expect(sandbox.effects()).toHaveLength(1);
  const key = await shop.key();
  expect(sandbox.effects()[0]).toMatchObject({ id, key });
  await shop.page.getByText("For the curious").click();
  const header = profile === "ietf" ? `Idempotency-Key: "${key}"` : `Idempotency-Key: ${key}`;
  expect(await shop.page.locator("#header").innerText()).toBe(header);
});

test("a click before the server has said its profile sends nothing, and pays once as soon as it has", async () => {
  const sandbox = endsWithTheTest(await Sandbox.start("--profile", "ietf"));
  const browser = endsWithTheTest(new Browser());
  const page = await browser.open("about:blank");
  const said = gate();
  await page.route("**/settings", async (route) => {
    await said.opened;
    await route.continue();
  });
  await page.goto(sandbox.address);
  const shop = new Shop(page);
  await shop.click(2);
  await shop.showsStatus("Asking the server for its settings");
  await shop.counts("2 clicks", "0 requests", "0 payments");
  said.open();
  await shop.isPaid();
  await shop.counts("2 clicks", "1 request", "1 payment");
});

test("a response that is too long to be stored was done all the same, and the page says so", async () => {
  const { sandbox, proxy, shop } = await open("--max-response", "10");
  proxy.lose(1);
  await shop.click(1);
  const id = await shop.isPaid();
  await shop.hasResult("already done: response not stored");
  await shop.showsStatus("The server had done it already, and had not stored its response. It stores responses of up to 10 bytes.");
  expect(sandbox.effects().map((effect) => effect.id)).toEqual([id]);
});

test("a page that was opened from another machine over http says that it cannot make keys", async () => {
  const sandbox = endsWithTheTest(await Sandbox.start());
  const browser = endsWithTheTest(new Browser({}, ["--host-resolver-rules=MAP shop.test 127.0.0.1"]));
  const shop = new Shop(await browser.open(`http://shop.test:${sandbox.port}/`));
  await shop.showsStatus("This page cannot make keys here.");
  await shop.click(2);
  await shop.showsStatus("Nothing has been sent.");
  await shop.counts("0 clicks", "0 requests", "0 payments");
  expect(sandbox.effects()).toEqual([]);
  // Without a key it works, as everywhere.
  await shop.sendNoKey.check({ force: true });
  await shop.click(1);
  await shop.isPaid();
  expect(browser.complaints).toEqual([]);
});
