import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { dispositionOf, type Disposition, type Profile } from "../src/index.js";

/** A row of the table of rejections, as the layer writes it. */
interface Rejection {
  code: string;
  disposition: Disposition;
  responses: { status: number; headers: Record<string, string>; body: { code: string } }[];
}

const { rows } = JSON.parse(readFileSync(new URL("../../../tests/vectors/rejections.json", import.meta.url), "utf8")) as { rows: Rejection[] };

const PROFILES: Profile[] = ["default", "ietf", "stripe"];

/** Under another profile the client knows only codes that begin with `idempotency_`. */
const cases = rows.flatMap(({ code, disposition, responses }) =>
  responses.flatMap(({ status, headers, body }) =>
    PROFILES.filter((profile) => profile === "default" || code.startsWith("idempotency_")).flatMap((profile) =>
      [false, true].map((inDoubt) => ({ code, disposition, judged: { status, headers: new Headers(headers), body: JSON.stringify(body), profile, inDoubt } })),
    ),
  ),
);

describe("a rejection of the layer", () => {
  test("is a row of the table", () => {
    expect(rows.length).toBeGreaterThan(10);
    for (const { code, responses } of rows) expect(responses.map(({ body }) => body.code)).toEqual(responses.map(() => code));
  });

  test.each(cases)("is judged as its row says: $code, $judged.status, $judged.profile, in doubt $judged.inDoubt", ({ disposition, judged }) => {
    expect(dispositionOf(judged)).toBe(disposition);
  });
});
