import { describe, expect, test } from "vitest";
import { createIdempotentFetch } from "../src/index.js";
import { scripted } from "./support/scripted.js";

const URL_ = "https://shop.test/upload";

function form(last = "x"): FormData {
  const form = new FormData();
  form.append("a", "1\r\n--not a boundary");
  form.append("a", "zwei \u{1f4b6}");
  form.append("file", new Blob([new Uint8Array([0, 255, 13, 10, 45, 45])], { type: "image/x" }), 'na"me.png');
  form.append("last", last);
  return form;
}

async function sent(input: RequestInfo, init?: RequestInit): Promise<{ body: Uint8Array; type: string }> {
  const script = scripted(new Response(""));
  await createIdempotentFetch({ fetch: script.fetch, maxRequest: 1e7 })(input, init);
  const [{ body, headers }] = script.sent as [(typeof script.sent)[number]];
  return { body: body!, type: headers.get("content-type")! };
}

describe("a form", () => {
  test("has the same bytes each time that it is made", async () => {
    const [one, again] = [await sent(URL_, { method: "POST", body: form() }), await sent(URL_, { method: "POST", body: form() })];
    expect(again).toEqual(one);
    expect(one.type).toMatch(/^multipart\/form-data; boundary=tower-idempotency-[0-9a-f]{40}$/);
  });

  test("has another boundary if it says something else", async () => {
    const [one, other] = [await sent(URL_, { method: "POST", body: form() }), await sent(URL_, { method: "POST", body: form("y") })];
    expect(other.type).not.toBe(one.type);
  });

  test("says what it said", async () => {
    const { body, type } = await sent(URL_, { method: "POST", body: form() });
    const read = await new Response(body as Uint8Array<ArrayBuffer>, { headers: { "content-type": type } }).formData();
    expect(read.getAll("a")).toEqual(["1\r\n--not a boundary", "zwei \u{1f4b6}"]);
    const file = read.get("file") as File;
    expect([file.name, file.type, [...new Uint8Array(await file.arrayBuffer())]]).toEqual(['na"me.png', "image/x", [0, 255, 13, 10, 45, 45]]);
    expect([...read.keys()]).toEqual(["a", "a", "file", "last"]);
  });

  test("in a Request is treated alike", async () => {
    const [one, other] = [await sent(new Request(URL_, { method: "POST", body: form() })), await sent(URL_, { method: "POST", body: form() })];
    expect(one).toEqual(other);
  });

  test("that the caller has written stays as it is", async () => {
    const body = '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n';
    const given = await sent(URL_, { method: "POST", body, headers: { "content-type": "multipart/form-data; boundary=b" } });
    expect([new TextDecoder().decode(given.body), given.type]).toEqual([body, "multipart/form-data; boundary=b"]);
  });

  test("that is large takes no time to speak of", async () => {
    const large = new FormData();
    large.append("file", new Blob(["-".repeat(4_000_000), "\r\n--".repeat(100_000)]));
    const begun = performance.now();
    await sent(URL_, { method: "POST", body: large });
    expect(performance.now() - begun).toBeLessThan(5_000);
  });
});
