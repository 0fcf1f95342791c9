import { afterEach, describe, expect, test, vi } from "vitest";
import { waitBefore } from "../src/backoff.js";
import { retryAfter } from "../src/retry-after.js";
import { retryBudget } from "../src/index.js";
import { handClock } from "./support/scripted.js";

const NOON = Date.UTC(2026, 10, 23, 12);
const LATER = "Mon, 23 Nov 2026 12:01:30 GMT";
const asked = (value: string, date?: string): number => retryAfter(new Headers({ "retry-after": value, ...(date === undefined ? {} : { date }) }), NOON);

describe("Retry-After", () => {
  test("is read as seconds, whatever their number", () => {
    expect([asked("0"), asked(" 120 "), asked("9".repeat(400))]).toEqual([0, 120_000, Infinity]);
  });

  test("is read in the three forms of a date", () => {
    for (const date of [LATER, "Monday, 23-Nov-26 12:01:30 GMT", "Mon Nov 23 12:01:30 2026"]) expect(asked(date), date).toBe(90_000);
    expect(asked("Tue Dec  1 12:00:00 2026")).toBe(8 * 86_400_000);
  });

  test("is judged by the response's own date before the clock", () => {
    expect(asked(LATER, "Mon, 23 Nov 2026 12:01:00 GMT")).toBe(30_000);
    expect(asked(LATER, "yesterday")).toBe(90_000);
  });

  test("that is past asks for no time", () => {
    expect(asked("Mon, 23 Nov 2026 11:00:00 GMT")).toBe(0);
  });

  test.each(["", "soon", "-1", "+5", "1.5", "1e3", "0x10", "10 s", "٣", "1, 2", "2026-11-23", "Tue, 23 Nov 1965 12:00:00 GMT", "Mon, 23 Nov 2026 25:00:00 GMT"])(
    "that cannot be understood asks for nothing: %j",
    (value) => {
      const headers = { get: (name: string) => (name === "retry-after" ? value : null) } as unknown as Headers;
      expect(retryAfter(headers, NOON)).toBe(0);
    },
  );
});

describe("a wait", () => {
  const settings = { baseDelay: 100, maxDelay: 5_000, maxRetryAfter: 30_000 };

  test("lies between nothing and a bound that doubles up to the longest", () => {
    const most = (retry: number): number => waitBefore(retry, settings, handClock(1));
    expect([1, 2, 3, 4, 5, 6, 7, 8, 2_000].map(most)).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
    expect(waitBefore(5, settings, handClock(0))).toBe(0);
    expect(waitBefore(5, settings, handClock(0.25))).toBe(400);
  });

  test("is what the response asks for, bounded, and up to 100 ms more", () => {
    const after = (seconds: string, random: number): number => waitBefore(1, settings, handClock(random), asked(seconds));
    expect([after("2", 0), after("2", 1), after("3600", 0), after("3600", 1), after("0", 0.5)]).toEqual([2_000, 2_100, 30_000, 30_100, 50]);
  });

  test("is random where the response asks for something unreadable", () => {
    expect(waitBefore(1, settings, handClock(0.5), asked("soon"))).toBe(50);
  });
});

test("a response that asks for no time at all does not shorten the backoff", () => {
  const settings = { baseDelay: 100, maxDelay: 5_000, maxRetryAfter: 30_000 };
  const waits = [1, 4, 8].map((retry) => waitBefore(retry, settings, handClock(0.5), asked("0")));
  expect(waits).toEqual([50, 400, 2_500]);
  expect(waitBefore(8, settings, handClock(0.5), asked("Mon, 23 Nov 2026 11:00:00 GMT"))).toBe(2_500);
  expect(waitBefore(8, settings, handClock(0.5), asked("1"))).toBe(2_500);
});

describe("a budget", () => {
  afterEach(() => vi.restoreAllMocks());

  test("has the retries of ten seconds, and holds no more", () => {
    let now = 0;
    vi.spyOn(performance, "now").mockImplementation(() => now);
    const budget = retryBudget(2);
    const takeAll = (): number => Array.from({ length: 100 }, () => budget.withdraw()).filter(Boolean).length;
    expect(takeAll()).toBe(20);
    now += 1_500;
    expect(takeAll()).toBe(3);
    now += 60_000;
    expect(takeAll()).toBe(20);
  });

  test.each([0, NaN, -1])("of %d has no retry", (perSecond) => {
    expect(retryBudget(perSecond).withdraw()).toBe(false);
  });
});
