import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createIdempotentFetch, KeyExpiredError, memoryStorage, OperationMismatchError, type ClientOptions, type KeyStorage } from "../src/index.js";
import { asInPage, eventually, gate, noting, scripted } from "./support/scripted.js";

const URL_ = "https://shop.test/payments";
const HOUR = 3_600_000;

// Outside of pages, only operations with names are shared: identity.test.ts.
beforeEach(asInPage);
afterEach(() => vi.unstubAllGlobals());

/** A client whose requests wait until they are let through. */
function held(options: ClientOptions = {}): { script: ReturnType<typeof scripted>; pass: () => void; call: ReturnType<typeof createIdempotentFetch>; pay: (init?: object) => Promise<Response> } {
  const { opened, open } = gate();
  const script = scripted(async () => {
    await opened;
    return new Response("paid", { status: 201, headers: { "x-request-id": "r1" } });
  });
  const call = createIdempotentFetch({ fetch: script.fetch, storage: memoryStorage(), ...options });
  return { script, call, pass: () => open(), pay: (init = {}) => call(URL_, { method: "POST", body: "1200", ...init }) };
}

describe("the same operation", () => {
  test("is one request while it is in flight, and all callers have a response of their own", async () => {
    const { script, pay, pass } = held();
    const notes = [noting(), noting(), noting()];
    const calls = notes.map(({ hook }) => pay({ onProgress: hook }));
    const count = (type: string): number => notes.flatMap(({ types }) => types()).filter((one) => one === type).length;
    await eventually(() => script.sent.length === 1 && count("joined") === 2);
    pass();
    const responses = await Promise.all(calls);
    expect(await Promise.all(responses.map((response) => response.text()))).toEqual(["paid", "paid", "paid"]);
    expect(responses.map((response) => response.headers.get("x-request-id"))).toEqual(["r1", "r1", "r1"]);
    expect(script.sent.length).toBe(1);
    expect([count("response"), count("settled")]).toEqual([3, 3]);
  });

  test.each<[string, object, object]>([
    ["body", {}, { body: "1300" }],
    ["method", {}, { method: "PATCH" }],
    ["content type", {}, { headers: { "content-type": "text/x" } }],
    ["key", { key: "a" }, { key: "b" }],
    ["name", { operation: "a" }, { operation: "b" }],
  ])("is another one with another %s", async (_, one, other) => {
    const { script, pay, pass } = held();
    pass();
    await Promise.all([pay(one), pay(other)]);
    expect(script.sent.length).toBe(2);
    expect(new Set(script.keys()).size).toBe(2);
  });

  test("is not another one with another fragment", async () => {
    const { script, call, pass } = held();
    const { hook, types } = noting();
    const calls = ["#a", "#b"].map((fragment) => call(URL_ + fragment, { method: "POST", onProgress: hook }));
    await eventually(() => script.sent.length === 1 && types().includes("joined"));
    pass();
    await Promise.all(calls);
    expect(script.sent.length).toBe(1);
  });

  test("is rejected with another request under its name while it is in flight", async () => {
    const { script, pay, pass } = held();
    const first = pay({ operation: "order 7" });
    await eventually(() => script.sent.length === 1);
    await expect(pay({ operation: "order 7", body: "1300" })).rejects.toThrow(OperationMismatchError);
    pass();
    expect((await first).status).toBe(201);
    expect(script.sent.length).toBe(1);
  });

  test("takes what the caller gave at the time of the call", async () => {
    const { script, pay, pass } = held();
    const body = new Uint8Array([1, 2, 3]);
    const headers = new Headers({ "x-a": "1" });
    const call = pay({ body, headers });
    body.fill(9);
    headers.set("x-a", "2");
    pass();
    await call;
    expect([...script.sent[0]!.body!]).toEqual([1, 2, 3]);
    expect(script.sent[0]!.headers.get("x-a")).toBe("1");
  });
});

describe("a caller that aborts", () => {
  test("leaves alone, with its own reason", async () => {
    const { script, pay, pass } = held();
    const abort = new AbortController();
    const { hook, types } = noting();
    const gone = pay({ signal: abort.signal, onProgress: hook });
    const stays = pay({ onProgress: hook });
    await eventually(() => script.sent.length === 1 && types().includes("joined"));
    abort.abort("changed my mind");
    await expect(gone).rejects.toBe("changed my mind");
    expect(script.sent[0]!.signal.aborted).toBe(false);
    pass();
    expect((await stays).status).toBe(201);
  });

  test("aborts the request when it is the last, and the key stays", async () => {
    const { script, pay, call, pass } = held();
    const aborts = [new AbortController(), new AbortController()];
    const calls = aborts.map(({ signal }) => pay({ signal }).catch((reason: unknown) => reason));
    await eventually(() => script.sent.length === 1);
    aborts.forEach((abort) => abort.abort("gone"));
    expect(await Promise.all(calls)).toEqual(["gone", "gone"]);
    expect(script.sent[0]!.signal.aborted).toBe(true);
    expect((await call.pending()).map(({ key }) => key)).toEqual(script.keys());
    pass();
    expect((await pay()).status).toBe(201);
    expect(new Set(script.keys()).size).toBe(1);
  });

  test("before the call sends nothing", async () => {
    const { script, pay } = held();
    await expect(pay({ signal: AbortSignal.abort("early") })).rejects.toBe("early");
    expect(script.sent.length).toBe(0);
  });

  test("in a wait is heard at once", async () => {
    const script = scripted(new Response("", { status: 503, headers: { "retry-after": "30" } }));
    const abort = new AbortController();
    const call = createIdempotentFetch({ fetch: script.fetch });
    const onProgress = ({ type }: { type: string }): void => void (type === "retry" && abort.abort("enough"));
    await expect(call(URL_, { method: "POST", signal: abort.signal, onProgress })).rejects.toBe("enough");
    expect(script.sent.length).toBe(1);
  });
});

