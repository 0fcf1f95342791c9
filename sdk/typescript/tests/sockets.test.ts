import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { createIdempotentFetch, memoryStorage, outcomeOf } from "../src/index.js";
import { gate, noting } from "./support/scripted.js";

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/**
 * A server on a real socket that plays one step for each request, which it has read whole, and
 * notes keys and bodies.
 */
async function serving(...steps: ((response: ServerResponse, request: IncomingMessage) => void)[]): Promise<{ url: string; seen: string[] }> {
  const seen: string[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += String(part);
    seen.push(`${request.headers["x-idempotency-key"]} ${body}`);
    steps[Math.min(seen.length, steps.length) - 1]!(response, request);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ends.push(() => new Promise((resolve) => (server.close(() => resolve()), server.closeAllConnections())));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, seen };
}

const lose = (response: ServerResponse): void => void response.socket!.destroy();
const done = (response: ServerResponse): void => void response.writeHead(201).end("whole");
const beheaded = (response: ServerResponse): void => void response.socket!.write("HTTP/1.1 201 Cre", () => response.socket!.destroy());
const cut = (response: ServerResponse): void => {
  response.writeHead(201, { "content-length": "5" });
  response.write("wh", () => response.socket!.destroy());
};

describe("over real sockets", () => {
  test.each([["lost", lose], ["cut off in its head", beheaded], ["cut off in its body", cut]])("a response that is %s is asked for again, alike", async (_, step) => {
    const { url, seen } = await serving(step, step, done);
    const response = await createIdempotentFetch({ baseDelay: 1 })(url, { method: "POST", body: "pay" });
    expect([response.status, await response.text(), response.url]).toEqual([201, "whole", url]);
    expect(seen.length).toBe(3);
    expect(new Set(seen).size).toBe(1);
  });

  test("a server that is not there leaves the outcome unknown", async () => {
    const { url } = await serving(done);
    await ends.pop()!();
    const call = createIdempotentFetch({ totalTimeout: 100, baseDelay: 10 });
    await expect(call(url, { method: "POST", operation: "order 7" })).rejects.toMatchObject({ name: "OutcomeUnknownError", reason: "total-timeout" });
    expect((await call.pending()).length).toBe(1);
  });

  test("a server that says nothing is asked again when the attempt's time is over", async () => {
    const { url, seen } = await serving(() => {}, done);
    expect((await createIdempotentFetch({ attemptTimeout: 1_000, baseDelay: 1 })(url, { method: "POST" })).status).toBe(201);
    expect(seen.length).toBe(2);
  });

  test("an abort of the last caller closes the connection", async () => {
    const closed = gate();
    const arrived = gate();
    const { url } = await serving((response) => {
      response.once("close", () => closed.open());
      arrived.open();
    });
    const abort = new AbortController();
    const response = createIdempotentFetch()(url, { method: "POST", signal: abort.signal });
    await arrived.opened;
    abort.abort("enough");
    await expect(response).rejects.toBe("enough");
    await closed.opened;
  });

  test("a redirect is followed, and its address remembered", async () => {
    const { url, seen } = await serving((response) => void response.writeHead(307, { location: "/there" }).end(), done);
    const response = await createIdempotentFetch()(url, { method: "POST", body: "pay" });
    expect([response.url, response.redirected, await response.text()]).toEqual([`${url}there`, true, "whole"]);
    expect(new Set(seen).size).toBe(1);
  });

  test("a status line with bytes beyond ASCII reaches its caller, and loses neither key nor response", async () => {
    const { url, seen } = await serving((response) => void response.socket!.end("HTTP/1.1 201 Bezahlt \u20ac \u00fc\r\ncontent-length: 4\r\nconnection: close\r\n\r\npaid"));
    const call = createIdempotentFetch({ storage: memoryStorage() });
    const response = await call(url, { method: "POST", body: "pay", operation: "order 7" });
    expect([response.status, await response.text(), outcomeOf(response)?.disposition]).toEqual([201, "paid", "final"]);
    expect(response.statusText).toMatch(/^Bezahlt/);
    expect(response.clone().statusText).toBe(response.statusText);
    expect(seen.length).toBe(1);
    expect(await call.finish("order 7")).toBe(true);
  });

  test("a response whose pieces come one by one is not asked for again, however long it takes", async () => {
    const { url, seen } = await serving((response) => {
      response.writeHead(201);
      let pieces = 0;
      const next = (): void => void (pieces++ < 8 ? (response.write("x"), setTimeout(next, 250)) : response.end());
      next();
    });
    const response = await createIdempotentFetch({ attemptTimeout: 1_500 })(url, { method: "POST" });
    expect(await response.text()).toBe("xxxxxxxx");
    expect(seen.length).toBe(1);
  });

  test("a response whose pieces stop is asked for again", async () => {
    const { url, seen } = await serving((response) => void (response.writeHead(201, { "content-length": "9" }), response.write("x")), done);
    expect(await (await createIdempotentFetch({ attemptTimeout: 700, baseDelay: 1 })(url, { method: "POST" })).text()).toBe("whole");
    expect(seen.length).toBe(2);
  });

  test("a request has the time on top that its body takes at 16 KiB a second", async () => {
    const { url, seen } = await serving((response) => void setTimeout(done, 1_000, response));
    await createIdempotentFetch({ attemptTimeout: 100 })(url, { method: "POST", body: "x".repeat(256 * 1024) });
    expect(seen.length).toBe(1);
  });

  test("a port that fetch blocks is an error at once, and no network failure", async () => {
    const { hook, types } = noting();
    const error = await createIdempotentFetch({ onProgress: hook })("http://127.0.0.1:1/", { method: "POST" }).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(TypeError);
    expect(outcomeOf(error)).toMatchObject({ disposition: "unknown", attempts: 1, key: expect.any(String) });
    expect(types()).toEqual(["attempt", "error"]);
  });

  test("a redirect to a login that says 200 does not settle the payment before it", async () => {
    const { url, seen } = await serving(lose, (response) => void response.writeHead(302, { location: "/login" }).end(), (response) => void response.writeHead(200).end("log in"));
    const call = createIdempotentFetch({ baseDelay: 1, storage: memoryStorage() });
    const response = await call(url, { method: "POST", body: "pay", operation: "order 7" });
    expect([await response.text(), outcomeOf(response)?.disposition]).toEqual(["log in", "unknown"]);
    expect(await call.finish("order 7")).toBe(false);
    await call(url, { method: "POST", body: "pay", operation: "order 7" });
    expect(new Set([seen[0], seen[1], seen.at(-1)]).size).toBe(1);
  });
});
