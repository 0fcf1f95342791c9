import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { createIdempotentFetch } from "../src/index.js";
import { gate } from "./support/scripted.js";

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** A server on a real socket that plays one step for each request, which it has read whole, and notes keys and bodies. */
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
const cut = (response: ServerResponse): void => {
  response.writeHead(201, { "content-length": "5" });
  response.write("wh", () => response.socket!.destroy());
};

describe("over real sockets", () => {
  test.each([["lost", lose], ["cut off in its body", cut]])("an answer that is %s is asked for again, alike", async (_, step) => {
    const { url, seen } = await serving(step, step, done);
    const answer = await createIdempotentFetch({ baseDelay: 1 })(url, { method: "POST", body: "pay" });
    expect([answer.status, await answer.text(), answer.url]).toEqual([201, "whole", url]);
    expect(seen.length).toBe(3);
    expect(new Set(seen).size).toBe(1);
  });

  test("a server that is not there leaves the outcome unknown", async () => {
    const { url } = await serving(done);
    await ends.pop()!();
    const call = createIdempotentFetch({ totalTimeout: 100, baseDelay: 10 });
    await expect(call(url, { method: "POST" })).rejects.toMatchObject({ name: "OutcomeUnknownError", reason: "total-timeout" });
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
    const answer = createIdempotentFetch()(url, { method: "POST", signal: abort.signal });
    await arrived.opened;
    abort.abort("enough");
    await expect(answer).rejects.toBe("enough");
    await closed.opened;
  });

  test("a redirect is followed, and its address kept", async () => {
    const { url, seen } = await serving((response) => void response.writeHead(307, { location: "/there" }).end(), done);
    const answer = await createIdempotentFetch()(url, { method: "POST", body: "pay" });
    expect([answer.url, answer.redirected, await answer.text()]).toEqual([`${url}there`, true, "whole"]);
    expect(new Set(seen).size).toBe(1);
  });
});
