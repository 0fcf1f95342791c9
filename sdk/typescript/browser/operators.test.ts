// The page for operators, of the example `admin`: in a real browser, with a client that retries.

import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { Browser } from "./support/browser.js";
import { endsWithTheTest } from "./support/ending.js";
import { sideways } from "./support/sideways.js";
import { CREDENTIALS, Desk, Payments } from "./support/operators.js";

type Options = ConstructorParameters<typeof Browser>[0];

async function open(options: Options = {}, place = ""): Promise<{ payments: Payments; browser: Browser; desk: Desk }> {
  const payments = endsWithTheTest(await Payments.start());
  const browser = endsWithTheTest(new Browser({ httpCredentials: CREDENTIALS, ...options }));
  const desk = new Desk(await browser.open(`${payments.page}${place}`));
  return { payments, browser, desk };
}

test("a stuck payment is found and settled, and the client's next retry gets the response", async () => {
  const { payments, browser, desk } = await open();
  expect((await payments.pay("order-1001", "acct_slow")).status).toBe(504);
  expect((await payments.pay("order-1001", "acct_slow")).status).toBe(409);

  await desk.page.getByRole("button", { name: "Update now" }).click();
  await desk.open("Failed");
  await desk.choose("It was done, and I have the response");
  await desk.field("Body").fill('{"id":"pay_7"}');
  await desk.field("Reason, for the history").fill("the provider confirms <b>ch_1</b>");
  await desk.says("Each retry of this request gets this response, with status 201 and a body of 14 B.");
  await desk.review();
  expect(await desk.dialog.innerText()).toContain("The operation does not run again.");
  await desk.send("Store the response");
  await desk.says("Done.");
  expect(await desk.history.innerText()).toContain("ana stored a response");
  expect(await desk.history.innerText()).toContain("the provider confirms <b>ch_1</b>");
  expect(await desk.history.locator("b").count()).toBe(1);

  const replay = await payments.pay("order-1001", "acct_slow");
  expect(replay.status).toBe(201);
  expect(replay.headers.get("x-idempotent-result")).toBe("true");
  expect(replay.headers.get("content-type")).toBe("application/json");
  expect(await replay.text()).toBe('{"id":"pay_7"}');
  expect(browser.complaints).toEqual([]);
});

test("a payment whose process ended is shown as abandoned, and a release lets the client pay", async () => {
  const { payments, desk } = await open();
  await desk.open("Abandoned");
  expect(await desk.record.innerText()).toContain("The attempt was cut off");
  expect((await payments.pay("order-1000", "acct_never")).status).toBe(409);
  await desk.choose("Nothing happened");
  await desk.says("If the operation did have an effect, it has it a second time.");
  await desk.review();
  await desk.says("Give a reason. It stays in the history.");
  expect(await desk.dialog.isVisible()).toBe(false);
  await desk.field("Reason, for the history").fill("not found at the provider");
  await desk.review();
  await desk.send("Release the key");
  await desk.says("There is no record: the key is free.");
  await desk.rows.first().waitFor({ state: "detached" });
  expect((await payments.pay("order-1000")).status).toBe(201);
});

test("a record that has moved on is told, shown as it is now, and not changed", async () => {
  const { payments, desk } = await open();
  await desk.open("Abandoned");
  await desk.choose("Nothing happened");
  await desk.field("Reason, for the history").fill("not found at the provider");
  await desk.review();
  // A colleague settles it while the question is on the screen.
  const { records } = await (await payments.ask("records")).json();
  const { key, attempt, token, state } = records[0];
  const body = { seen: { attempt, token, state }, reason: "found it", done: { status: 201 } };
  const settled = await payments.ask(`records/${key}/settle`, { method: "POST", body: JSON.stringify(body) });
  expect(await settled.json()).toMatchObject({ result: "applied" });

  await desk.send("Release the key");
  await desk.says("The record has moved on since you saw it, and is now not-retained, attempt 1: nothing was changed.");
  await desk.says("It was abandoned, attempt 1, and is now not retained, attempt 1.");
  expect(await desk.history.count()).toBe(1);
  expect((await payments.pay("order-1000", "acct_never")).status).toBe(409);
});

test("an update by itself leaves the selection, the focus and what was typed as they are", async () => {
  const { payments, desk } = await open();
  await desk.open("Abandoned");
  await desk.choose("It failed");
  const reason = desk.field("Reason, for the history");
  await reason.fill("half a sent");
  await payments.pay("order-1", "acct_slow");
  await payments.pay("order-2", "acct_slow");
  await desk.rows.nth(2).waitFor();
  expect(await desk.rows.count()).toBe(3);
  expect(await reason.inputValue()).toBe("half a sent");
  expect(await reason.evaluate((field) => field === document.activeElement)).toBe(true);
  expect(await desk.record.getByRole("radio", { name: "It failed" }).isChecked()).toBe(true);
  expect(await desk.page.locator("tr.selected").innerText()).toContain("Abandoned");
  await desk.state("Stuck").filter({ hasText: "3" }).waitFor();
});

test("states, filters and the record are in the address, and a link to it shows the same", async () => {
  const { payments, browser, desk } = await open();
  await payments.pay("order-1");
  await payments.pay("order-2", "acct_2", "/pay_1/refunds");
  await desk.state("Success").click();
  await desk.rows.nth(1).waitFor();
  await desk.page.getByLabel("Route").fill("POST /payments/{id}/refunds");
  await desk.page.getByLabel("Route").press("Enter");
  await desk.rows.nth(1).waitFor({ state: "detached" });
  await desk.open("Success");
  expect(await desk.record.getByRole("radio").count()).toBe(1);
  const again = new Desk(await browser.open(desk.page.url()));
  await again.record.waitFor();
  expect(await again.rows.count()).toBe(1);
  expect(await again.page.getByLabel("Route").inputValue()).toBe("POST /payments/{id}/refunds");
  expect(await again.record.innerText()).toContain("201");
  await again.page.getByLabel("Key begins with").fill("xyz");
  await again.page.getByLabel("Key begins with").press("Enter");
  await again.says("`digits` has 1 to 64 hexadecimal digits.");
  await again.page.getByRole("button", { name: "Clear filters" }).click();
  await again.rows.nth(1).waitFor();
});

test("all of it works without a mouse", async () => {
  const { desk } = await open();
  const { keyboard } = desk.page;
  await desk.rows.first().waitFor();
  await keyboard.press("Tab");
  expect(await desk.page.evaluate(() => document.activeElement?.textContent)).toBe("Skip to the records");
  await keyboard.press("Enter");
  await keyboard.press("Tab");
  await keyboard.press("Enter");
  await desk.record.waitFor();
  expect(await desk.page.evaluate(() => document.activeElement?.id)).toBe("record");
  await keyboard.press("Tab");
  await keyboard.press("Tab");
  // From no choice to the fourth.
  for (let down = 0; down < 3; down += 1) await keyboard.press("ArrowDown");
  expect(await desk.record.getByRole("radio", { name: "Nothing happened" }).isChecked()).toBe(true);
  await keyboard.press("Tab");
  await keyboard.type("not found at the provider");
  await keyboard.press("Enter");
  await desk.dialog.waitFor();
  expect(await desk.page.evaluate(() => document.activeElement?.textContent)).toBe("Cancel");
  await keyboard.press("Escape");
  await desk.dialog.waitFor({ state: "hidden" });
  expect(await desk.history.count()).toBe(0);
  await keyboard.press("Enter");
  await keyboard.press("Tab");
  await keyboard.press("Enter");
  await desk.says("Done.");
  await keyboard.press("Escape");
  await desk.record.waitFor({ state: "hidden" });
});

