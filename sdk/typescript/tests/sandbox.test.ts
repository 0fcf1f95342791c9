import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createIdempotentFetch, isReplay, memoryStorage, retryBudget } from "../src/index.js";
import { lossyProxy, type Fate } from "./support/lossy-proxy.js";
import { noting } from "./support/scripted.js";
import { Sandbox, sandboxIsThere } from "./support/sandbox.js";

const payment = (sandbox: object = {}): RequestInit => ({
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ amount: 1200, currency: "EUR", to: "acct_2", sandbox }),
});

describe.skipIf(!sandboxIsThere())("against the sandbox", () => {
  let sandbox: Sandbox;

  beforeAll(async () => {
    sandbox = await Sandbox.start();
  });
  afterAll(() => sandbox.end());

  test("ten clicks become one payment", async () => {
    const before = sandbox.effects().length;
    const pay = createIdempotentFetch().named("ten clicks");
    const responses = await Promise.all(Array.from({ length: 10 }, () => pay(`${sandbox.address}payments`, payment({ delay_ms: 50 }))));
    expect(new Set(await Promise.all(responses.map((response) => response.text()))).size).toBe(1);
    expect(sandbox.effects().length).toBe(before + 1);
  });

  test("two tabs that come together make one payment, and the later gets the replay", async () => {
    const before = sandbox.effects().length;
    const storage = memoryStorage();
    const { hook, types } = noting();
    const tabs = [1, 2].map(() => createIdempotentFetch({ storage, onProgress: hook }).named("two tabs"));
    const responses = await Promise.all(tabs.map((pay) => pay(`${sandbox.address}payments`, payment({ delay_ms: 300 }))));
    expect(responses.map(isReplay).sort()).toEqual([false, true]);
    expect(types()).toContain("retry");
    expect(sandbox.effects().length).toBe(before + 1);
  });

  test("a key used for another request is left open, at once", async () => {
    const pay = createIdempotentFetch();
    await pay(`${sandbox.address}payments`, { ...payment(), key: "mine" });
    const { hook, events } = noting();
    const response = await pay(`${sandbox.address}payments`, { ...payment(), key: "mine", body: JSON.stringify({ amount: 1, currency: "EUR", to: "a" }), onProgress: hook });
    expect(response.status).toBe(409);
    expect(events.map((event) => ("disposition" in event ? event.disposition : event.type))).toEqual(["attempt", "unknown"]);
  });

  test("a thousand operations are done once each, though a third of the responses is lost", { timeout: 240_000 }, async () => {
    const before = sandbox.effects().length;
    const fate = (): Fate => {
      const chance = Math.random();
      return chance < 0.2 ? "lost" : chance < 0.3 ? "cut" : { delay: chance < 0.6 ? Math.random() * 300 : 0 };
    };
    const proxy = await lossyProxy(sandbox.port, fate);
    const storage = memoryStorage();
    let attempts = 0;
    const pay = createIdempotentFetch({ storage, budget: retryBudget(10_000), onProgress: ({ type }) => void (type === "attempt" && attempts++) });
    const left = Array.from({ length: 1_000 }, (_, index) => index);
    const statuses = new Map<number, number>();
    const begun = performance.now();
    const worker = async (): Promise<void> => {
      for (let index = left.pop(); index !== undefined; index = left.pop()) {
        const response = await pay(`${proxy.url}/payments`, { ...payment(), operation: `order ${index}` });
        statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: 32 }, worker));
    await proxy.stop();
    const seconds = ((performance.now() - begun) / 1_000).toFixed(1);
    console.log(`1,000 operations took ${attempts} attempts in ${seconds} s; responses: ${JSON.stringify(proxy.counts)}`);
    expect([...statuses]).toEqual([[201, 1_000]]);
    const made = sandbox.effects().slice(before);
    expect([made.length, new Set(made.map(({ key }) => key)).size]).toEqual([1_000, 1_000]);
    expect(attempts).toBeGreaterThan(1_200);
    expect(await pay.pending()).toEqual([]);
    expect((await storage.list()).length).toBe(1_000);
    expect(await Promise.all(Array.from({ length: 1_000 }, (_, index) => pay.finish(`order ${index}`)))).not.toContain(false);
    expect(await storage.list()).toEqual([]);
  });
});
