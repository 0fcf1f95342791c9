import { afterEach, describe, expect, test, vi } from "vitest";
import { createIdempotentFetch, IdempotencyError, isNetworkError, memoryStorage, outcomeOf, RequestTooLargeError, type ClientOptions, type FetchLike } from "../src/index.js";
import { ATTEMPT, handClock, noting, scripted } from "./support/scripted.js";

const URL_ = "https://shop.test/payments";
const LOST = new TypeError("fetch failed");
const caused = (cause: object): TypeError => new TypeError("fetch failed", { cause });

afterEach(() => vi.unstubAllGlobals());

function client(script: { fetch: FetchLike }, options: ClientOptions = {}): ReturnType<typeof createIdempotentFetch> {
  return createIdempotentFetch({ fetch: script.fetch, storage: memoryStorage(), clock: handClock(), attemptTimeout: ATTEMPT, ...options });
}

describe("an error of fetch", () => {
  test.each([
    LOST, new TypeError("Failed to fetch"), new TypeError("Failed to fetch (shop.test)"), new TypeError("NetworkError when attempting to fetch resource."),
    new TypeError("Load failed"), new TypeError("The network connection was lost."), new TypeError("The Internet connection appears to be offline."),
    new TypeError("Network request failed"), new TypeError("network error"), new TypeError("error sending request for url (https://shop.test/)"),
    caused({ code: "ECONNRESET" }), caused({ code: "UND_ERR_SOCKET", message: "other side closed" }), Object.assign(new Error("x"), { code: "ConnectionRefused" }),
    Object.assign(new Error("x"), { code: "ConnectionClosed" }), Object.assign(new Error("x"), { code: "ECONNRESET" }),
  ])("is retried if the network failed: %s", async (error) => {
    const script = scripted(error, new Response("", { status: 201 }));
    expect((await client(script)(URL_, { method: "POST" })).status).toBe(201);
  });

  test.each([
    new TypeError("Cannot read properties of undefined (reading 'fetch')"), new Error("fetch failed"), new RangeError("no"), "fetch failed", null, undefined,
    caused({ message: "bad port" }), caused({ message: "unknown scheme" }), caused({ message: "unexpected redirect" }), caused({ code: "CERT_HAS_EXPIRED" }),
    caused({ code: "ERR_TLS_CERT_ALTNAME_INVALID" }), caused({ code: "DEPTH_ZERO_SELF_SIGNED_CERT" }), caused({ code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" }),
  ])("passes on as it is, at once, if a retry does not help: %s", async (error) => {
    let calls = 0;
    const call = client({ fetch: async () => (calls++, Promise.reject(error)) });
    expect(await call(URL_, { method: "POST", operation: "order 7" }).catch((error: unknown) => error)).toBe(error);
    expect([calls, isNetworkError(error)]).toEqual([1, false]);
    if (error instanceof Error) expect(outcomeOf(error)).toMatchObject({ disposition: "unknown", operation: "order 7", key: (await call.pending())[0]!.key, attempts: 1 });
  });

  test("is retried if the caller says so, and only then", async () => {
    const mine = new Error("the tunnel is down");
    expect((await client(scripted(mine, new Response("", { status: 201 })))(URL_, { method: "POST", retryIf: (error) => error === mine })).status).toBe(201);
    await expect(client(scripted(LOST))(URL_, { method: "POST", retryIf: () => false })).rejects.toBe(LOST);
  });

  const usual = { ok: true, status: 200, json: async () => ({}) };
  test.each<unknown>([{ ok: true, json: async () => ({}) }, usual, undefined, null, "ok", { ...usual, headers: {}, arrayBuffer: async () => new ArrayBuffer(0) }])("is a clear one if it resolves with what is not a Response: %o", async (given) => {
    let calls = 0;
    const error = await client({ fetch: async () => (calls++, given as Response) })(URL_, { method: "POST" }).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toMatch(/did not return a fresh Response/);
    expect([calls, outcomeOf(error)?.disposition]).toEqual([1, "unknown"]);
  });
});

describe("a response that cannot be built", () => {
  test("settles nothing", async () => {
    const headers = { get: () => null, [Symbol.iterator]: () => { throw new TypeError("no headers"); } };
    const call = client({ fetch: async () => ({ status: 201, headers, arrayBuffer: async () => new ArrayBuffer(0) }) as unknown as Response });
    await expect(call(URL_, { method: "POST", operation: "order 7" })).rejects.toThrow();
    expect((await call.pending()).length).toBe(1);
    expect(await call.finish("order 7")).toBe(false);
  });

  test.each(["Bezahlt €", "\u{1f4b6}", "", "a\u0000b"])("does not exist: its status line may be %j", async (statusText) => {
    const call = client({ fetch: async () => Object.defineProperty(new Response("paid", { status: 201 }), "statusText", { value: statusText }) });
    const response = await call(URL_, { method: "POST", operation: "order 7" });
    expect([response.statusText, await response.text()]).toEqual([statusText, "paid"]);
    expect(await call.finish("order 7")).toBe(true);
  });
});

describe("before anything is sent", () => {
  test("a fetch that must not be a method is called as a function", async () => {
    const fetcher = async function (this: unknown): Promise<Response> {
      if (this !== undefined && this !== globalThis) throw new TypeError("Illegal invocation");
      return new Response("", { status: 201 });
    };
    const call = createIdempotentFetch({ fetch: fetcher, storage: memoryStorage() });
    for (const method of ["GET", "POST"]) expect((await call(URL_, { method })).status).toBe(201);
  });

  test("a page without a secure context is told so", async () => {
    vi.stubGlobal("crypto", { getRandomValues: crypto.getRandomValues.bind(crypto) });
    const script = scripted(new Response(""));
    await expect(client(script)(URL_, { method: "POST" })).rejects.toThrow(/secure context/);
    expect((await client(script)(URL_)).status).toBe(200);
    expect(script.sent.length).toBe(1);
  });

  test("a body over the limit is an error", async () => {
    const script = scripted(new Response(""));
    const body = "x".repeat(1024 * 1024 + 1);
    const error = await client(script)(URL_, { method: "POST", body, operation: "big" }).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(RequestTooLargeError);
    expect(error).toBeInstanceOf(IdempotencyError);
    expect(error).toMatchObject({ operation: "big", length: 1024 * 1024 + 1, limit: 1024 * 1024 });
    expect(outcomeOf(error)).toMatchObject({ disposition: "unknown", attempts: 0 });
    await client(script, { maxRequest: body.length, clock: {} })(URL_, { method: "POST", body });
    await client(script, { clock: {} })(URL_, { method: "POST", body: body.slice(1) });
    expect(script.sent.length).toBe(2);
  });
});

describe("an outcome", () => {
  test("can be asked of every response, and of its clone", async () => {
    const call = client(scripted(LOST, () => new Response("", { status: 201, headers: { "x-idempotent-result": "true" } })));
    const response = await call(URL_, { method: "POST", operation: "order 7", key: "mine" });
    const outcome = { disposition: "final", status: 201, inDoubt: false, key: "mine", operation: "order 7", named: true, attempts: 2, replayed: true };
    expect([outcomeOf(response), outcomeOf(response.clone())]).toEqual([outcome, outcome]);
  });

  test("can be asked of a stream, and of each caller's", async () => {
    const body = (): ReadableStream => new ReadableStream({ start: (stream) => stream.enqueue(new TextEncoder().encode("data: 1\n\n")) });
    const call = client(scripted(() => new Response(body(), { headers: { "content-type": "text/event-stream" } })));
    const responses = await Promise.all([1, 2].map(() => call(URL_, { method: "POST", operation: "order 7" })));
    for (const response of responses) {
      expect(outcomeOf(response)?.disposition).toBe("final");
      expect((await response.body!.getReader().read()).done).toBe(false);
    }
  });

  test("can be asked of errors, and of what libraries make of them", async () => {
    const call = client(scripted(LOST), { maxAttempts: 1 });
    const error = await call(URL_, { method: "POST", operation: "order 7" }).catch((error: unknown) => error);
    const outcome = outcomeOf(error)!;
    expect(outcome).toMatchObject({ disposition: "unknown", operation: "order 7", attempts: 1 });
    expect(outcomeOf(new Error("axios", { cause: new Error("again", { cause: error }) }))).toBe(outcome);
    const response = await client(scripted(new Response("", { status: 422 })))(URL_, { method: "POST" });
    expect(outcomeOf(Object.assign(new Error("HTTPError"), { response }))).toMatchObject({ disposition: "unknown", attempts: 1 });
  });

  test("can be asked of the reason of an abort", async () => {
    const abort = new AbortController();
    const onProgress = noting();
    const call = client(scripted(() => (abort.abort(), new Promise<Response>(() => {}))), { onProgress: onProgress.hook });
    const reason = await call(URL_, { method: "POST", signal: abort.signal }).catch((reason: unknown) => reason);
    expect(outcomeOf(reason)).toMatchObject({ disposition: "unknown", attempts: 1, key: expect.any(String) });
  });

  test("is none of what is not of a guarded call", async () => {
    const looped: { cause?: unknown } = {};
    looped.cause = looped;
    const response = await client(scripted(new Response("")))(URL_);
    for (const given of [undefined, null, 7, "x", {}, looped, new Error("x"), response]) expect(outcomeOf(given)).toBeUndefined();
  });
});
