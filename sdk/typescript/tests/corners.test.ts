import { describe, expect, test, vi } from "vitest";
import { createIdempotentFetch, KeyStorageError, memoryStorage, outcomeOf, type KeyStorage } from "../src/index.js";
import { asInPage, ATTEMPT, gate, handClock, noting, scripted } from "./support/scripted.js";

const URL_ = "https://shop.test/payments";
const NAMED = { method: "POST", body: "1200", operation: "order 7" };
const UNNAMED = { method: "POST", body: "1200" };
const LOST = new TypeError("fetch failed");
const done = (): Response => new Response("", { status: 201 });
const MINUTE = 60_000;

asInPage();

test("a client with a shorter retention leaves the keys of the others", async () => {
  const [storage, clock] = [memoryStorage(), handClock()];
  const script = scripted(LOST, done, done, done);
  const one = createIdempotentFetch({ storage, clock, attemptTimeout: ATTEMPT, fetch: script.fetch, maxAttempts: 1 });
  await one(URL_, UNNAMED).catch(() => {});
  const hasty = createIdempotentFetch({ storage, clock, attemptTimeout: ATTEMPT, fetch: script.fetch, retention: 10 * MINUTE });
  clock.time += 11 * MINUTE;
  await hasty("https://shop.test/other", UNNAMED);
  await vi.waitFor(async () => expect((await storage.list()).length).toBe(1));
  await createIdempotentFetch({ storage, clock, attemptTimeout: ATTEMPT, fetch: script.fetch })(URL_, UNNAMED);
  expect(script.keys()[2]).toBe(script.keys()[0]);
});

test("an abort between the final response and the storage loses neither", async () => {
  const [stored, memory] = [gate(), memoryStorage()];
  const storage: KeyStorage = { ...memory, remove: async (...record) => (await stored.opened, memory.remove(...record)) };
  const { hook, types } = noting();
  const abort = new AbortController();
  const call = createIdempotentFetch({ storage, fetch: scripted(done).fetch, onProgress: hook });
  const response = call(URL_, { ...UNNAMED, signal: abort.signal });
  await vi.waitFor(() => expect(types()).toContain("response"));
  abort.abort();
  stored.open();
  expect((await response).status).toBe(201);
});

test("a storage that does not remove an old key holds back a named operation", async () => {
  const [memory, clock] = [memoryStorage(), handClock()];
  const script = scripted(done, done);
  await createIdempotentFetch({ storage: memory, clock, attemptTimeout: ATTEMPT, fetch: script.fetch })(URL_, NAMED);
  clock.time += 25 * 60 * MINUTE;
  const storage: KeyStorage = { ...memory, remove: async () => Promise.reject(new Error("full")) };
  const again = createIdempotentFetch({ storage, clock, attemptTimeout: ATTEMPT, fetch: script.fetch })(URL_, NAMED);
  await expect(again).rejects.toBeInstanceOf(KeyStorageError);
  expect(script.sent.length).toBe(1);
});

test("a Request of another frame is guarded, or an error, and never passed on without a key", async () => {
  const script = scripted(done);
  const foreign = { url: URL_, method: "POST", headers: new Headers(), body: null } as unknown as Request;
  await createIdempotentFetch({ fetch: script.fetch })(foreign, { operation: "order 7" }).catch(() => {});
  for (const { headers } of script.sent) expect(headers.has("x-idempotency-key")).toBe(true);
});

test("one reason for two aborts does not name one operation to the caller of the other", async () => {
  const abort = new AbortController();
  const call = createIdempotentFetch({ fetch: () => new Promise(() => {}) });
  const calls = ["order 1", "order 2"].map((operation) => call(URL_, { ...NAMED, operation, signal: abort.signal }));
  abort.abort(new Error("left"));
  const errors: unknown[] = await Promise.all(calls.map((one) => one.catch((error: unknown) => error)));
  expect(errors.map(outcomeOf)).toEqual([undefined, undefined]);
});

test.each([
  ["body", { method: "POST", body: new ReadableStream({ pull: () => new Promise(() => {}) }), duplex: "half" }],
  ["key", { ...UNNAMED, key: () => new Promise<string>(() => {}) }],
])("a %s that never comes is given up in time, and nothing is sent", async (_, init) => {
  const script = scripted();
  const call = createIdempotentFetch({ fetch: script.fetch, totalTimeout: 50 })(URL_, init as object);
  await expect(call).rejects.toMatchObject({ name: "TimeoutError" });
  expect(script.sent.length).toBe(0);
});

test("a Response that was read before is an error at once", async () => {
  const response = done();
  await response.text();
  const used = new Response("x");
  await used.text();
  const call = createIdempotentFetch({ fetch: async () => used })(URL_, NAMED);
  await expect(call).rejects.toThrow("fresh Response");
});

test("headers that can be read once are sent whole", async () => {
  const script = scripted(done, done);
  const call = createIdempotentFetch({ fetch: script.fetch });
  for (const method of ["POST", "GET"]) {
    const headers = new Headers({ authorization: "Bearer a", "x-tenant": "t" }).entries();
    await call(URL_, { method, headers: headers as unknown as Headers });
  }
  for (const { headers } of script.sent) expect([headers.get("authorization"), headers.get("x-tenant")]).toEqual(["Bearer a", "t"]);
});

describe("a stored record that cannot be read", () => {
  test("is not overwritten: it may be a key that was sent", async () => {
    const records = memoryStorage();
    await records.putIfAbsent({ operation: "named:0::order 7", key: "a key of a newer format", createdAt: 1 });
    const script = scripted(done);
    const call = createIdempotentFetch({ storage: records, fetch: script.fetch, clock: handClock() });
    await expect(call(URL_, NAMED)).rejects.toBeInstanceOf(KeyStorageError);
    expect(script.sent.length).toBe(0);
  });
});
