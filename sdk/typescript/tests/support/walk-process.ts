import { createIdempotentFetch, outcomeOf } from "../../src/index.js";
import { paymentOf } from "./walk-payment.js";
import type { Errand, Note } from "./walk-messages.js";
import { Random } from "./walk-random.js";
import { failing, fileStorage } from "./walk-storage.js";

/*
 * One process of the walk: an application that goes on with each of its operations until it is
 * done. It is killed in the midst of that.
 */

const WORKERS = 48;
/** How often a process calls for one operation before it leaves it to a later one. */
const CALLS = 6;

process.on("message", (message: Errand | "mend" | "acknowledged") => {
  if (message === "mend") mend();
  else if (message === "acknowledged") acknowledgements.shift()?.();
  else void run(message).then(() => note({ type: "over" })).then(() => process.disconnect());
});

const acknowledgements: (() => void)[] = [];
let mend = (): void => {};

/** Tells the application's store, and waits until it has stored the note. */
function note(message: Note): Promise<void> {
  process.send!(message);
  return new Promise((resolve) => acknowledgements.push(resolve));
}

async function run(errand: Errand): Promise<void> {
  const random = new Random(errand.seed, `life ${errand.life}`);
  const storage = failing(fileStorage(errand.directory), random);
  let mended = errand.mended;
  mend = () => {
    mended = true;
    storage.mend();
  };
  if (mended) storage.mend();
  const client = createIdempotentFetch({
    storage,
    attemptTimeout: mended ? 10_000 : 300,
    totalTimeout: mended ? 60_000 : 1_500,
    baseDelay: 2,
    maxDelay: 50,
    maxRetryAfter: 30,
    budget: null,
  });

  const left = [...errand.names].reverse();
  const worker = async (): Promise<void> => {
    for (let name = left.pop(); name !== undefined; name = left.pop()) await operate(name);
  };
  await Promise.all(Array.from({ length: WORKERS }, worker));
  for (const name of errand.letGo) {
    if (await client.finish(name)) continue;
    // Either the key is gone already, or the storage failed when it should have noted the final
    // response.
    if ((await client.pending()).some(({ operation }) => operation === name)) await operate(name);
  }
  if (mended || !errand.named) {
    storage.mend();
    await note({ type: "pending", names: (await client.pending()).map(({ operation }) => operation) });
    await note({ type: "left", records: (await storage.list()).map(({ operation }) => operation) });
  }

  async function operate(name: string): Promise<void> {
    for (let calls = 0; calls < CALLS || !errand.named; calls++) {
      const results = await Promise.all(Array.from({ length: !errand.named && random.chance(0.2) ? 2 : 1 }, () => once(name)));
      if (results.includes("done")) return;
    }
  }

  async function once(name: string): Promise<"done" | "open"> {
    const result = await call(name);
    const outcome = outcomeOf(result);
    if (!outcome) {
      if (result !== GAVE_UP) await note({ type: "mute", name, result: describe(result) });
      return "open";
    }
    if (outcome.disposition !== "final" || !(result instanceof Response)) {
      await note({ type: "open", name, result: describe(result) });
      return "open";
    }
    const { status } = result;
    const done = status < 300;
    const key = String(outcome.key);
    await note(done ? { type: "done", name, status, key, replayed: outcome.replayed } : { type: "rejected", name, status, key });
    // A name whose outcome the application has stored is finished. One that was rejected goes on,
    // under the same key or a new one.
    if (errand.named && (mended || (errand.finishes && random.chance(0.5)))) {
      if (done) await note({ type: "finishing", name });
      // Where the storage fails the key may be dropped or not. Each name that is done is finished
      // once more at the end.
      await client.finish(name).catch(() => {});
    }
    return done ? "done" : "open";
  }

  async function call(name: string): Promise<unknown> {
    const giving = new AbortController();
    if (!mended && random.chance(0.03)) setTimeout(() => giving.abort(GAVE_UP), random.below(200));
    try {
      const response = await client(`${errand.url}/payments`, {
        ...paymentOf(errand.seed, name),
        ...(errand.named && { operation: name }),
        signal: giving.signal,
      });
      await response.clone().text();
      return response;
    } catch (error) {
      return error;
    }
  }
}

/** Why the application itself ends a call. */
const GAVE_UP = new Error("the application gave up");

function describe(result: unknown): string {
  if (result instanceof Response) return String(result.status);
  return result instanceof Error ? `${result.name}: ${result.message}` : String(result);
}
