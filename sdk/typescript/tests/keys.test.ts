import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { deriveKey } from "../src/derive.js";

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
    expect(await deriveKey(user, action, window && { length: window.length_ms, at: window.at_ms }, payload)).toBe(key);
  });

  test("has vectors enough, of which only the two moments of one day agree", () => {
    expect(VECTORS.length).toBeGreaterThanOrEqual(12);
    expect(new Set(VECTORS.map(({ key }) => key)).size).toBe(VECTORS.length - 1);
  });

  test("takes a date and a buffer as it takes a number and bytes", async () => {
    const bytes = new Uint8Array([1, 2, 3]);
    const one = await deriveKey("u", "a", { length: 1_000, at: 5_500 }, bytes);
    expect(await deriveKey("u", "a", { length: 1_000, at: new Date(5_999) }, bytes.buffer)).toBe(one);
    expect(await deriveKey("u", "a", { length: 1_000, at: 6_000 }, bytes)).not.toBe(one);
  });

  test("is rejected for input that no other language could derive from", async () => {
    await expect(deriveKey("\ud800", "a", null, "")).rejects.toThrow(TypeError);
    await expect(deriveKey("u", "a", null, "x\udc00")).rejects.toThrow(TypeError);
    await expect(deriveKey("u", "a", { length: 0 }, "")).rejects.toThrow(RangeError);
    await expect(deriveKey("u", "a", { length: 1.5 }, "")).rejects.toThrow(RangeError);
    await expect(deriveKey("u", "a", { length: 1, at: NaN }, "")).rejects.toThrow(RangeError);
  });
});
