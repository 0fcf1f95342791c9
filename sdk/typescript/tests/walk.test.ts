import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createIdempotentFetch, memoryStorage, outcomeOf } from "../src/index.js";
import { Sandbox, sandboxIsThere } from "./support/sandbox.js";
import { problem, scripted } from "./support/scripted.js";
import { walkNamed, walkUnnamed, type Walked } from "./support/walk.js";

/*
 * A random walk: a gateway loses, cuts and delays responses and responds for the server, the
 * storage fails, processes are killed. `WALK_SEED` walks the same way again as far as chance
 * decides it, `WALK_OPERATIONS` sets how far.
 */
const SEED = Number(process.env["WALK_SEED"] ?? Date.now() % 1_000_000_000);
const OPERATIONS = Number(process.env["WALK_OPERATIONS"] ?? 1_000);

describe.skipIf(!sandboxIsThere())("a random walk", () => {
  let sandbox: Sandbox;

  beforeAll(async () => {
    sandbox = await Sandbox.start();
  });
  afterAll(() => sandbox.end());

  test("makes one effect for each name, and each name comes to an outcome", { timeout: 3_600_000 }, async () => {
    expectRight(await walkNamed({ seed: SEED, operations: OPERATIONS, sandbox }));
  });

  test("makes one effect for each click of a page that lives on", { timeout: 3_600_000 }, async () => {
    expectRight(await walkUnnamed({ seed: SEED, operations: Math.ceil(OPERATIONS / 5), sandbox }));
  });
});

describe("what the walk found, made small", () => {
  const URL_ = "https://shop.test/payments";
  const order = { method: "POST", body: "1200", operation: "order 7" };
  const lost = new TypeError("fetch failed");
  const response = (status: number): (() => Response) => () => new Response("", { status });

  test("a rejected operation that was sent again and lost cannot be finished after a restart", async () => {
    const storage = memoryStorage();
    const { fetch, keys } = scripted(response(404), lost, response(201));
    const page = (): ReturnType<typeof createIdempotentFetch> => createIdempotentFetch({ fetch, storage, maxAttempts: 1 });
    const before = page();
    expect(outcomeOf(await before(URL_, order))?.disposition).toBe("final");
    await expect(before(URL_, order)).rejects.toThrow("unknown");
    const after = page();
    expect(await after.finish("order 7")).toBe(false);
    await after(URL_, order);
    expect(new Set(keys()).size).toBe(1);
  });

  test("a rejected operation that is sent again is judged like a first attempt", async () => {
    const { fetch } = scripted(response(404), response(410));
    const call = createIdempotentFetch({ fetch, storage: memoryStorage() });
    expect(outcomeOf(await call(URL_, order))?.disposition).toBe("final");
    expect(outcomeOf(await call(URL_, order))?.disposition).toBe("final");
  });

  const notRetained = problem(409, "idempotency_result_not_retained");
  test.each([["succeeded", response(201)], ["was done without a stored response", () => notRetained.clone()]])(
    "an operation that %s is not rejected by a 404 that comes later",
    async (_, done) => {
      const { fetch } = scripted(done, response(404));
      const call = createIdempotentFetch({ fetch, storage: memoryStorage() });
      expect(outcomeOf(await call(URL_, order))?.disposition).toBe("final");
      expect(outcomeOf(await call(URL_, order))?.disposition).toBe("unknown");
    },
  );

  test.each(["settle", "remove"] as const)("an operation is not pending after its final response, though the storage's %s fails", async (method) => {
    const storage = { ...memoryStorage(), [method]: () => Promise.reject(new Error("full")) };
    const { fetch } = scripted(response(201));
    const call = createIdempotentFetch({ fetch, storage });
    await call(URL_, order);
    expect(await call.pending()).toEqual([]);
  });
});

function expectRight({ figures, ...wrong }: Walked): void {
  console.log(JSON.stringify(figures));
  expect(wrong).toEqual({ double: [], lost: [], misled: [], mute: [], crashed: [], pending: [], left: [] });
}
