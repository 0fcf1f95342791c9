import { IDBDatabase, IDBFactory } from "fake-indexeddb";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createIdempotentFetch, defaultStorage, indexedDbStorage, KeyStorageError, memoryStorage, outcomeOf, type KeyRecord, type KeyStorage, type ProgressHook } from "../src/index.js";
import { asInPage, ATTEMPT, eventually, gate, handClock, noting, scripted } from "./support/scripted.js";

const record = (key: string, operation = "o"): KeyRecord => ({ operation, key, createdAt: 1 });

/** The record of the one operation. */
const found = async (storage: KeyStorage): Promise<KeyRecord | undefined> => (await storage.list()).find(({ operation }) => operation === "o");

beforeEach(() => vi.stubGlobal("indexedDB", new IDBFactory()));
afterEach(() => vi.unstubAllGlobals());

const storages: [string, () => [KeyStorage, KeyStorage]][] = [
  ["memory", () => Array(2).fill(memoryStorage()) as [KeyStorage, KeyStorage]],
  ["IndexedDB", () => [indexedDbStorage(), indexedDbStorage()]],
  ["the default without a page", () => [defaultStorage(), defaultStorage()]],
];

describe.each(storages)("a storage in %s", (_, make) => {
  test("gives all who come together one key", async () => {
    const [one, other] = make();
    const puts = Array.from({ length: 40 }, (_, index) => (index % 2 ? one : other).putIfAbsent(record(`k${index}`)));
    const keys = new Set((await Promise.all(puts)).map(({ key }) => key));
    expect(keys.size).toBe(1);
    expect((await found(other))!.key).toBe([...keys][0]);
    expect((await one.list()).length).toBe(1);
  });

  test("changes a record only for its own key", async () => {
    const [one, other] = make();
    await one.putIfAbsent(record("mine"));
    expect(await other.remove("o", "theirs")).toBe(true);
    expect(await other.mark("o", "theirs", { settledAt: 5 })).toBe(false);
    expect(await found(one)).toEqual(record("mine"));
    expect(await other.mark("o", "mine", { settledAt: 5 })).toBe(true);
    expect(await found(one)).toEqual({ ...record("mine"), settledAt: 5 });
    expect(await other.remove("o", "mine", true)).toBe(true);
    expect(await found(one)).toBeUndefined();
    expect(await one.mark("o", "mine", { settledAt: 5 })).toBe(false);
    expect(await one.list()).toEqual([]);
  });

  test("removes a shared record only when that is asked for", async () => {
    const [one, other] = make();
    await one.putIfAbsent(record("mine"));
    expect(await other.mark("o", "mine", { shared: true })).toBe(true);
    expect(await one.remove("o", "mine", true)).toBe(false);
    expect(await found(other)).toEqual({ ...record("mine"), shared: true });
    expect(await one.remove("o", "mine")).toBe(true);
    expect(await found(other)).toBeUndefined();
  });

  test("separates operations", async () => {
    const [one] = make();
    await one.putIfAbsent(record("a", "x"));
    await one.putIfAbsent(record("b", "__proto__"));
    expect((await one.list()).map(({ operation, key }) => [operation, key]).sort()).toEqual([["__proto__", "b"], ["x", "a"]]);
  });
});