describe("an operation of two tabs", () => {
  const LOST = new TypeError("fetch failed");

  test.each([{}, { operation: "order 7" }])("retains its key in the tab that had no response, though the other had one: %o", async (init) => {
    const storage = memoryStorage();
    const other = held({ storage });
    const script = scripted(async () => {
      // The response of this tab is lost, after the other had its own.
      other.pass();
      await other.pay(init);
      throw LOST;
    }, new Response("", { status: 201 }));
    const call = createIdempotentFetch({ storage, fetch: script.fetch, maxAttempts: 1 });
    const pay = (): Promise<Response> => call(URL_, { method: "POST", body: "1200", ...init });
    await expect(pay()).rejects.toMatchObject({ name: "OutcomeUnknownError" });
    expect((await storage.list()).length).toBe(Object.keys(init).length);
    expect((await pay()).status).toBe(201);
    expect(new Set([...script.keys(), ...other.script.keys()]).size).toBe(1);
    // It has served now.
    if ("operation" in init) expect(await call.finish("order 7")).toBe(true);
    await pay();
    expect(new Set(script.keys()).size).toBe(2);
  });

  test("is forgotten in the tab that had no response when it is told to", async () => {
    const storage = memoryStorage();
    const script = scripted(LOST, new Response("", { status: 201 }));
    const call = createIdempotentFetch({ storage, fetch: script.fetch, maxAttempts: 1 });
    await call(URL_, { method: "POST", operation: "order 7" }).catch(() => {});
    await call.forget("order 7");
    await call(URL_, { method: "POST", operation: "order 7" });
    expect(new Set(script.keys()).size).toBe(2);
  });

  test("is too old to go on with when its server may have discarded it", async () => {
    const storage = memoryStorage();
    let now = 1_000_000;
    const script = scripted(LOST);
    const call = createIdempotentFetch({ storage, fetch: script.fetch, maxAttempts: 1, clock: { now: () => now } });
    const pay = (): Promise<Response> => call(URL_, { method: "POST", operation: "order 7" });
    await pay().catch(() => {});
    const { operation, key } = (await storage.list())[0]!;
    await storage.remove(operation, key);
    now += 24 * HOUR;
    await expect(pay()).rejects.toMatchObject({ name: "KeyExpiredError", key });
    expect(script.sent.length).toBe(1);
  });
});

describe("a page that was closed in mid-request", () => {
  test("goes on under the same key when it comes back", async () => {
    const storage = memoryStorage();
    const before = held({ storage });
    void before.pay();
    await eventually(() => before.script.sent.length === 1);
    const after = held({ storage });
    after.pass();
    await after.pay();
    expect(after.script.keys()).toEqual(before.script.keys());
    expect(await after.call.pending()).toEqual([]);
  });

  test("has stored its key before the request left", async () => {
    const storage = memoryStorage();
    const stored: number[] = [];
    const fetcher = (async () => (stored.push((await storage.list()).length), new Response(""))) as typeof fetch;
    await createIdempotentFetch({ storage, fetch: fetcher })(URL_, { method: "POST" });
    expect(stored).toEqual([1]);
  });

  test("shares keys within a scope, and not beyond", async () => {
    const storage = memoryStorage();
    const [a, b, again] = [held({ storage, user: "a" }), held({ storage, user: "b" }), held({ storage, user: "a" })];
    for (const { pay } of [a, b, again]) void pay({ operation: "order 7" });
    await eventually(() => [a, b, again].every(({ script }) => script.sent.length === 1));
    expect(again.script.keys()).toEqual(a.script.keys());
    expect(b.script.keys()).not.toEqual(a.script.keys());
    expect((await b.call.pending()).length).toBe(1);
  });

  test("leaves nothing of an unnamed request in the storage", async () => {
    const storage = memoryStorage();
    const { pay, script } = held({ storage });
    void pay({ body: "card 4242", headers: { authorization: "Bearer secret" } });
    await eventually(() => script.sent.length === 1);
    const [record] = await storage.list();
    expect(record!.operation).toMatch(/^request:0::sha256:[0-9a-f]{64}$/);
    expect(Object.keys(record!).sort()).toEqual(["createdAt", "key", "operation", "retention"]);
  });
});

