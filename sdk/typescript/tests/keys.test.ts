import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { derive, uuidv7 } from "../src/index.js";

interface Vector {
  name: string;
  user: string;
  action: string;
  window: { length_ms: number; at_ms: number } | null;
  payload_utf8?: string;
  payload_hex?: string;
  key: string;
}

// Computed with Python's hashlib, apart from both clients.
const VECTORS = JSON.parse(readFileSync(new URL("../../../tests/vectors/derived-keys.json", import.meta.url), "utf8")) as Vector[];

describe("a derived key", () => {
  test.each(VECTORS)("is what the vectors say: $name", async ({ user, action, window, payload_utf8, payload_hex, key }) => {
    const payload = payload_utf8 ?? new Uint8Array(Buffer.from(payload_hex!, "hex"));
    expect(await derive(user, action, window && { length: window.length_ms, at: window.at_ms }, payload)).toBe(key);
  });

  test("has vectors enough, of which only the two moments of one day agree", () => {
    expect(VECTORS.length).toBeGreaterThanOrEqual(12);
    expect(new Set(VECTORS.map(({ key }) => key)).size).toBe(VECTORS.length - 1);
  });

  test("takes a date and a buffer as it takes a number and bytes", async () => {
    const bytes = new Uint8Array([1, 2, 3]);
    const one = await derive("u", "a", { length: 1_000, at: 5_500 }, bytes);
    expect(await derive("u", "a", { length: 1_000, at: new Date(5_999) }, bytes.buffer)).toBe(one);
    expect(await derive("u", "a", { length: 1_000, at: 6_000 }, bytes)).not.toBe(one);
  });

  test("is refused for what no other language could derive from", async () => {
    await expect(derive("\ud800", "a", null, "")).rejects.toThrow(TypeError);
    await expect(derive("u", "a", null, "x\udc00")).rejects.toThrow(TypeError);
    await expect(derive("u", "a", { length: 0 }, "")).rejects.toThrow(RangeError);
    await expect(derive("u", "a", { length: 1.5 }, "")).rejects.toThrow(RangeError);
    await expect(derive("u", "a", { length: 1, at: NaN }, "")).rejects.toThrow(RangeError);
  });
});

describe("a UUID of version 7", () => {
  test("has its version, its variant and the time in front", () => {
    const made = uuidv7(0x0123456789ab);
    expect(made).toMatch(/^01234567-89ab-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  test("is never the same", () => {
    expect(new Set(Array.from({ length: 1_000 }, () => uuidv7(1))).size).toBe(1_000);
  });
});