describe("IndexedDB", () => {
  test("is opened again when the browser has closed it", async () => {
    const factory = globalThis.indexedDB;
    const opened: IDBDatabase[] = [];
    const open = factory.open.bind(factory);
    vi.spyOn(factory, "open").mockImplementation((...args) => {
      const opening = open(...args);
      opening.addEventListener("success", () => opened.push(opening.result));
      return opening;
    });
    const storage = indexedDbStorage();
    await storage.putIfAbsent(record("k"));
    opened[0]!.close();
    expect((await found(storage))!.key).toBe("k");
    expect(opened.length).toBe(2);
  });

  test("is opened again when its connection fails", async () => {
    const storage = indexedDbStorage();
    await storage.putIfAbsent(record("k"));
    const [database] = [IDBDatabase.prototype];
    const real = database.transaction;
    let failures = 1;
    vi.spyOn(database, "transaction").mockImplementation(function (this: IDBDatabase, ...args) {
      if (failures-- > 0) throw new DOMException("Connection to Indexed Database server lost", "UnknownError");
      return real.apply(this, args);
    });
    expect((await found(storage))!.key).toBe("k");
    vi.restoreAllMocks();
  });

  test("is not in the way of who deletes it", async () => {
    const storage = indexedDbStorage();
    await storage.putIfAbsent(record("k"));
    await new Promise((resolve, reject) => Object.assign(indexedDB.deleteDatabase("tower-idempotency"), { onsuccess: resolve, onerror: reject, onblocked: reject }));
    expect(await found(storage)).toBeUndefined();
  });
});

describe("the default storage", () => {
  const failing = (name: string) => ({ open: () => { throw new DOMException("no", name); } });

  test.each(["UnknownError", "QuotaExceededError", "AbortError", "TimeoutError"])("is not another one while its IndexedDB is broken, and IndexedDB again afterwards: %s", async (name) => {
    const factory = globalThis.indexedDB;
    await indexedDbStorage().putIfAbsent(record("old"));
    vi.stubGlobal("document", {});
    vi.stubGlobal("indexedDB", failing(name));
    const storage = defaultStorage();
    await expect(storage.putIfAbsent(record("new"))).rejects.toMatchObject({ name });
    vi.stubGlobal("indexedDB", factory);
    expect(await storage.putIfAbsent(record("new"))).toEqual(record("old"));
  });

  test.each(["SecurityError", "InvalidStateError", "NotSupportedError"])("is memory where IndexedDB is forbidden: %s", async (name) => {
    vi.stubGlobal("indexedDB", failing(name));
    vi.stubGlobal("document", {});
    const storage = defaultStorage();
    const puts = await Promise.all(["k", "l"].map((key) => storage.putIfAbsent(record(key))));
    expect(puts).toEqual([record("k"), record("k")]);
    expect((await storage.list()).length).toBe(1);
  });

  test("is waited for, and not another one, however slowly its IndexedDB opens: the key of before a reload is found", async () => {
    const before = scripted(new Response("", { status: 503 }));
    const pay = (script: ReturnType<typeof scripted>, hook?: ProgressHook): Promise<Response> =>
      createIdempotentFetch({ fetch: script.fetch, maxAttempts: 1, onProgress: hook })("https://shop.test/", { method: "POST", operation: "order 7" });
    await pay(before);
    vi.stubGlobal("document", {});
    const factory = globalThis.indexedDB;
    const open = factory.open.bind(factory);
    const woken = gate();
    vi.spyOn(factory, "open").mockImplementation((...args) => {
      let real: IDBOpenDBRequest;
      const late = { get result() { return real.result; } } as IDBOpenDBRequest;
      void woken.opened.then(() => {
        real = open(...args);
        const { onupgradeneeded, onsuccess } = late;
        Object.assign(real, { onupgradeneeded, onsuccess });
      });
      return late;
    });
    const after = scripted(new Response("", { status: 201 }));
    const { hook, types } = noting();
    const paid = pay(after, hook);
    await vi.waitFor(() => expect(types()).toEqual(["storage-waiting"]), 10_000);
    expect(after.sent.length).toBe(0);
    woken.open();
    expect((await paid).status).toBe(201);
    expect(after.keys()).toEqual(before.keys());
    vi.restoreAllMocks();
  });

  test("leaves nothing of its choice behind", async () => {
    const storage = defaultStorage();
    await storage.putIfAbsent(record("k"));
    expect(await indexedDbStorage().list()).toEqual([record("k")]);
  });
});

describe("a storage that fails", () => {
  const NAMED = { method: "POST", operation: "order 7" };
  const FULL = new DOMException("full", "QuotaExceededError");

  /** A storage that fails so many times in each method, and then serves. */
  function failing(times: number, real: KeyStorage = memoryStorage()): KeyStorage & { asked: number } {
    const storage = { ...real, asked: 0 };
    for (const method of ["putIfAbsent", "mark", "remove", "list"] as const) {
      // A sweep lists on the side.
      if (method === "list" && times < Infinity) continue;
      storage[method] = (async (...args: []) => (storage.asked++ < times ? Promise.reject(FULL) : (real[method] as () => unknown)(...args))) as never;
    }
    return storage;
  }

  test("holds back a named operation until it serves, and tells of it", async () => {
    const real = memoryStorage();
    await real.putIfAbsent({ operation: "named:0::order 7", key: "pending", createdAt: handClock().now() });
    const script = scripted(new Response("", { status: 201 }));
    const { hook, events, types } = noting();
    const call = createIdempotentFetch({ storage: failing(3, real), fetch: script.fetch, onProgress: hook, clock: handClock(), attemptTimeout: ATTEMPT });
    expect((await call("https://shop.test/", NAMED)).status).toBe(201);
    expect(script.keys()).toEqual(["pending"]);
    expect(types()).toEqual(["storage-waiting", "storage-waiting", "storage-waiting", "attempt", "response", "settled"]);
    expect(events[0]).toEqual({ type: "storage-waiting", operation: "order 7", delay: 50, error: FULL });
  });

  test("for good is an error for a named operation, and nothing is sent", async () => {
    const script = scripted(new Response("", { status: 201 }));
    const call = createIdempotentFetch({ storage: failing(Infinity), fetch: script.fetch, clock: handClock() });
    const error = await call("https://shop.test/", NAMED).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(KeyStorageError);
    expect(error).toMatchObject({ name: "KeyStorageError", operation: "order 7", cause: FULL });
    expect(outcomeOf(error)).toEqual({ disposition: "unknown", status: undefined, inDoubt: true, operation: "order 7", named: true, key: undefined, attempts: 0, replayed: false });
    expect(script.sent.length).toBe(0);
    for (const asked of [call.pending(), call.finish("order 7"), call.forget("order 7")]) await expect(asked).rejects.toBeInstanceOf(KeyStorageError);
  });

  test("does not hold back a named operation if its client takes the risk, which stores its key in memory", async () => {
    const script = scripted(new Response("", { status: 201 }));
    const { hook, types } = noting();
    const call = createIdempotentFetch({ storage: failing(Infinity), fetch: script.fetch, onProgress: hook, riskSecondEffectWithoutStorage: true });
    await call("https://shop.test/", NAMED);
    await call("https://shop.test/", NAMED);
    expect(types().slice(0, 4)).toEqual(["storage-unavailable", "attempt", "response", "settled"]);
    expect(new Set(script.keys()).size).toBe(1);
  });

  test("once is asked again by the next call", async () => {
    const storage = failing(1);
    const script = scripted(new Response("", { status: 422 }));
    for (let process = 0; process < 3; process++) await createIdempotentFetch({ storage, fetch: script.fetch, baseDelay: 1 })("https://shop.test/", NAMED);
    expect(new Set(script.keys()).size).toBe(1);
    expect((await storage.list()).map(({ key }) => key)).toEqual([script.keys()[0]]);
  });

  const wrong: unknown[] = [undefined, null, {}, "k", { operation: "another", key: "k", createdAt: Date.now() }, { operation: "named:0::order 7", key: "served", createdAt: Date.now(), settledAt: null }];
  test.each(wrong)("by giving what is not a record of the operation lends no key to it: %o", async (given) => {
    const storage = { ...memoryStorage(), putIfAbsent: async () => given, get: async () => given, list: async () => [given] } as KeyStorage;
    const script = scripted(new Response("", { status: 201 }));
    const call = createIdempotentFetch({ storage, fetch: script.fetch, clock: handClock() });
    await expect(call("https://shop.test/", NAMED)).rejects.toBeInstanceOf(KeyStorageError);
    expect(script.sent.length).toBe(0);
    expect(await call.pending()).toEqual([]);
  });

  test("by never ending is asked again, and what serves first counts", async () => {
    const memory = memoryStorage();
    let asked = 0;
    const storage: KeyStorage = { ...memory, putIfAbsent: (one) => (asked++ ? memory.putIfAbsent(one) : new Promise(() => {})) };
    const script = scripted(new Response("", { status: 201 }));
    const { hook, types } = noting();
    await createIdempotentFetch({ storage, fetch: script.fetch, onProgress: hook, baseDelay: 1 })("https://shop.test/", NAMED);
    expect([types()[0], asked, script.keys()]).toEqual(["storage-waiting", 2, [(await memory.list())[0]!.key]]);
  });

  test("after the response leaves the key, which the next call sends again", async () => {
    const real = memoryStorage();
    const storage: KeyStorage = { ...real, mark: async () => Promise.reject(FULL) };
    const script = scripted(new Response("", { status: 201 }));
    const call = createIdempotentFetch({ storage, fetch: script.fetch });
    await call("https://shop.test/", NAMED);
    await createIdempotentFetch({ storage: real, fetch: script.fetch })("https://shop.test/", NAMED);
    expect(new Set(script.keys()).size).toBe(1);
    expect(await call.finish("order 7")).toBe(true);
    expect(await real.list()).toEqual([]);
  });

  test("at times does not keep a tab from the next operation of another tab under the same name", async () => {
    const storage = memoryStorage();
    const one = scripted(new TypeError("fetch failed"), new Response("", { status: 201 }));
    const other = scripted(new Response("", { status: 201 }), new TypeError("fetch failed"));
    const tab = (fetch: typeof one.fetch) => createIdempotentFetch({ storage, fetch, maxAttempts: 1, riskSecondEffectWithoutStorage: true });
    const [first, second] = [tab(one.fetch), tab(other.fetch)];
    await expect(first("https://shop.test/", NAMED)).rejects.toThrow("unknown");
    await second("https://shop.test/", NAMED);
    expect(await second.finish("order 7")).toBe(true);
    await expect(second("https://shop.test/", NAMED)).rejects.toThrow("unknown");
    await first("https://shop.test/", NAMED);
    expect(one.keys()[1]).toBe(other.keys()[1]);
  });

  describe("in a page, for an operation without a name", () => {
    const pay = { method: "POST" };
    beforeEach(asInPage);

    test("loses no call, and is asked again by the next", async () => {
      const storage = failing(1);
      const script = scripted(new Response("", { status: 422 }));
      const { hook, types } = noting();
      const call = createIdempotentFetch({ storage, fetch: script.fetch, onProgress: hook });
      await call("https://shop.test/", pay);
      await call("https://shop.test/", pay);
      expect(types()).toEqual(["storage-unavailable", "attempt", "response", "attempt", "response"]);
      expect(new Set(script.keys()).size).toBe(1);
      expect((await storage.list()).map(({ key }) => key)).toEqual([script.keys()[0]]);
    });

    test("does not make the next operation take a key that has served", async () => {
      const real = memoryStorage();
      const storage: KeyStorage = { ...real, remove: async () => Promise.reject(FULL) };
      const script = scripted(new Response("", { status: 201 }));
      const call = createIdempotentFetch({ storage, fetch: script.fetch });
      for (let times = 0; times < 3; times++) await call("https://shop.test/", pay);
      expect(new Set(script.keys()).size).toBe(3);
    });

    const status = (code: number) => (): Response => new Response("", { status: code });
    const lost = new TypeError("fetch failed");
    /** A storage whose methods fail as long as they are named. */
    const broken = (...methods: (keyof KeyStorage)[]) => {
      const failing = new Set(methods);
      const storage = memoryStorage();
      for (const name of ["putIfAbsent", "mark", "remove"] as const) {
        const real = storage[name] as (...args: unknown[]) => Promise<unknown>;
        storage[name] = (async (...args: unknown[]) => (failing.has(name) ? Promise.reject(FULL) : real(...args))) as never;
      }
      return { storage, failing };
    };

    test("does not change the key of a rejected operation as long as it cannot be removed", async () => {
      const { storage, failing } = broken("remove");
      const { fetch, keys } = scripted(status(404), lost, lost, status(201));
      const page = () => createIdempotentFetch({ storage, fetch, maxAttempts: 1 });
      const call = page();
      await call("https://shop.test/", pay);
      failing.add("putIfAbsent");
      await expect(call("https://shop.test/", pay)).rejects.toThrow("unknown");
      failing.delete("putIfAbsent");
      await expect(call("https://shop.test/", pay)).rejects.toThrow("unknown");
      expect((await call.pending()).map(({ key }) => key)).toEqual([keys()[0]]);
      failing.clear();
      expect((await page()("https://shop.test/", pay)).status).toBe(201);
      expect(new Set(keys()).size).toBe(1);
    });

    test("does not change a key that may have had an effect for that of another page", async () => {
      const { storage, failing } = broken("putIfAbsent");
      const { fetch, keys } = scripted(lost, status(201));
      const call = createIdempotentFetch({ storage, fetch, maxAttempts: 1 });
      await expect(call("https://shop.test/", pay)).rejects.toThrow("unknown");
      failing.clear();
      const other = scripted(lost);
      await expect(createIdempotentFetch({ storage, fetch: other.fetch, maxAttempts: 1 })("https://shop.test/", pay)).rejects.toThrow("unknown");
      await call("https://shop.test/", pay);
      expect(keys()[1]).toBe(keys()[0]);
      expect((await call.pending()).map(({ key }) => key)).toEqual(other.keys());
    });

    test("by storing a key late does not leave a key that the next call does not use", async () => {
      const { storage } = broken();
      const { opened, open } = gate();
      let [asked, done] = [0, 0];
      for (const name of ["putIfAbsent", "remove"] as const) {
        const real = storage[name] as (...args: unknown[]) => Promise<unknown>;
        storage[name] = ((...args: unknown[]) => (asked++, opened.then(() => real(...args)).finally(() => done++))) as never;
      }
      const { fetch, keys } = scripted(status(201));
      const call = createIdempotentFetch({ storage, fetch });
      const leaves = new AbortController();
      const first = call("https://shop.test/", { ...pay, signal: leaves.signal });
      await eventually(() => asked === 1);
      leaves.abort();
      await expect(first).rejects.toThrow();
      await call("https://shop.test/", pay);
      open();
      await eventually(() => done === asked);
      expect(await storage.list()).toEqual([]);
      expect(keys()).toHaveLength(1);
    });

    test("stores the key in doubt as soon as it can remove an older one, and lists it before", async () => {
      const { storage, failing } = broken("remove");
      const { fetch, keys } = scripted(status(201), lost, lost, status(201));
      const call = createIdempotentFetch({ storage, fetch, maxAttempts: 1 });
      await call("https://shop.test/", pay);
      await expect(call("https://shop.test/", pay)).rejects.toThrow("unknown");
      expect((await call.pending()).map(({ key }) => key)).toEqual([keys()[1]]);
      failing.clear();
      await expect(call("https://shop.test/", pay)).rejects.toThrow("unknown");
      await createIdempotentFetch({ storage, fetch, maxAttempts: 1 })("https://shop.test/", pay);
      expect([keys()[1], keys()[2], keys()[3]]).toEqual(Array(3).fill(keys()[1]));
      expect(keys()[0]).not.toBe(keys()[1]);
    });

    test("by never ending is waited for two seconds", async () => {
      const storage: KeyStorage = { ...memoryStorage(), putIfAbsent: () => new Promise(() => {}) };
      const script = scripted(new Response("", { status: 201 }));
      const { hook, types } = noting();
      await createIdempotentFetch({ storage, fetch: script.fetch, onProgress: hook })("https://shop.test/", pay);
      expect(types()).toEqual(["storage-unavailable", "attempt", "response", "settled"]);
    });
  });
});