describe("a key that is older than the server remembers", () => {
  const old = async (storage: KeyStorage, init: object): Promise<string> => {
    const failing = createIdempotentFetch({ storage, fetch: scripted(new Response("", { status: 422 })).fetch, clock: { now: () => Date.now() - 25 * HOUR } });
    await failing(URL_, { method: "POST", body: "1200", ...init });
    return (await failing.pending())[0]!.key;
  };

  test("is replaced if the operation has no name", async () => {
    const storage = memoryStorage();
    const key = await old(storage, {});
    const { pay, pass, script } = held({ storage });
    pass();
    await pay();
    expect(script.keys()[0]).not.toBe(key);
  });

  test("is too old as soon as the server may discard it", async () => {
    const storage = memoryStorage();
    let now = 1_000_000;
    const script = scripted(new Response("", { status: 422 }));
    const call = createIdempotentFetch({ storage, fetch: script.fetch, clock: { now: () => now } });
    const pay = (): Promise<Response> => call(URL_, { method: "POST", operation: "order 7" });
    await pay();
    now += 24 * HOUR - 1;
    await pay();
    now += 1;
    await expect(pay()).rejects.toThrow(KeyExpiredError);
  });

  test("stops a named operation until that is forgotten", async () => {
    const storage = memoryStorage();
    const key = await old(storage, { operation: "order 7" });
    const { pay, pass, script, call } = held({ storage });
    pass();
    const error = await pay({ operation: "order 7" }).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(KeyExpiredError);
    expect(error).toMatchObject({ operation: "order 7", key });
    expect(script.sent.length).toBe(0);
    await call.forget("order 7");
    expect((await pay({ operation: "order 7" })).status).toBe(201);
  });

  test("is swept away with time if the operation has no name", async () => {
    const storage = memoryStorage();
    await old(storage, {});
    await old(storage, { operation: "order 7" }).catch(() => {});
    const { pay, pass } = held({ storage });
    pass();
    await pay({ body: "another" });
    await eventually(async () => (await storage.list()).length === 1);
    expect((await storage.list())[0]!.operation).toBe("named:0::order 7");
  });
});

describe("an operation that is pending", () => {
  test("can be forgotten as it is listed, named or not", async () => {
    const script = scripted(new Response("", { status: 422 }));
    const call = createIdempotentFetch({ fetch: script.fetch, storage: memoryStorage() });
    await call(URL_, { method: "POST" });
    await call(URL_, { method: "POST", operation: "order 7" });
    const pending = await call.pending();
    expect(pending.map(({ named }) => named)).toEqual([false, true]);
    expect(pending[0]!.createdAt).toBeInstanceOf(Date);
    for (const { operation } of pending) await call.forget(operation);
    expect(await call.pending()).toEqual([]);
  });
});

describe("a response that lingers", () => {
  test("serves the second click of a double click, and then no more", async () => {
    const { script, pay, pass } = held({ linger: 50 });
    pass();
    expect(await (await pay()).text()).toBe("paid");
    expect(await (await pay()).text()).toBe("paid");
    expect(script.sent.length).toBe(1);
    await eventually(async () => (await pay(), script.sent.length === 2));
    expect(new Set(script.keys()).size).toBe(2);
  });

  test("is nothing unless it is asked for: a second request gets a response of its own", async () => {
    const { script, pay, pass } = held();
    pass();
    await pay();
    await pay();
    expect(script.sent.length).toBe(2);
    expect(new Set(script.keys()).size).toBe(2);
  });

  test("does not linger if it is not final", async () => {
    const script = scripted(new Response("", { status: 422 }), new Response("", { status: 201 }));
    const call = createIdempotentFetch({ fetch: script.fetch, linger: HOUR, storage: memoryStorage() });
    expect((await call(URL_, { method: "POST" })).status).toBe(422);
    expect((await call(URL_, { method: "POST" })).status).toBe(201);
  });
});

describe("a response that is copied", () => {
  test.each([204, 205, 304])("has no body where it may have none: %i", async (status) => {
    const call = createIdempotentFetch({ fetch: scripted(() => new Response(null, { status })).fetch });
    const response = await call(URL_, { method: "POST" });
    expect([response.status, response.body]).toEqual([status, null]);
  });

  test("retains its address through clones", async () => {
    const from = Object.defineProperties(new Response("x"), { url: { value: "https://shop.test/moved" }, redirected: { value: true } });
    const call = createIdempotentFetch({ fetch: (async () => from) as typeof fetch });
    const response = await call(URL_, { method: "POST" });
    const clone = response.clone();
    expect([response.url, response.redirected, clone.url]).toEqual(["https://shop.test/moved", true, "https://shop.test/moved"]);
    expect(await clone.text()).toBe("x");
    expect(await response.text()).toBe("x");
  });
});
