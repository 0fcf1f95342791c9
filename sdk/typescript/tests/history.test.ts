import { describe, expect, test } from "vitest";
import { createIdempotentFetch, memoryStorage, outcomeOf, type ClientOptions, type Disposition } from "../src/index.js";
import { ATTEMPT, handClock, scripted } from "./support/scripted.js";

const URL_ = "https://shop.test/payments";
const LOST = new TypeError("fetch failed");
const HOUR = 3_600_000;
const NAMED = { method: "POST", body: "1200", operation: "order 7" };

function client(script: ReturnType<typeof scripted>, options: ClientOptions = {}): { clock: ReturnType<typeof handClock>; call: ReturnType<typeof createIdempotentFetch> } {
  const clock = handClock();
  return { clock, call: createIdempotentFetch({ fetch: script.fetch, storage: memoryStorage(), clock, attemptTimeout: ATTEMPT, ...options }) };
}

function reply(status: number, more: object = {}, headers: Record<string, string> = {}): Response {
  const response = new Response(status < 200 || status === 204 ? null : "x", { status: status || 200, headers });
  return Object.defineProperties(response, Object.fromEntries(Object.entries({ status, ...more }).map(([name, value]) => [name, { value }])));
}

const disposition = async (call: Promise<Response>): Promise<Disposition> => outcomeOf(await call)!.disposition;

describe("a response after a lost one", () => {
  const strange: [string, () => Response][] = [
    ["a load balancer's 404", () => reply(404)],
    ["410", () => reply(410)],
    ["402", () => reply(402)],
    ["421", () => reply(421)],
    ["302 that was not followed", () => reply(302)],
    ["303 that was not followed", () => reply(303)],
    ["200 of a login, after a redirect", () => reply(200, { redirected: true })],
    ["an opaque redirect", () => reply(0, { type: "opaqueredirect" })],
    ["a conflict of a newer server", () => new Response('{"code":"idempotency_new"}', { status: 409, headers: { "content-type": "application/problem+json" } })],
  ];
  test.each(strange)("settles nothing, and the key stays: %s", async (_, make) => {
    const script = scripted(LOST, make, () => reply(201));
    const { call } = client(script);
    expect(await disposition(call(URL_, NAMED))).toBe("unknown");
    expect(await call.finish("order 7")).toBe(false);
    expect(await disposition(call(URL_, NAMED))).toBe("final");
    expect(new Set(script.keys()).size).toBe(1);
    expect(await call.finish("order 7")).toBe(true);
  });

  test.each([reply(201), reply(404, {}, { "x-idempotent-result": "true" }), reply(402, {}, { "idempotent-replayed": "true" })])("settles the operation if it is a success or a replay", async (response) => {
    expect(await disposition(client(scripted(LOST, () => response)).call(URL_, NAMED))).toBe("final");
  });

  test.each([500, 408, 504])("that was lost is like one with a status that says as little: %i", async (status) => {
    expect(await disposition(client(scripted(() => reply(status), () => reply(404))).call(URL_, NAMED))).toBe("unknown");
  });

  test.each([422, 429, 401])("is judged for itself if the one before had no effect: %i", async (status) => {
    const { call } = client(scripted(() => reply(status), () => reply(404)));
    if (status !== 429) await call(URL_, NAMED);
    expect(await disposition(call(URL_, NAMED))).toBe("final");
  });

  test("is in doubt in the next call too, and after an abort", async () => {
    const abort = new AbortController();
    const { call } = client(scripted(() => (abort.abort("gone"), new Promise<Response>(() => {})), () => reply(404)));
    await expect(call(URL_, { ...NAMED, signal: abort.signal })).rejects.toBe("gone");
    expect(await disposition(call(URL_, NAMED))).toBe("unknown");
  });

  test("is in doubt for a key that an earlier process stored", async () => {
    const storage = memoryStorage();
    await client(scripted(() => reply(422)), { storage }).call(URL_, NAMED);
    const { call } = client(scripted(() => reply(404)), { storage });
    expect(await disposition(call(URL_, NAMED))).toBe("unknown");
    expect(await call.finish("order 7")).toBe(false);
  });

  test("is in doubt under a key of the caller's that this client has used", async () => {
    const { call } = client(scripted(LOST, () => reply(404)), { maxAttempts: 1 });
    const own = { method: "POST", key: "mine" };
    await call(URL_, own).catch(() => {});
    expect(await disposition(call(URL_, own))).toBe("unknown");
  });

  test("is a load balancer's, not the operation's, once that was done", async () => {
    const { call } = client(scripted(() => reply(201), () => reply(404), () => reply(201)));
    await call(URL_, NAMED);
    expect(await disposition(call(URL_, NAMED))).toBe("unknown");
    expect(await call.finish("order 7")).toBe(false);
    await call(URL_, NAMED);
    expect(await call.finish("order 7")).toBe(true);
  });
});

