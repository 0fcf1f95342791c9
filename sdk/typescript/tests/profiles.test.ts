import { describe, expect, test } from "vitest";
import { createIdempotentFetch, KeyNotUnderstoodError, memoryStorage, outcomeOf, type ClientOptions } from "../src/index.js";
import { problem, scripted } from "./support/scripted.js";

const URL_ = "https://shop.test/payments";
const NAMED = { method: "POST", operation: "order 7" };

function client(options: ClientOptions, ...steps: Parameters<typeof scripted>): { script: ReturnType<typeof scripted>; call: ReturnType<typeof createIdempotentFetch> } {
  const script = scripted(...steps);
  return { script, call: createIdempotentFetch({ fetch: script.fetch, storage: memoryStorage(), ...options }) };
}

describe("a profile", () => {
  test.each<[ClientOptions, string, RegExp]>([
    [{}, "x-idempotency-key", /^[0-9a-f-]{36}$/],
    [{ profile: "default" }, "x-idempotency-key", /^[0-9a-f-]{36}$/],
    [{ profile: "ietf" }, "idempotency-key", /^"[0-9a-f-]{36}"$/],
    [{ profile: "stripe" }, "idempotency-key", /^[0-9a-f-]{36}$/],
    [{ profile: "ietf", header: "X-Key" }, "x-key", /^"[0-9a-f-]{36}"$/],
  ])("says how the key is sent: %o", async (options, header, form) => {
    const { script, call } = client(options, new Response(""));
    await call(URL_, { method: "POST" });
    expect(script.sent[0]!.headers.get(header)).toMatch(form);
  });

  test("escapes a key in quotes", async () => {
    const { script, call } = client({ profile: "ietf" }, new Response(""));
    await call(URL_, { method: "POST", key: 'a"b\\c' });
    expect(script.sent[0]!.headers.get("idempotency-key")).toBe('"a\\"b\\\\c"');
  });

  test.each<[ClientOptions, number]>([[{ profile: "stripe" }, 0], [{ profile: "ietf" }, 1], [{ profile: "stripe", methods: ["PATCH"] }, 1]])("says which methods get a key: %o", async (options, keys) => {
    const { script, call } = client(options, new Response(""));
    await call(URL_, { method: "PATCH" });
    expect(script.sent.filter(({ headers }) => headers.has("idempotency-key")).length).toBe(keys);
  });

  test.each(["STRIPE", "", null])("that does not exist makes no client: %j", (profile) => {
    expect(() => createIdempotentFetch({ profile } as ClientOptions)).toThrow(RangeError);
  });

  test.each<[ClientOptions, string, string]>([
    [{}, "idempotency_key_missing", "bare as X-Idempotency-Key"],
    [{}, "idempotency_key_invalid", "bare as X-Idempotency-Key"],
    [{ profile: "ietf" }, "idempotency_key_missing", "in quotes as Idempotency-Key"],
    [{ profile: "stripe" }, "idempotency_key_invalid", "bare as Idempotency-Key"],
  ])("that the server does not speak is an error that says how the key was sent: %o, %s", async (options, code, sent) => {
    const { script, call } = client(options, () => problem(400, code), new Response("", { status: 201 }));
    const error = await call(URL_, NAMED).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(KeyNotUnderstoodError);
    expect(error).toMatchObject({ name: "KeyNotUnderstoodError", status: 400, code, operation: "order 7", key: (await call.pending())[0]!.key });
    expect((error as Error).message).toContain(sent);
    expect(outcomeOf(error)).toMatchObject({ disposition: "unknown", attempts: 1 });
    await call(URL_, NAMED);
    expect(new Set(script.sent.map(({ headers }) => headers.get(options.profile ? "idempotency-key" : "x-idempotency-key"))).size).toBe(1);
  });
});