test("a page of another site reads nothing, changes nothing and frames nothing", async () => {
  const { payments, browser, desk } = await open();
  await desk.rows.first().waitFor();
  const server = createServer((_, response) => response.setHeader("content-type", "text/html").end("<!doctype html>"));
  await once(server.listen(0, "127.0.0.1"), "listening");
  endsWithTheTest({ end: async () => void server.close() });
  const { port } = server.address() as AddressInfo;
  // Another host name, so another site; and another port of the same one.
  for (const host of ["localhost", "127.0.0.1"]) {
    const other = await browser.open(`http://${host}:${port}/`);
    const tried = await other.evaluate(async (page) => {
      const attempt = (path: string, options: RequestInit): Promise<string> =>
        fetch(`${page}/${path}`, { credentials: "include", ...options }).then((response) => `${response.type} ${response.status}`, () => "failed");
      const key = "0".repeat(64);
      return [
        await attempt("records", {}),
        await attempt(`records/${key}/erase`, { method: "POST", headers: { "content-type": "application/json" }, body: "{}" }),
        await attempt(`records/${key}/erase`, { method: "POST", headers: { "content-type": "text/plain" }, body: "{}" }),
      ];
    }, payments.page);
    expect(tried).toEqual(["failed", "failed", "failed"]);
    await other.evaluate((page) => {
      const frame = document.createElement("iframe");
      frame.src = page;
      const loaded = new Promise((resolve) => frame.addEventListener("load", resolve));
      document.body.append(frame);
      return loaded;
    }, payments.page);
    expect(await other.frameLocator("iframe").locator("#records").count()).toBe(0);
  }
  // A name that was given the address of the server.
  const rebound = endsWithTheTest(new Browser({ httpCredentials: CREDENTIALS }, ["--host-resolver-rules=MAP evil.example 127.0.0.1"]));
  const page = await rebound.open(payments.page.replace("127.0.0.1", "evil.example"));
  expect(await page.locator("body").innerText()).toContain("admin_host_not_allowed");
});

test("with the server gone the page says so, and what it shows stays", async () => {
  const { payments, desk } = await open();
  await desk.rows.first().waitFor();
  await payments.end();
  await desk.page.getByRole("button", { name: "Update now" }).click();
  await desk.says("The server cannot be reached. What you see may be old.");
  expect(await desk.rows.count()).toBe(1);
});

/** Where the screenshots go. */
const PLACE = process.env["SCREENSHOTS"] ?? fileURLToPath(new URL("../../../target/screenshots/", import.meta.url));
const WAYS: [string, Options][] = [
  ["light", { colorScheme: "light" }],
  ["dark", { colorScheme: "dark" }],
  ["narrow", { colorScheme: "light", viewport: { width: 360, height: 740 } }],
  ["narrow-dark", { colorScheme: "dark", viewport: { width: 360, height: 740 } }],
];

test.each(WAYS)("nothing is cut off or asks to scroll sideways: %s", async (name, options) => {
  const { payments, browser, desk } = await open(options, "#state=");
  for (let number = 0; number < 6; number += 1) await payments.pay(`order-${number}`, number % 2 ? "acct_slow" : "acct_2");
  await payments.pay("refund-1", "acct_slow", "/pay_1/refunds");
  await payments.pay("secret-1", "acct_secret");
  // It runs until the server ends.
  payments.pay("order-7", "acct_never").catch(() => undefined);
  const take = async (step: string): Promise<void> => {
    mkdirSync(PLACE, { recursive: true });
    await desk.page.screenshot({ path: join(PLACE, `operators-${name}-${step}.png`), fullPage: step !== "3-question" });
    expect(await sideways(desk.page), `${step}: scrolls or is cut off sideways`).toEqual([]);
  };
  await desk.state("All").filter({ hasText: "10" }).waitFor();
  await take("1-all");
  await desk.open("Abandoned");
  await desk.choose("It was done, and I have the response");
  await desk.review();
  await take("2-record");
  await desk.field("Reason, for the history").fill("the provider confirms charge ch_1");
  await desk.review();
  await desk.dialog.waitFor();
  await take("3-question");
  await desk.send("Store the response");
  await desk.says("Done.");
  await take("4-done");
  await desk.open("In flight");
  await desk.choose("Nothing happened");
  await take("5-in-flight");
  expect(browser.complaints).toEqual([]);
});
