import { expect, test } from "vitest";
import { createIdempotentFetch } from "tower-idempotency";
import { pay } from "./pay.js";

test("a page in jsdom pays once over a bad network", async () => {
  expect(typeof document).toBe("object");
  expect(await pay(process.env["SHOP"]!, "in jsdom")).toBe(true);
});

test("a mock that is not a response is an error at once", async () => {
  let calls = 0;
  const mock = async () => {
    calls += 1;
    return { ok: true, json: async () => ({}) } as Response;
  };
  const client = createIdempotentFetch({ fetch: mock });
  await expect(client("http://shop.test/payments", { method: "POST", operation: "mocked" })).rejects.toThrow(TypeError);
  expect(calls).toBe(1);
});
