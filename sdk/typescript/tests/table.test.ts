import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { createIdempotentFetch, dispositionOf, memoryStorage, outcomeOf, type ClientOptions } from "../src/index.js";
import { PROBLEM, rows, scriptedServer, type Before, type Case, type Profile, type Reply, type Script, type ScriptedServer, type Step } from "./support/table.js";

/*
 * Every combination of the table that both clients share: by the pure function, and by a client
 * over real sockets, for operations with a name and without one, in a process and in a page.
 */
const TABLE = rows();

test("the table has the combinations that it had when these tests were written, or more", () => {
  expect(TABLE.reduce((sum, [, cases]) => sum + cases.length, 0)).toBeGreaterThanOrEqual(1_845);
});

describe("the pure function knows", () => {
  test.each(TABLE)("%s", (_, cases) => {
    const wrong = cases.flatMap((one) => {
      const { status, redirected, inDoubt, profile, headers, body, is } = one;
      const said = dispositionOf({ status, headers: new Headers(headers), body, redirected, inDoubt, profile });
      return said === is ? [] : [`${label(one)}: ${said}`];
    });
    expect(wrong).toEqual([]);
  });
});

let server: ScriptedServer;

beforeAll(async () => {
  server = await scriptedServer();
});
afterAll(() => server.stop());
afterEach(() => void vi.unstubAllGlobals());

describe("over sockets, an operation with a name meets", () => {
  test.each(TABLE)("%s", { timeout: 60_000 }, async (_, cases) => {
    expect(await all(cases.filter(({ named }) => named !== false), (one) => play(one, "named"))).toEqual([]);
  });
});

describe("over sockets, an operation of a process without a name meets", () => {
  test.each(unnamed(false))("%s", { timeout: 60_000 }, async (_, cases) => {
    expect(await all(cases, (one) => play(one, "call"))).toEqual([]);
  });
});

describe("over sockets, an operation of a page without a name meets", () => {
  test.each(unnamed(true))("%s", { timeout: 60_000 }, async (_, cases) => {
    vi.stubGlobal("document", {});
    expect(await all(cases, (one) => play(one, "click"))).toEqual([]);
  });
});

/**
 * The cases of operations without a name. Only that of a page outlives its client: it is stored.
 */
function unnamed(stored: boolean): typeof TABLE {
  return TABLE.map(([what, cases]) => [what, cases.filter(({ named, before }) => named !== true && (stored || before !== "restarted"))]);
}

/** Plays cases, some at a time, and gives what was wrong. */
async function all(cases: Case[], each: (one: Case) => Promise<string[]>): Promise<string[]> {
  const left = [...cases].reverse();
  const wrong: string[] = [];
  const worker = async (): Promise<void> => {
    for (let one = left.pop(); one; one = left.pop()) {
      const found = await each(one).catch((error: unknown) => [`threw ${String(error)}`]);
      wrong.push(...found.map((text) => `${label(one!)}: ${text}`));
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  return wrong;
}

function label({ before, status, headers, body, profile }: Case): string {
  return `${profile}, ${before}, then ${status} ${JSON.stringify(headers)} ${String(body).slice(0, 60)}`;
}

type Kind = "named" | "call" | "click";

/**
 * Plays what happened before and then the response of the row, and gives what a caller sees that is
 * wrong.
 */
async function play(one: Case, kind: Kind): Promise<string[]> {
  const script = server.script();
  const storage = memoryStorage();
  const options: ClientOptions = { storage, profile: one.profile, budget: null, baseDelay: 0, maxDelay: 0, fetch: disguised };
  const earlier = BEFORE[one.before];
  let client = createIdempotentFetch(options);
  const call = (maxAttempts: number): Promise<unknown> => {
    const init = { method: "POST", body: "pay", maxAttempts, ...(kind === "named" && { operation: "order 7" }) };
    return client(script.url, init).catch((error: unknown) => error);
  };

  // What ends a call of its own, and what the same call gets over.
  if (one.before === "invalid" || one.before === "restarted") {
    script.play(...earlier);
    await call(1);
    if (one.before === "restarted") client = createIdempotentFetch(options);
  }
  const calls = script.arrived.length;
  const within = calls > 0 ? [] : earlier;
  script.play(...within, ...replies(one));
  const attempts = within.length + (one.is === "retry" ? 2 : 1);
  const result = await call(within.length + 2);

  const wrong: string[] = [];
  const check = (what: string, found: unknown, right: unknown): void => {
    if (found !== right) wrong.push(`${what} is ${String(found)} instead of ${String(right)}`);
  };
  const outcome = outcomeOf(result);
  check("the disposition", outcome?.disposition, one.is);
  check("the status", result instanceof Response ? result.status : String(result), one.status);
  check("the number of attempts", outcome?.attempts, attempts);
  check("the number of requests", posts(script).length - calls, attempts + resent(one, attempts - within.length));
  check("whether it is named", outcome?.named, kind === "named");
  const keys = posts(script).map((request) => keyOf(request.keys, one.profile));
  const [first] = keys;
  const last = keys.at(-1);
  check("the key", outcome?.key, last);
  // A first 422 that the server stores ends the operation of a click; a call of a process is an
  // operation by itself.
  const ended = one.before === "invalid" && (kind === "call" || (kind === "click" && one.profile !== "default"));
  check("the number of keys", new Set(keys).size, ended ? 2 : 1);
  if (kind !== "named") {
    const open = kind === "click" && one.is !== "final";
    check("the number of pending keys", (await client.pending()).length, open ? 1 : 0);
    script.play(DONE);
    await call(1);
    check("whether the next call has the same key", lastKey(script, one) === last, open);
    return wrong;
  }

  check("the name", outcome?.operation.includes("order 7"), true);
  const final = one.is === "final";
  check("whether it is pending", (await client.pending()).length, final ? 0 : 1);
  if (final) {
    script.play({ ...DONE, headers: [["x-idempotent-result", "true"]] });
    await call(1);
    check("the key of another call before the end", lastKey(script, one), first);
  }
  check("what finish says", await client.finish("order 7"), final);
  script.play(DONE);
  await call(1);
  check("whether the call after it has the same key", lastKey(script, one) === first, !final);
  return wrong;
}

const DONE: Reply = { status: 201 };

const BEFORE: Record<Before, Step[]> = {
  nothing: [],
  limited: [{ status: 429 }],
  invalid: [{ status: 422 }],
  lost: ["lost"],
  cut: ["cut"],
  failed: [{ status: 500 }],
  gateway: [{ status: 504 }],
  in_flight: [{ status: 409, headers: [["content-type", PROBLEM]], body: JSON.stringify({ code: "idempotency_key_in_flight" }) }],
  restarted: ["lost"],
};

/**
 * What Node's `fetch` cannot bring: a redirect that a browser hides, and 407, which it makes a
 * network error of.
 */
const DISGUISED = [0, 407];

/**
 * The response of a row as the server sends it. Where the client follows a redirect, the response
 * is at its end.
 */
function replies({ status, headers, body, redirected }: Case): Step[] {
  // The client reads all bodies. One that is too long to be a problem document counts as one that
  // was not read.
  const text = body ?? " ".repeat(70_000);
  if (DISGUISED.includes(status)) return [{ status: 299, headers: [...headers, ["x-disguise", String(status)]], body: text }];
  const reply = { status, headers, body: text };
  return redirected ? [{ status: 303, headers: [["location", "?login"]] }, reply] : [reply];
}

/** Gives the responses that {@link DISGUISED} names. */
async function disguised(...request: Parameters<typeof fetch>): Promise<Response> {
  const response = await fetch(...request);
  const disguise = response.headers.get("x-disguise");
  if (disguise === null) return response;
  // A script cannot make a redirect that is hidden. This one looks alike.
  if (disguise === "0") return Object.defineProperty(Response.error(), "type", { value: "opaqueredirect" });
  return new Response(await response.arrayBuffer(), { status: Number(disguise), headers: response.headers });
}

/** Node's `fetch` sends a request that got 421 a second time by itself. */
function resent({ status }: Case, times: number): number {
  return status === 421 ? times : 0;
}

function posts({ arrived }: Script): Script["arrived"] {
  return arrived.filter(({ method }) => method === "POST");
}

function lastKey(script: Script, { profile }: Case): string | undefined {
  return keyOf(posts(script).at(-1)!.keys, profile);
}

/** The key of a request, if it was sent as the profile asks. */
function keyOf(keys: Record<string, string>, profile: Profile): string | undefined {
  if (profile === "default") return keys["x-idempotency-key"];
  const value = keys["idempotency-key"];
  return profile === "stripe" ? value : /^"(.*)"$/.exec(value ?? "")?.[1];
}
