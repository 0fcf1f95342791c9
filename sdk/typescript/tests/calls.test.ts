import { runInNewContext } from "node:vm";
import { describe, expect, test, vi } from "vitest";
import { createIdempotentFetch, memoryStorage, OutcomeUnknownError, outcomeOf, retryBudget, type ClientOptions } from "../src/index.js";
import { ATTEMPT, handClock, noting, problem, scripted } from "./support/scripted.js";

const URL_ = "https://shop.test/payments";
const LOST = new TypeError("fetch failed");

function client(script: ReturnType<typeof scripted>, options: ClientOptions = {}): { pay: (init?: object) => Promise<Response>; clock: ReturnType<typeof handClock>; call: ReturnType<typeof createIdempotentFetch> } {
  const clock = handClock();
  const call = createIdempotentFetch({ fetch: script.fetch, storage: memoryStorage(), clock, attemptTimeout: ATTEMPT, ...options });
  return { call, clock, pay: (init = {}) => call(URL_, { method: "POST", body: "1200", ...init }) };
}

describe("a call", () => {
  test("bears one key and the same bytes on every attempt", async () => {
    const script = scripted(LOST, new Response("", { status: 503 }), new Response("done", { status: 201 }));
    const response = await client(script).pay();
    expect([response.status, await response.text()]).toEqual([201, "done"]);
    expect(new Set(script.keys()).size).toBe(1);
    expect(script.keys()[0]).toMatch(/^[0-9a-f-]{36}$/);
    expect(script.sent.map(({ body }) => new TextDecoder().decode(body!))).toEqual(["1200", "1200", "1200"]);
  });

  test("waits for what is in flight, and gets the replay", async () => {
    const script = scripted(problem(409, "idempotency_key_in_flight", { "retry-after": "1" }), new Response("", { status: 201, headers: { "x-idempotent-result": "true" } }));
    const { pay, clock } = client(script);
    const { hook, events } = noting();
    expect((await pay({ onProgress: hook })).status).toBe(201);
    expect(clock.waits).toEqual([1_050]);
    const { key, operation } = events[0] as { key: string; operation: string };
    expect(events).toEqual([
      { type: "attempt", operation, key, attempt: 1 },
      { type: "response", operation, key, attempt: 1, status: 409, disposition: "retry", replayed: false },
      { type: "retry", operation, key, attempt: 2, delay: 1_050, reason: "in-flight" },
      { type: "attempt", operation, key, attempt: 2 },
      { type: "response", operation, key, attempt: 2, status: 201, disposition: "final", replayed: true },
      { type: "settled", operation, key },
    ]);
    expect(operation).toMatch(/^sha256:[0-9a-f]{64}$/);
  });

  test("takes a new key after a final response", async () => {
    const script = scripted(new Response("", { status: 201 }));
    const { pay, call } = client(script);
    await pay();
    await pay();
    expect(new Set(script.keys()).size).toBe(2);
    expect(await call.pending()).toEqual([]);
  });

  test.each([422, 401, 501])("retains its key after a response that leaves it open: %i", async (status) => {
    const script = scripted(new Response("", { status }), new Response("", { status: 201 }));
    const { pay, call } = client(script);
    expect((await pay({ operation: "order 7" })).status).toBe(status);
    expect(await call.pending()).toMatchObject([{ operation: "order 7", named: true, key: script.keys()[0] }]);
    expect((await pay({ operation: "order 7", body: "mended" })).status).toBe(201);
    expect(new Set(script.keys()).size).toBe(1);
  });

  test("gives up with the outcome unknown, and goes on under its key", async () => {
    const script = scripted(LOST, LOST, new Response("", { status: 201 }));
    const { pay } = client(script, { maxAttempts: 2 });
    const error = await pay({ operation: "order 7" }).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect(error).toMatchObject({ operation: "order 7", key: script.keys()[0], attempts: 2, reason: "max-attempts", cause: LOST });
    expect((await pay({ operation: "order 7" })).status).toBe(201);
    expect(new Set(script.keys()).size).toBe(1);
  });

  test("begins no wait that would end after its total time, and gives the last response as it is", async () => {
    const script = scripted(new Response("busy", { status: 503, headers: { "retry-after": "20" } }));
    const { pay, clock } = client(script);
    const response = await pay();
    expect([response.status, await response.text()]).toEqual([503, "busy"]);
    expect(clock.waits).toEqual([20_050, 20_050]);
    expect(script.sent.length).toBe(3);
  });

  test("bounds a Retry-After of its server's", async () => {
    const script = scripted(new Response("", { status: 429, headers: { "retry-after": "50" } }), new Response("", { status: 200 }));
    const { pay, clock } = client(script);
    await pay();
    expect(clock.waits).toEqual([30_050]);
  });

  test("gives its caller a response that asks for more than the time left, at once", async () => {
    const script = scripted(new Response("busy", { status: 429, headers: { "retry-after": "86400" } }));
    const { pay, clock } = client(script);
    const response = await pay();
    expect([response.status, await response.text(), outcomeOf(response)?.disposition]).toEqual([429, "busy", "retry"]);
    expect([clock.waits, script.sent.length]).toEqual([[], 1]);
  });

  test("makes no retry when the budget of its client is used up", async () => {
    const script = scripted(LOST);
    const { pay } = client(script, { budget: retryBudget(0.1) });
    await expect(pay()).rejects.toMatchObject({ reason: "budget", attempts: 2 });
    expect(script.sent.length).toBe(2);
  });

  test("ends an attempt that takes too long, even one that cannot be aborted", async () => {
    const script = scripted(() => new Promise<Response>(() => {}));
    const call = createIdempotentFetch({ fetch: script.fetch, attemptTimeout: 20, baseDelay: 1, maxAttempts: 2 });
    const error = await call(URL_, { method: "POST" }).catch((error: unknown) => error);
    expect(error).toMatchObject({ name: "OutcomeUnknownError", attempts: 2, cause: { name: "TimeoutError" } });
    expect(script.sent.every(({ signal }) => signal.aborted)).toBe(true);
  });

  test("takes an error that comes as a response for one that settles nothing", async () => {
    const response = await client(scripted(() => Response.error())).pay();
    expect([response.type, outcomeOf(response)]).toMatchObject(["error", { disposition: "unknown", inDoubt: true }]);
  });

  const bounds = ["attemptTimeout", "totalTimeout", "maxAttempts", "maxRetryAfter", "baseDelay", "maxDelay", "linger"];
  test.each(bounds)("is not made with a bound that would never be reached: %s", async (name) => {
    const script = scripted(new Response(""));
    for (const value of [NaN, -1, null, "5"]) {
      await expect(client(script).pay({ [name]: value }), String(value)).rejects.toThrow(RangeError);
      expect(() => createIdempotentFetch({ [name]: value }), String(value)).toThrow(RangeError);
    }
    expect(script.sent.length).toBe(0);
    expect(() => createIdempotentFetch({ retention: NaN })).toThrow(RangeError);
  });

  test("is not disturbed by a hook that throws or rejects", async () => {
    const { pay } = client(scripted(new Response("", { status: 201 })));
    const thrown = (): never => {
      throw new Error("hook");
    };
    expect((await pay({ onProgress: thrown })).status).toBe(201);
    expect((await pay({ onProgress: async () => thrown() })).status).toBe(201);
  });

  test("is not disturbed by a hook of another realm that rejects", async () => {
    const { pay } = client(scripted(new Response("", { status: 201 })));
    const unhandled = vi.fn();
    process.on("unhandledRejection", unhandled);
    await pay({ onProgress: runInNewContext("async () => { throw new Error('hook'); }") });
    // Node tells of them when all microtasks are done.
    await new Promise((resolve) => setImmediate(resolve));
    process.off("unhandledRejection", unhandled);
    expect(unhandled).not.toHaveBeenCalled();
  });

  test("hands on a stream of events as it comes", async () => {
    const body = new ReadableStream({ start: (stream) => stream.enqueue(new TextEncoder().encode("data: 1\n\n")) });
    const { pay } = client(scripted(() => new Response(body, { headers: { "content-type": "text/event-stream" } })));
    const reader = (await pay()).body!.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toBe("data: 1\n\n");
    await reader.cancel();
  });
});

