import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { dispositionOf, isReplay, type Disposition, type Profile } from "../src/index.js";

interface Row {
  what: string;
  before: "any" | "clear" | "doubt";
  status: number[];
  headers?: Record<string, string>;
  code?: string | string[];
  body?: string | null;
  redirected?: boolean;
  profile?: Profile;
  is: Disposition;
}

const { rows } = JSON.parse(readFileSync(new URL("../../../tests/vectors/dispositions.json", import.meta.url), "utf8")) as { rows: Row[] };

const cases = rows.flatMap(({ what, before, status, headers = {}, code, body = "", redirected, profile, is }) =>
  [code ?? []].flat().concat(code === undefined ? [""] : []).flatMap((code) =>
    status.flatMap((status) =>
      [false, true].filter((doubt) => before === "any" || doubt === (before === "doubt")).map((inDoubt) => ({
        what, status, inDoubt, is, redirected, profile,
        headers: new Headers(code ? { "content-type": "application/problem+json", ...headers } : headers),
        body: code ? JSON.stringify({ code }) : body,
      })),
    ),
  ),
);

describe("a response", () => {
  test.each(cases)("is judged by the table: $what, $status, in doubt $inDoubt", ({ is, ...judged }) => {
    expect(dispositionOf(judged)).toBe(is);
  });

  test("is unknown if its problem document is longer than 64 KiB, in bytes", () => {
    const headers = new Headers({ "content-type": "application/problem+json" });
    const padded = (pad: string): string => JSON.stringify({ code: "idempotency_key_in_flight", pad });
    for (const pad of ["x".repeat(65_536), "ü".repeat(40_000)]) expect(dispositionOf({ status: 409, headers, body: padded(pad) })).toBe("unknown");
    expect(dispositionOf({ status: 409, headers, body: padded("x".repeat(60_000)) })).toBe("retry");
  });

  test.each(["null", "7", "[]", '"idempotency_key_reused"'])("whose problem document is not an object has no code: %s", (body) => {
    expect(dispositionOf({ status: 409, headers: new Headers({ "content-type": "application/problem+json" }), body })).toBe("final");
  });

  test("says what it says in all values of a header, or nothing", () => {
    const twice = (name: string, one: string, other: string): Headers => new Headers([[name, one], [name, other]]);
    const judge = (status: number, headers: Headers): Disposition => dispositionOf({ status, headers });
    expect(judge(503, twice("x-should-retry", "false", "False"))).toBe("unknown");
    expect(judge(200, twice("x-should-retry", "true", "true"))).toBe("retry");
    expect(judge(200, twice("x-should-retry", "true", "false"))).toBe("final");
    expect(judge(500, twice("idempotent-replayed", "true", "true"))).toBe("unknown");
  });

  test("is a replay by either marker", () => {
    const marked = [{ "x-idempotent-result": "true" }, { "idempotent-replayed": "true" }, {}, { "x-idempotent-result": "false" }];
    expect(marked.map((headers) => isReplay(new Response("", { headers })))).toEqual([true, true, false, false]);
  });
});
