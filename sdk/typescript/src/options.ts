import { RetryBudget } from "./budget.js";
import { clockFrom, type Clock } from "./clock.js";
import type { ProgressHook } from "./events.js";
import { defaultStorage } from "./storage/default.js";
import { resilient, type ResilientStorage } from "./storage/resilient.js";
import type { KeyStorage } from "./storage/types.js";

/** What can be set for one call, or for all calls of a client. All times are in milliseconds. */
export interface CallOptions {
  /**
   * A name for the operation, unique within the scope: calls under one name are the same operation until its answer is certain. It is stored as it
   * is: no secrets. Default: what the request says (method, address, content type, credentials that the caller set, body).
   */
  operation?: string | undefined;
  /** A key of one's own, from 1 to 255 visible ASCII characters, or what makes it: always the same for the same operation. It wins over a stored key, and is not stored. */
  key?: string | (() => string | Promise<string>) | undefined;
  /** Told what happens to the call. */
  onProgress?: ProgressHook | undefined;
  /** How long one attempt may take, its answer's body included. Default 10,000. */
  attemptTimeout?: number | undefined;
  /** How long all attempts together may take: a wait that would end later is not begun. Default 60,000. */
  totalTimeout?: number | undefined;
  /** How many attempts are made at most. Default: `Infinity`. */
  maxAttempts?: number | undefined;
  /** The longest `Retry-After` that is obeyed; a longer one counts as this. Default 30,000. */
  maxRetryAfter?: number | undefined;
  /** The bound of the random wait before the first repeat; it doubles with each. Default 100. */
  baseDelay?: number | undefined;
  /** The bound at which doubling ends. Default 5,000. */
  maxDelay?: number | undefined;
  /**
   * How long, after a definitive answer, the same operation still gives that answer, so that the second click of a double click does not become
   * a second operation because the server was fast. Default 1,000 where there is a `document`, else 0.
   */
  linger?: number | undefined;
}

/** What can be set for a client. */
export interface ClientOptions extends Omit<CallOptions, "operation" | "key"> {
  /** The header that bears the key. Default `X-Idempotency-Key`. */
  header?: string | undefined;
  /** Which methods get a key. Default POST and PATCH. Others pass to `fetch` as they are, unless they bear a key header already. */
  methods?: readonly string[] | undefined;
  /** Where keys are kept. Default: {@link defaultStorage}. */
  storage?: KeyStorage | undefined;
  /** Keeps operations of, say, two users of one browser apart. Stored as it is: no secrets. Default: empty. */
  scope?: string | undefined;
  /** How long the server remembers a key, in milliseconds; older keys are not used. Default: 24 hours. */
  retention?: number | undefined;
  /** How many repeats all calls together may make; `null`: any number. Default: a {@link RetryBudget} with its defaults. */
  budget?: RetryBudget | null | undefined;
  /** What sends a request. Default: the global `fetch`, as it is at the time of the call. */
  fetch?: typeof fetch | undefined;
  /** For tests. */
  clock?: Partial<Clock> | undefined;
}

/** What one call goes by, complete. */
export type CallSettings = typeof CALL_DEFAULTS & { linger: number } & Pick<CallOptions, "operation" | "key" | "onProgress">;

/** What one client goes by, complete. */
export interface ClientSettings {
  header: string;
  methods: ReadonlySet<string>;
  storage: ResilientStorage;
  scope: string;
  retention: number;
  budget: RetryBudget | null;
  fetch: typeof fetch;
  clock: Clock;
  /** Completes the options of one call. */
  call(init: CallOptions): CallSettings;
}

/**
 * Completes the options of a client.
 *
 * @throws RangeError if a time or a number is negative or no number: no bound would ever be reached.
 */
export function clientSettings(options: ClientOptions = {}): ClientSettings {
  check(options);
  return {
    header: options.header ?? "X-Idempotency-Key",
    methods: new Set((options.methods ?? ["POST", "PATCH"]).map((method) => method.toUpperCase())),
    storage: resilient(options.storage ?? defaultStorage()),
    scope: options.scope ?? "",
    retention: options.retention ?? 24 * 60 * 60 * 1000,
    budget: options.budget === undefined ? new RetryBudget() : options.budget,
    fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
    clock: clockFrom(options.clock),
    call: (init) => {
      check(init);
      const linger = typeof document === "undefined" ? 0 : 1_000;
      return { ...CALL_DEFAULTS, linger, ...given(options), ...given(init), operation: init.operation, key: init.key } as CallSettings;
    },
  };
}

const CALL_DEFAULTS = {
  attemptTimeout: 10_000,
  totalTimeout: 60_000,
  maxAttempts: Infinity,
  maxRetryAfter: 30_000,
  baseDelay: 100,
  maxDelay: 5_000,
};

/** Refuses what is not from 0 on: comparisons with `NaN` are never true, and what they bound would never end. */
function check(options: ClientOptions): void {
  for (const name of [...Object.keys(CALL_DEFAULTS), "linger", "retention"] as (keyof ClientOptions)[]) {
    const value = options[name];
    if (value !== undefined && !(typeof value === "number" && value >= 0)) throw new RangeError(`${name} is a number from 0 on`);
  }
}

/** The options of a call that are set, and nothing else of the object. */
function given(options: CallOptions): Partial<CallSettings> {
  const names = [...Object.keys(CALL_DEFAULTS), "linger", "onProgress"] as (keyof CallOptions)[];
  return Object.fromEntries(names.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])));
}
