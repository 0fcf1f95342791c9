import { IDBFactory } from "fake-indexeddb";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createIdempotentFetch, defaultStorage, indexedDbStorage, localStorageStorage, memoryStorage, type KeyRecord, type KeyStorage } from "../src/index.js";
import { noting, scripted } from "./support/scripted.js";

const record = (key: string, operation = "o"): KeyRecord => ({ operation, key, createdAt: 1 });

/** What `localStorage` is, over a map. */
function items(): Storage {
  const map = new Map<string, string>();
  return {
    get length() {
      return map.size;
    },
    key: (index: number) => [...map.keys()][index] ?? null,
    getItem: (name: string) => map.get(name) ?? null,
    setItem: (name: string, value: string) => void map.set(name, value),
    removeItem: (name: string) => void map.delete(name),
    clear: () => map.clear(),
  };
}

beforeEach(() => vi.stubGlobal("indexedDB", new IDBFactory()));
afterEach(() => vi.unstubAllGlobals());

const storages: [string, () => [KeyStorage, KeyStorage]][] = [
  ["memory", () => Array(2).fill(memoryStorage()) as [KeyStorage, KeyStorage]],
  ["localStorage", () => { const shared = items(); return [localStorageStorage("t:", shared), localStorageStorage("t:", shared)]; }],
  ["IndexedDB", () => [indexedDbStorage(), indexedDbStorage()]],
  ["the default without a page", () => [defaultStorage(), defaultStorage()]],
];

describe.each(storages)("a storage in %s", (_, make) => {
  test("gives all who come together one key", async () => {
    const [one, other] = make();
    const puts = Array.from({ length: 40 }, (_, index) => (index % 2 ? one : other).putIfAbsent(record(`k${index}`)));
    const keys = new Set((await Promise.all(puts)).map(({ key }) => key));
    expect(keys.size).toBe(1);
    expect((await other.get("o"))!.key).toBe([...keys][0]);
    expect((await one.list()).length).toBe(1);
  });

  test("changes a record only for its own key", async () => {
    const [one, other] = make();
    await one.putIfAbsent(record("mine"));
    await other.remove("o", "theirs");
    await other.settle("o", "theirs", 5);
    expect(await one.get("o")).toEqual(record("mine"));
    await other.settle("o", "mine", 5);
    await other.settle("o", "mine", 9);
    expect(await one.get("o")).toEqual({ ...record("mine"), settledAt: 5 });
    await other.remove("o", "mine");
    expect(await one.get("o")).toBeUndefined();
    await one.settle("o", "mine", 5);
    expect(await one.list()).toEqual([]);
  });

  test("keeps operations apart", async () => {
    const [one] = make();
    await one.putIfAbsent(record("a", "x"));
    await one.putIfAbsent(record("b", "__proto__"));
    expect((await one.list()).map(({ operation, key }) => [operation, key]).sort()).toEqual([["__proto__", "b"], ["x", "a"]]);
  });
});

describe("localStorage", () => {
  test("takes what it cannot read for nothing, and other people's items for none of its business", async () => {
    const shared = items();
    for (const text of ["", "{", "null", "7", '{"operation":"o"}', '{"operation":"other","key":"k","createdAt":1}', '{"operation":"o","key":"","createdAt":1}', '{"operation":"o","key":"a\\nb","createdAt":1}', '{"operation":"o","key":"k","createdAt":1e999}']) {
      shared.setItem("t:o", text);
      const storage = localStorageStorage("t:", shared);
      expect(await storage.get("o"), text).toBeUndefined();
      expect(await storage.putIfAbsent(record("new")), text).toEqual(record("new"));
    }
    shared.setItem("theirs", JSON.stringify(record("k")));
    expect((await localStorageStorage("t:", shared).list()).length).toBe(1);
  });

  test("is used while no other tab does, where the browser can see to that", async () => {
    const request = vi.fn(async (_name: string, step: () => unknown) => step());
    vi.stubGlobal("navigator", { locks: { request } });
    const storage = localStorageStorage("t:", items());
    await storage.putIfAbsent(record("k"));
    await storage.remove("o", "k");
    expect(request.mock.calls.map(([name]) => name)).toEqual(["t:", "t:"]);
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
    expect((await storage.get("o"))!.key).toBe("k");
    expect(opened.length).toBe(2);
  });

  test("is not in the way of who deletes it", async () => {
    const storage = indexedDbStorage();
    await storage.putIfAbsent(record("k"));
    await new Promise((resolve, reject) => Object.assign(indexedDB.deleteDatabase("tower-idempotency"), { onsuccess: resolve, onerror: reject, onblocked: reject }));
    expect(await storage.get("o")).toBeUndefined();
  });
});

describe("the default storage", () => {
  const broken = { open: () => { throw new DOMException("private", "SecurityError"); } };

  test("is localStorage in a page whose IndexedDB does not open", async () => {
    const shared = items();
    vi.stubGlobal("indexedDB", broken);
    vi.stubGlobal("document", {});
    vi.stubGlobal("localStorage", shared);
    await defaultStorage().putIfAbsent(record("k"));
    expect(shared.getItem("tower-idempotency:o")).toContain('"k"');
    expect(shared.length).toBe(1);
  });

  test.each([
    [1_000, "IndexedDB"],
    [Infinity, "localStorage"],
  ])("waits for an IndexedDB that wakes up after %s ms, and takes %s", async (delay, place) => {
    const shared = items();
    const factory = globalThis.indexedDB;
    const open = factory.open.bind(factory);
    vi.spyOn(factory, "open").mockImplementation((...args) => {
      let real: IDBOpenDBRequest;
      const late = { get result() { return real.result; } } as IDBOpenDBRequest;
      const wake = (): void => {
        real = open(...args);
        const { onupgradeneeded, onsuccess } = late;
        Object.assign(real, { onupgradeneeded, onsuccess });
      };
      if (delay !== Infinity) setTimeout(wake, delay);
      return late;
    });
    vi.stubGlobal("document", {});
    vi.stubGlobal("localStorage", shared);
    const script = scripted(new Response("", { status: 422 }));
    await createIdempotentFetch({ fetch: script.fetch })("https://shop.test/", { method: "POST" });
    vi.restoreAllMocks();
    const kept = place === "localStorage" ? await localStorageStorage().list() : await indexedDbStorage().list();
    expect(kept.map(({ key }) => key)).toEqual(script.keys());
  });

  test("is memory where nothing else serves", async () => {
    vi.stubGlobal("indexedDB", broken);
    vi.stubGlobal("document", {});
    vi.stubGlobal("localStorage", { ...items(), setItem: () => { throw new DOMException("full", "QuotaExceededError"); } });
    const storage = defaultStorage();
    expect(await storage.putIfAbsent(record("k"))).toEqual(record("k"));
    expect((await storage.list()).length).toBe(1);
  });

  test("leaves nothing of its trial behind", async () => {
    const storage = defaultStorage();
    await storage.putIfAbsent(record("k"));
    expect(await indexedDbStorage().list()).toEqual([record("k")]);
  });
});

describe("a storage that fails", () => {
  const pay = { method: "POST" };

  test.each(["putIfAbsent", "remove"] as const)("loses no call, and its client goes on in memory: %s", async (method) => {
    const storage = { ...memoryStorage(), [method]: async () => Promise.reject(new DOMException("full", "QuotaExceededError")) };
    const script = scripted(new Response("", { status: 201 }));
    const { hook, types } = noting();
    const call = createIdempotentFetch({ storage, fetch: script.fetch, onProgress: hook });
    for (let times = 0; times < 3; times++) expect((await call("https://shop.test/", pay)).status).toBe(201);
    expect(new Set(script.keys()).size).toBe(3);
    expect(types().filter((type) => type === "storage-unavailable").length).toBe(method === "remove" ? 2 : 3);
  });

  const unsettled = { operation: "named:0::order 7", key: "served", createdAt: Date.now(), settledAt: null };
  const wrong: unknown[] = [undefined, unsettled, null, {}, "k", { operation: "another", key: "k", createdAt: Date.now() }];
  test.each(wrong)("by giving what is no record of the operation lends no key to it: %o", async (given) => {
    const storage = { ...memoryStorage(), putIfAbsent: async () => given, get: async () => given, list: async () => [given] } as KeyStorage;
    const script = scripted(new Response("", { status: 201 }));
    const { hook, types } = noting();
    const call = createIdempotentFetch({ storage, fetch: script.fetch, onProgress: hook });
    expect((await call("https://shop.test/", { ...pay, operation: "order 7" })).status).toBe(201);
    expect(script.keys()[0]).toMatch(/^[0-9a-f-]{36}$/);
    expect(types()[0]).toBe("storage-unavailable");
    expect(await call.pending()).toEqual([]);
  });

  test("in mid-way does not change the key of an operation that has begun", async () => {
    let fails = false;
    const memory = memoryStorage();
    const storage: KeyStorage = { ...memory, putIfAbsent: async (one) => (fails ? Promise.reject(new Error("closed")) : memory.putIfAbsent(one)) };
    const script = scripted(new Response("", { status: 422 }));
    const call = createIdempotentFetch({ storage, fetch: script.fetch });
    await call("https://shop.test/", pay);
    fails = true;
    await call("https://shop.test/", pay);
    expect(new Set(script.keys()).size).toBe(1);
    expect((await call.pending()).length).toBe(1);
  });

  test("for a moment does not keep what has served for the next page", async () => {
    const memory = memoryStorage();
    const storage: KeyStorage = { ...memory, list: async () => Promise.reject(new Error("not now")) };
    const script = scripted(new Response("", { status: 422 }), new Response("", { status: 201 }));
    const call = createIdempotentFetch({ storage, fetch: script.fetch });
    await call("https://shop.test/", pay);
    await call.pending();
    await call("https://shop.test/", pay);
    expect(new Set(script.keys()).size).toBe(1);
    expect(await memory.list()).toEqual([]);
  });

  test("for a moment has what lingers marked for the next page", async () => {
    const memory = memoryStorage();
    const storage: KeyStorage = { ...memory, list: async () => Promise.reject(new Error("not now")) };
    const script = scripted(new Response("", { status: 422 }), new Response("", { status: 201 }));
    const call = createIdempotentFetch({ storage, fetch: script.fetch, linger: 60_000 });
    await call("https://shop.test/", pay);
    await call.pending();
    await call("https://shop.test/", pay);
    expect(await memory.list()).toMatchObject([{ settledAt: expect.any(Number) }]);
  });

  test("by never answering costs two seconds, once", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const storage: KeyStorage = { ...memoryStorage(), putIfAbsent: () => new Promise(() => {}) };
      const script = scripted(new Response("", { status: 201 }));
      const call = createIdempotentFetch({ storage, fetch: script.fetch });
      const answer = call("https://shop.test/", pay);
      await vi.waitFor(() => expect(vi.getTimerCount()).toBeGreaterThan(0));
      await vi.advanceTimersByTimeAsync(2_000);
      expect((await answer).status).toBe(201);
      expect((await call("https://shop.test/", pay)).status).toBe(201);
    } finally {
      vi.useRealTimers();
    }
  });
});