describe("a key's age", () => {
  test.each([{}, { operation: "order 7" }])("is looked at before every attempt: %o", async (init) => {
    let clock: ReturnType<typeof handClock>;
    const script = scripted(() => {
      clock.time += 25 * HOUR;
      throw LOST;
    });
    const made = client(script, { totalTimeout: 1e12 });
    clock = made.clock;
    const error = await made.call(URL_, { method: "POST", ...init }).catch((error: unknown) => error);
    expect(error).toMatchObject({ name: "OutcomeUnknownError", reason: "retention", attempts: 1, key: script.keys()[0], cause: LOST });
    expect(script.sent.length).toBe(1);
  });

  test("is looked at though the monotonic clock stood still, as in a machine that slept", async () => {
    let now = Date.now();
    const script = scripted(() => ((now += 72 * HOUR), reply(503)));
    const call = createIdempotentFetch({ fetch: script.fetch, clock: { now: () => now, elapsed: () => 0, sleep: (time) => (time < 1_000 ? Promise.resolve() : new Promise(() => {})) }, storage: memoryStorage() });
    await expect(call(URL_, NAMED)).rejects.toMatchObject({ reason: "retention", attempts: 1 });
  });

  test("is no age if its date is ahead: nothing is sent", async () => {
    const storage = memoryStorage();
    const script = scripted(() => reply(201));
    const { call, clock } = client(script, { storage });
    await storage.putIfAbsent({ operation: "named:0::order 7", key: "future", createdAt: clock.now() + 301_000 });
    const error = await call(URL_, NAMED).catch((error: unknown) => error);
    expect(error).toMatchObject({ name: "KeyExpiredError", reason: "clock", operation: "order 7", key: "future" });
    expect(outcomeOf(error)).toMatchObject({ disposition: "unknown", attempts: 0 });
    expect(script.sent.length).toBe(0);
    clock.time += 2_000;
    expect((await call(URL_, NAMED)).status).toBe(201);
  });

  test("of a final response makes room for the next operation under its name", async () => {
    const script = scripted(() => reply(201));
    const { call, clock } = client(script);
    await call(URL_, NAMED);
    clock.time += 24 * HOUR;
    await call(URL_, NAMED);
    expect(new Set(script.keys()).size).toBe(2);
  });
});

describe("a named operation", () => {
  test("retains its key after its response, however late its name comes again, until it is finished", async () => {
    const script = scripted(() => reply(201));
    const { call, clock } = client(script);
    await call(URL_, NAMED);
    clock.time += 23 * HOUR;
    await call(URL_, NAMED);
    expect(new Set(script.keys()).size).toBe(1);
    expect(await call.pending()).toEqual([]);
    expect(await call.finish("order 7")).toBe(true);
    expect(await call.finish("order 7")).toBe(false);
    await call(URL_, NAMED);
    expect(new Set(script.keys()).size).toBe(2);
  });

  test("retains its key over a crash between its response and the application's own note of it", async () => {
    const storage = memoryStorage();
    const script = scripted(() => reply(201));
    for (let process = 0; process < 3; process++) await client(script, { storage }).call(URL_, NAMED);
    expect(new Set(script.keys()).size).toBe(1);
    expect(await client(script, { storage }).call.finish("order 7")).toBe(true);
    expect(await storage.list()).toEqual([]);
  });

  test("that another tab finished takes a new key", async () => {
    const storage = memoryStorage();
    const script = scripted(() => reply(201));
    const [one, other] = [client(script, { storage }).call, client(script, { storage }).call];
    await one(URL_, NAMED);
    expect(await other.finish("order 7")).toBe(true);
    await one(URL_, NAMED);
    expect(new Set(script.keys()).size).toBe(2);
  });

  test("is not finished while it is in flight, nor if nothing is known of it", async () => {
    const { call } = client(scripted(() => new Promise<Response>(() => {})));
    void call(URL_, NAMED).catch(() => {});
    expect(await call.finish("order 7")).toBe(false);
    expect(await call.finish("order 8")).toBe(false);
  });

  test("goes on by its first request after a corrected one was rejected, where the server stores rejections", async () => {
    const reused = (): Response => new Response('{"code":"idempotency_key_reused"}', { status: 422, headers: { "content-type": "application/problem+json" } });
    const script = scripted(() => reply(403), reused, () => reply(403, {}, { "idempotent-replayed": "true" }), () => reply(201));
    const { call } = client(script, { profile: "stripe" });
    expect(await disposition(call(URL_, NAMED))).toBe("final");
    expect(await disposition(call(URL_, { ...NAMED, body: "mended" }))).toBe("unknown");
    expect(await call.finish("order 7")).toBe(false);
    expect(await disposition(call(URL_, NAMED))).toBe("final");
    expect(await call.finish("order 7")).toBe(true);
    await call(URL_, { ...NAMED, body: "mended" });
    const keys = script.sent.map(({ headers }) => headers.get("idempotency-key"));
    expect(new Set(keys.slice(0, 3)).size).toBe(1);
    expect(keys[3]).not.toBe(keys[0]);
  });

  test("is what a plain fetch stands for, whatever way a library calls it", async () => {
    const script = scripted(() => reply(503), () => reply(201));
    const { call } = client(script, { maxAttempts: 1 });
    const pay = call.named("order 7", { attemptTimeout: ATTEMPT });
    await pay(URL_, { method: "POST", body: "1" });
    await pay(new Request(URL_, { method: "POST", body: "1" }));
    expect(new Set(script.keys()).size).toBe(1);
    expect(await call.finish("order 7")).toBe(true);
  });
});

