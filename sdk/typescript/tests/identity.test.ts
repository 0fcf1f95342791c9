import { afterEach, describe, expect, test, vi } from "vitest";
import { createIdempotentFetch, memoryStorage, type ClientOptions } from "../src/index.js";
import { asInPage, eventually, gate, noting, scripted } from "./support/scripted.js";

const URL_ = "https://shop.test/payments";
const bearer = (token: string): { headers: Record<string, string> } => ({ headers: { authorization: `Bearer ${token}` } });

afterEach(() => vi.unstubAllGlobals());

function held(options: ClientOptions = {}): { script: ReturnType<typeof scripted>; pass: () => void; pay: (init?: object) => Promise<Response>; storage: ReturnType<typeof memoryStorage> } {
  const { opened, open } = gate();
  const storage = memoryStorage();
  let count = 0;
  const script = scripted(async () => {
    const number = ++count;
    await opened;
    return new Response(`paid ${number}`, { status: 201 });
  });
  const call = createIdempotentFetch({ fetch: script.fetch, storage, ...options });
  return { script, storage, pass: () => open(), pay: (init = {}) => call(URL_, { method: "POST", body: "1200", ...init }) };
}

describe("outside of pages, a call without a name", () => {
  test.each([{}, { headers: { "x-api-key": "of another user" } }])("is an operation of its own, though an equal one is in flight: %o", async (init) => {
    const { script, pay, pass, storage } = held();
    const calls = [pay(), pay(init)];
    await eventually(() => script.sent.length === 2);
    pass();
    const texts = await Promise.all((await Promise.all(calls)).map((response) => response.text()));
    expect(texts.sort()).toEqual(["paid 1", "paid 2"]);
    expect(new Set(script.keys()).size).toBe(2);
    expect(await storage.list()).toEqual([]);
  });

  test("is joined by none under a key of its own, and has no linger", async () => {
    const { script, pay, pass } = held({ linger: 60_000 });
    pass();
    await Promise.all([pay({ key: "mine" }), pay({ key: "mine" })]);
    await pay();
    await pay();
    expect(script.sent.length).toBe(4);
  });

  test("with a name shares no response with other credentials", async () => {
    const { script, pay, pass } = held();
    const first = pay({ operation: "order 7", ...bearer("a") });
    await eventually(() => script.sent.length === 1);
    await expect(pay({ operation: "order 7", ...bearer("b") })).rejects.toMatchObject({ name: "OperationMismatchError", operation: "order 7" });
    pass();
    await first;
  });
});

describe("in pages, credentials are not part of what an operation is:", () => {
  test.each([{}, { operation: "order 7" }])("a token that was renewed joins %o in flight", async (init) => {
    asInPage();
    const { script, pay, pass } = held();
    const { hook, types } = noting();
    const calls = [pay({ ...init, ...bearer("old") }), pay({ ...init, ...bearer("new"), onProgress: hook })];
    await eventually(() => script.sent.length === 1 && types().includes("joined"));
    pass();
    await Promise.all(calls);
    expect(script.sent.length).toBe(1);
  });

  test.each([{}, { operation: "order 7" }])("a retry after 401 and a refresh, or after a reload, has the same key: %o", async (init) => {
    asInPage();
    const storage = memoryStorage();
    const script = scripted(new Response("", { status: 401 }), new Response("", { status: 503 }), new Response("", { status: 201 }));
    for (const token of ["old", "new", "after the reload"]) {
      const call = createIdempotentFetch({ fetch: script.fetch, storage, maxAttempts: 1 });
      await call(URL_, { method: "POST", body: "1200", ...init, ...bearer(token) });
    }
    expect(new Set(script.keys()).size).toBe(1);
  });

  test("but the user is, who is asked for at each call", async () => {
    asInPage();
    let user: string | undefined = "ann";
    const script = scripted(new Response("", { status: 422 }));
    const call = createIdempotentFetch({ fetch: script.fetch, storage: memoryStorage(), user: () => user });
    const pay = (): Promise<Response> => call(URL_, { method: "POST", operation: "order 7" });
    await pay();
    user = "bob";
    await pay();
    expect(await call.pending()).toMatchObject([{ operation: "order 7", key: script.keys()[1] }]);
    user = undefined;
    await pay();
    user = "ann";
    await pay();
    expect(new Set(script.keys()).size).toBe(3);
    expect(script.keys()[3]).toBe(script.keys()[0]);
  });
});