describe("a request", () => {
  test.each(["GET", "PUT", "DELETE", "HEAD"])("that needs no key passes untouched, once: %s", async (method) => {
    const seen: unknown[][] = [];
    const fetcher = (async (...args: unknown[]) => (seen.push(args), new Response("", { status: 503 }))) as typeof fetch;
    const init = { method, credentials: "include" as const };
    expect((await createIdempotentFetch({ fetch: fetcher })(URL_, init)).status).toBe(503);
    expect(seen).toEqual([[URL_, init]]);
    expect(seen[0]![1]).toBe(init);
  });

  test.each(["X-Idempotency-Key", "Idempotency-Key"])("retains a key of its own, whatever its method: %s", async (name) => {
    const script = scripted(LOST, new Response("", { status: 200 }));
    const { call } = client(script);
    await call(URL_, { method: "PUT", headers: { [name]: "mine" } });
    expect(script.sent.map(({ headers }) => headers.get(name))).toEqual(["mine", "mine"]);
    expect([...script.sent[0]!.headers].filter(([, value]) => value === "mine").length).toBe(1);
    expect(await call.pending()).toEqual([]);
  });

  test("takes a key of the caller's before a stored one, and does not store it", async () => {
    const script = scripted(new Response("", { status: 422 }));
    const { pay, call } = client(script);
    await pay({ operation: "order 7" });
    await pay({ operation: "order 7", key: async () => "derived" });
    expect(script.keys()[1]).toBe("derived");
    expect(await call.pending()).toMatchObject([{ key: script.keys()[0] }]);
  });

  test.each(["", "a b", "ü", "x".repeat(256)])("is not sent with a key that no server takes: %j", async (key) => {
    const script = scripted(new Response(""));
    await expect(client(script).pay({ key })).rejects.toThrow(TypeError);
    expect(script.sent.length).toBe(0);
  });

  test.each(["X-Idempotency-Key", "Idempotency-Key"])("is not sent with a header for a key that has none: %s", async (name) => {
    const script = scripted(new Response(""));
    await expect(client(script).pay({ headers: { [name]: "" } })).rejects.toThrow(TypeError);
    expect(script.sent.length).toBe(0);
  });

  test("passes on what fetch was told besides", async () => {
    const script = scripted(new Response(""));
    await client(script).pay({ keepalive: true, credentials: "include", redirect: "manual", cache: "no-store", integrity: "sha256-x", referrerPolicy: "no-referrer" });
    expect(script.sent[0]!.init).toMatchObject({ keepalive: true, credentials: "include", redirect: "manual", cache: "no-store", integrity: "sha256-x", referrerPolicy: "no-referrer" });
    expect(script.sent[0]!.url).toBe(URL_);
  });

  test("can be a Request, whose body and settings are its own", async () => {
    const script = scripted(LOST, new Response(""));
    const { call } = client(script);
    await call(new Request(URL_, { method: "PATCH", body: "whole", credentials: "omit", headers: { "x-tenant": "t" } }));
    for (const { method, body, headers, init } of script.sent) {
      expect([method, new TextDecoder().decode(body!), headers.get("x-tenant"), init.credentials]).toEqual(["PATCH", "whole", "t", "omit"]);
    }
    expect(script.sent.length).toBe(2);
  });

  test("is rejected in the mode in which no key can be sent", async () => {
    await expect(client(scripted(new Response(""))).pay({ mode: "no-cors" })).rejects.toThrow(TypeError);
  });

  test("bears its key under another name if the client says so", async () => {
    const script = scripted(new Response(""));
    await client(script, { header: "Idempotency-Key", methods: ["put"] }).call(URL_, { method: "PUT" });
    expect(script.sent[0]!.headers.get("idempotency-key")).toMatch(/^[0-9a-f-]{36}$/);
    expect(script.keys()).toEqual([null]);
  });

  const bodies: [string, () => BodyInit | null, string | null][] = [
    ["text", () => "café", "text/plain;charset=UTF-8"],
    ["nothing", () => null, null],
    ["empty text", () => "", "text/plain;charset=UTF-8"],
    ["bytes", () => new TextEncoder().encode("café"), null],
    ["a buffer", () => new TextEncoder().encode("café").buffer as ArrayBuffer, null],
    ["a blob", () => new Blob(["café"], { type: "text/x" }), "text/x"],
    ["parameters", () => new URLSearchParams({ a: "café" }), "application/x-www-form-urlencoded;charset=UTF-8"],
    ["a stream", () => new Blob(["ca", "fé"]).stream() as ReadableStream<Uint8Array<ArrayBuffer>>, null],
  ];
  test.each(bodies)("can have a body of every kind: %s", async (kind, body, type) => {
    const script = scripted(LOST, new Response(""));
    await client(script).pay({ body: body() });
    const wanted = { nothing: null, "empty text": "", parameters: "a=caf%C3%A9" }[kind] ?? (kind === "nothing" ? null : "café");
    for (const sent of script.sent) {
      expect(sent.body === null ? null : new TextDecoder().decode(sent.body)).toBe(kind === "empty text" ? "" : wanted);
      expect(sent.headers.get("content-type")).toBe(type);
    }
    expect(script.sent.length).toBe(2);
  });
});