describe("two pages with one key", () => {
  /** The second page takes up the first one's key while its request is under way. */
  async function race(options: ClientOptions): Promise<{ page: ReturnType<typeof client>; keys: () => (string | null)[] }> {
    const storage = memoryStorage();
    const other = client(scripted(LOST), { ...options, storage, maxAttempts: 1 });
    const script = scripted(async () => {
      await other.call(URL_, NAMED).catch(() => {});
      return reply(404);
    }, () => reply(201));
    const page = client(script, { ...options, storage });
    expect(await disposition(page.call(URL_, NAMED))).toBe("final");
    return { page, keys: script.keys };
  }

  test("do not drop it by a rejection that one of them got, because the other may have had an effect", async () => {
    const { page, keys } = await race({});
    expect(await page.call.finish("order 7")).toBe(false);
    expect(await disposition(page.call(URL_, NAMED))).toBe("final");
    expect(await page.call.finish("order 7")).toBe(true);
    expect(new Set(keys()).size).toBe(1);
  });

  test("drop it by a rejection if no other page has it", async () => {
    const script = scripted(() => reply(404), () => reply(201));
    const { call } = client(script);
    await call(URL_, NAMED);
    expect(await call.finish("order 7")).toBe(true);
    await call(URL_, NAMED);
    expect(new Set(script.keys()).size).toBe(2);
  });
});

test("a key of the caller's own may have been sent before: a rejection that is not a replay settles nothing", async () => {
  const script = scripted(() => reply(404), () => reply(404, {}, { "x-idempotent-result": "true" }));
  const { call } = client(script);
  expect(await disposition(call(URL_, { ...NAMED, key: "derived" }))).toBe("unknown");
  expect(await disposition(call(URL_, { ...NAMED, key: "derived" }))).toBe("final");
});

describe("an outcome", () => {
  test("says whether nothing happened, or that is not known", async () => {
    const { call } = client(scripted(() => reply(422), LOST, () => reply(422), () => reply(201)), { maxAttempts: 1 });
    expect(outcomeOf(await call(URL_, NAMED))).toMatchObject({ disposition: "unknown", status: 422, inDoubt: false });
    const lost: unknown = await call(URL_, NAMED).catch((error: unknown) => error);
    expect(outcomeOf(lost)).toMatchObject({ disposition: "unknown", inDoubt: true });
    expect(outcomeOf(await call(URL_, NAMED))).toMatchObject({ disposition: "unknown", status: 422, inDoubt: true });
    expect(outcomeOf(await call(URL_, NAMED))).toMatchObject({ disposition: "final", status: 201, inDoubt: false });
  });

  test("has the status of the response that the server did not store", async () => {
    const headers = { "content-type": "application/problem+json" };
    const problem = JSON.stringify({ code: "idempotency_result_not_retained", original_status: 201 });
    const { call } = client(scripted(() => new Response(problem, { status: 409, headers })));
    expect(outcomeOf(await call(URL_, NAMED))).toMatchObject({ disposition: "final", status: 201 });
  });
});

test("a name on a method that gets no key is an error, and nothing is sent", async () => {
  const script = scripted(() => reply(201), () => reply(200));
  const { call } = client(script);
  await expect(call(URL_, { ...NAMED, method: "PUT" })).rejects.toThrow("PUT gets no key: add it to methods");
  expect(script.sent.length).toBe(0);
  await call(URL_, { method: "GET", operation: "order 7" });
  expect(script.sent.length).toBe(1);
});
