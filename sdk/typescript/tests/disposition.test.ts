import { describe, expect, test } from "vitest";
import { dispositionOf, isReplay, type Disposition } from "../src/index.js";

const PROBLEM = { "content-type": "application/problem+json" };
const NO = { "x-should-retry": "false" };
const YES = { "x-should-retry": "true" };
const REPLAY = { "x-idempotent-result": "true" };
const STRIPE = { "idempotent-replayed": "true" };
const AFTER = { "retry-after": "1" };
const judged = (status: number, headers: Headers, body = ""): Disposition => dispositionOf({ status, headers, body });
const code = (name: string): string => JSON.stringify({ code: name });

const TEMPORARY = [425, 429, 500, 502, 503, 504];
const NOTHING_HAPPENED = [400, 401, 403, 405, 407, 408, 411, 413, 414, 415, 422, 431];

const ROWS: [string, number, Record<string, string>, string | undefined, Disposition][] = [
  ...[200, 201, 204, 301, 304, 402, 404, 406, 410, 412, 418, 426, 428, 451].map((status): (typeof ROWS)[number] => ["is done", status, {}, undefined, "final"]),
  ...TEMPORARY.flatMap((status): typeof ROWS => [
    ["passes", status, {}, undefined, "retry"],
    ["passes, it says", status, YES, undefined, "retry"],
    ["does not pass, it says", status, NO, undefined, "unknown"],
    ["says the same for ever", status, REPLAY, undefined, "unknown"],
    ["says the same for ever", status, STRIPE, undefined, "unknown"],
  ]),
  ...NOTHING_HAPPENED.flatMap((status): typeof ROWS => [
    ["leaves the key to the mended request", status, {}, undefined, "unknown"],
    ["was kept", status, REPLAY, undefined, "final"],
    ["asks for a repeat", status, YES, undefined, "retry"],
  ]),
  ...[501, 505, 507, 599].map((status): (typeof ROWS)[number] => ["tells nothing", status, {}, undefined, "unknown"]),
  ["is in flight by its code", 409, PROBLEM, code("idempotency_key_in_flight"), "retry"],
  ["is in flight by its header", 409, AFTER, undefined, "retry"],
  ["is not to be repeated", 409, { ...PROBLEM, ...NO }, code("idempotency_key_in_flight"), "unknown"],
  ["is not to be repeated, whatever it asks", 409, { ...AFTER, ...NO }, undefined, "unknown"],
  ["is a replay", 409, { ...REPLAY, ...AFTER }, undefined, "final"],
  ["was done without a kept answer", 409, { ...PROBLEM, ...NO }, code("idempotency_result_not_retained"), "final"],
  ["misuses the key", 409, { ...PROBLEM, ...NO }, code("idempotency_key_reused"), "unknown"],
  ["misuses the key", 409, PROBLEM, code("idempotency_key_reused"), "unknown"],
  ["misuses the key", 422, { ...PROBLEM, ...NO }, code("idempotency_key_reused"), "unknown"],
  ["misuses the key", 400, PROBLEM, code("idempotency_key_reused"), "unknown"],
  ["does not know", 409, PROBLEM, code("idempotency_outcome_unknown"), "unknown"],
  ["failed", 409, PROBLEM, code("idempotency_attempt_failed"), "unknown"],
  ["is the application's own", 409, {}, undefined, "final"],
  ["is the application's own by its code", 409, PROBLEM, code("out_of_stock"), "final"],
  ["has a code in a body of another type", 409, { "content-type": "application/json" }, code("idempotency_key_in_flight"), "final"],
  ["has parameters and another case", 409, { "content-type": "Application/Problem+JSON; charset=utf-8" }, code("idempotency_key_in_flight"), "retry"],
  ["has a body that is cut off", 409, PROBLEM, '{"code":"idempotency_key_in', "final"],
  ["has a body that is no object", 409, PROBLEM, "null", "final"],
  ["has a code that is no text", 409, PROBLEM, '{"code":7}', "final"],
  ["has a body that is too long", 409, PROBLEM, JSON.stringify({ code: "idempotency_key_in_flight", pad: "x".repeat(65_536) }), "final"],
  ["has a body that is too long in bytes", 409, PROBLEM, JSON.stringify({ code: "idempotency_key_in_flight", pad: "ü".repeat(40_000) }), "final"],
  ["says yes in capitals", 404, { "x-should-retry": "TRUE" }, undefined, "retry"],
  ["says no in capitals", 503, { "x-should-retry": "False" }, undefined, "unknown"],
  ["says something else", 503, { "x-should-retry": "maybe" }, undefined, "retry"],
  ["is marked as no replay", 422, { "x-idempotent-result": "false" }, undefined, "unknown"],
];

describe("an answer", () => {
  test.each(ROWS)("that %s: %i %j", (_, status, headers, body, disposition) => {
    expect(judged(status, new Headers(headers), body)).toBe(disposition);
  });

  test("is a replay by either marker", () => {
    expect([REPLAY, STRIPE, {}, { "x-idempotent-result": "false" }].map((headers) => isReplay(new Response("", { headers })))).toEqual([true, true, false, false]);
  });
});

test("a flag that is said twice is said, and one that contradicts itself is not", () => {
  const twice = (name: string, one: string, other: string): Headers => new Headers([[name, one], [name, other]]);
  expect(judged(503, twice("x-should-retry", "false", "False"))).toBe("unknown");
  expect(judged(200, twice("x-should-retry", "true", "true"))).toBe("retry");
  expect(judged(200, twice("x-should-retry", "true", "false"))).toBe("final");
  expect(judged(409, twice("x-idempotent-result", "true", "true"))).toBe("final");
  expect(judged(500, twice("idempotent-replayed", "true", "true"))).toBe("unknown");
});
