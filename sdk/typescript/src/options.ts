import { retryBudget, type RetryBudget } from "./budget.js";
import { systemClock, type Clock } from "./clock.js";
import { NOT_STORED, type Profile } from "./disposition.js";
import type { ProgressHook } from "./events.js";
import { isNetworkError } from "./network.js";
import { defaultStorage } from "./storage/default.js";
import type { KeyStorage } from "./storage/types.js";

/** What `fetch` takes first, without the types of a browser. */
export type FetchInput = Parameters<typeof fetch>[0];
/** What `fetch` takes second. */
export type FetchInit = NonNullable<Parameters<typeof fetch>[1]>;
/** A function that is called like `fetch`. */
export type FetchLike = (input: FetchInput, init?: FetchInit) => Promise<Response>;

/** What can be set for one call, or for all calls of a client. All times are in milliseconds. */
export interface CallOptions {
  /**
   * The operation's name, such as `order 7`, unique for each `user`. Calls under one name are one
   * operation, until `finish(name)`. The name is stored as it is: no secrets. Without a name, a
   * page recognises an operation by its request, and every call outside of pages is a new
   * operation.
   */
  operation?: string | undefined;
  /**
   * A key of your own, from 1 to 255 visible ASCII characters, or a function that makes it: always
   * the same for the same operation. It wins over a stored key, and is not stored. Its history is not
   * known, so a rejection that is not a replay is `unknown`.
   */
  key?: string | (() => string | Promise<string>) | undefined;
  /** Told what happens to the call. */
  onProgress?: ProgressHook | undefined;
  /**
   * Which errors of `fetch` are retried. Default: {@link isNetworkError}. A timeout of an attempt
   * and a response that broke off are always retried. All other errors reject the call at once, as
   * they are.
   */
  retryIf?: ((error: unknown) => boolean) | undefined;
  /**
   * How long an attempt may go without progress. The response's head, and each piece of its body,
   * start this time anew. The upload of a body cannot be observed: it has the time that it takes at
   * 16 KiB a second on top. Default 10,000.
   */
  attemptTimeout?: number | undefined;
  /** How long the call may take, waits included. Default 60,000. */
  totalTimeout?: number | undefined;
  /** The largest number of attempts. Default: `Infinity`. */
  maxAttempts?: number | undefined;
  /** A longer `Retry-After` counts as this. Default 30,000. */
  maxRetryAfter?: number | undefined;
  /** The bound of the random wait before the first retry; it doubles with each. Default 100. */
  baseDelay?: number | undefined;
  /** The bound at which doubling ends. Default 5,000. */
  maxDelay?: number | undefined;
  /**
   * How long the same unnamed operation still gets the same response after a final one, in pages.
   * It catches the second click of a double click. Default 0.
   */
  linger?: number | undefined;
}

/** What can be set for a client. */
export interface ClientOptions extends Omit<CallOptions, "operation" | "key"> {
  /**
   * What the server expects. It sets `header`, the form of the key, `methods`, and which responses
   * the server stores. `ietf`: `Idempotency-Key`, in quotes. `stripe`: `Idempotency-Key`, bare,
   * POST only. Default: `default`.
   */
  profile?: Profile | undefined;
  /** The header that carries the key. Default: `X-Idempotency-Key`, or the profile's. */
  header?: string | undefined;
  /**
   * Which methods get a key. Default: POST and PATCH, or the profile's. Others pass to `fetch` as
   * they are, unless they have a key already.
   */
  methods?: readonly string[] | undefined;
  /** Where keys are stored. Default: {@link defaultStorage}. */
  storage?: KeyStorage | undefined;
  /**
   * Who acts: one user's operations are not another's. Asked at each call. Stored as it is: no
   * secrets, no tokens. Default: empty.
   */
  user?: string | (() => string | undefined) | undefined;
  /**
   * How long the server remembers a key, in milliseconds. An older key is not sent. Default: 24
   * hours.
   */
  retention?: number | undefined;
  /**
   * How many retries all calls together may make; `null`: any number. Default: {@link retryBudget},
   * 10 a second.
   */
  budget?: RetryBudget | null | undefined;
  /** What sends a request. Default: the global `fetch`, as it is at the time of the call. */
  fetch?: FetchLike | undefined;
  /** The longest body of a guarded request, in bytes. Default: 1 MiB. */
  maxRequest?: number | undefined;
  /**
   * Sends a named operation though its key cannot be stored. The risk: after a reload, the same
   * name makes a second effect. Default `false`: the call waits for the storage.
   */
  riskSecondEffectWithoutStorage?: boolean | undefined;
  /** For tests. */
  clock?: Partial<Clock> | undefined;
}

/** The settings of one call, complete. */
export type CallSettings = typeof DEFAULTS & { retryIf(error: unknown): boolean } & Pick<CallOptions, "operation" | "key" | "onProgress">;

/** The settings of one client, complete. */
export interface ClientSettings {
  profile: Profile;
  header: string;
  quoted: boolean;
  methods: readonly string[];
  storage: KeyStorage;
  user(): string;
  retention: number;
  budget: RetryBudget | null;
  fetch: FetchLike;
  maxRequest: number;
  riskSecondEffectWithoutStorage?: boolean | undefined;
  clock: Clock;
  /** Completes the options of one call. */
  call(init: CallOptions): CallSettings;
}

/**
 * Completes the options of a client.
 *
 * @throws RangeError if a time or a number is negative or not a number, because no bound would ever
 * be reached; or for an unknown profile.
 */
export function clientSettings(options: ClientOptions = {}): ClientSettings {
  const settings = { ...DEFAULTS, profile: "default" as Profile, retryIf: isNetworkError, ...set(options) };
  const { profile } = settings;
  if (!NOT_STORED[profile]) throw new RangeError("a profile is default, ietf or stripe");
  return {
    budget: retryBudget(),
    storage: defaultStorage(),
    header: `${profile === "default" ? "X-" : ""}Idempotency-Key`,
    methods: profile === "stripe" ? ["POST"] : ["POST", "PATCH"],
    ...settings,
    quoted: profile === "ietf",
    user: () => (typeof options.user === "function" ? options.user() : options.user) ?? "",
    // Called as a plain function: a browser's own `fetch` may not be a method of something else.
    fetch: (input, init) => (settings.fetch ?? fetch)(input, init),
    clock: { ...systemClock, ...options.clock },
    call: (init) => ({ ...settings, ...set(init), operation: init.operation, key: init.key }),
  };
}

const DEFAULTS = {
  attemptTimeout: 10_000,
  totalTimeout: 60_000,
  maxAttempts: Infinity,
  maxRetryAfter: 30_000,
  baseDelay: 100,
  maxDelay: 5_000,
  linger: 0,
  retention: 86_400_000,
  maxRequest: 1_048_576,
};

/**
 * What is set of the options. A comparison with `NaN` is never true, and what it bounds would never
 * end.
 */
function set<T extends object>(options: T): Defined<T> {
  return Object.fromEntries(
    Object.entries(options).filter(([name, value]) => {
      if (name in DEFAULTS && value !== undefined && !(typeof value === "number" && value >= 0)) throw new RangeError(`${name} is a number from 0 on`);
      return value !== undefined;
    }),
  ) as Defined<T>;
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };
