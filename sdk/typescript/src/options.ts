import { retryBudget, type RetryBudget } from "./budget.js";
import { systemClock, type Clock } from "./clock.js";
import { NOT_STORED, type Profile } from "./disposition.js";
import type { ProgressHook } from "./events.js";
import { isNetworkError } from "./network.js";
import { defaultStorage } from "./storage/default.js";
import type { KeyStorage } from "./storage/types.js";

/** The first argument of `fetch`, without the types of a browser. */
export type FetchInput = Parameters<typeof fetch>[0];
/** The second argument of `fetch`. */
export type FetchInit = NonNullable<Parameters<typeof fetch>[1]>;
/** A function that is called like `fetch`. */
export type FetchLike = (input: FetchInput, init?: FetchInit) => Promise<Response>;

/** Options of one call, or of all calls of a client. All times are in milliseconds. */
export interface CallOptions {
  /**
   * The operation's name, such as `order 7`, unique for each `user`. Calls under one name are one
   * operation, until `finish(name)`. Without a name, a page recognises an operation by its request,
   * and every call outside of pages is a new operation.
   *
   * The name is stored unencrypted, so it must not contain a secret.
   */
  operation?: string | undefined;
  /**
   * A key of your own, from 1 to 255 visible ASCII characters, or a function that makes it. It must
   * be the same each time for the same operation. It wins over a stored key, and is not stored. Its
   * history is not known, so a rejection that is not a replay is `unknown`.
   */
  key?: string | (() => string | Promise<string>) | undefined;
  /** Gets the events of the call. */
  onProgress?: ProgressHook | undefined;
  /**
   * Decides which errors of `fetch` are retried. Default: {@link isNetworkError}. A timeout of an
   * attempt and a response that broke off are always retried. Any other error rejects the call at
   * once, unchanged.
   */
  retryIf?: ((error: unknown) => boolean) | undefined;
  /**
   * How long an attempt may make no progress. Default: 10,000. The time starts again with the head
   * of the response and with each part of its body. An upload cannot be observed, so the first
   * period is longer by the time of the body at 16 KiB a second.
   */
  attemptTimeout?: number | undefined;
  /** How long the call may take, waits included. Default: 60,000. */
  totalTimeout?: number | undefined;
  /** The largest number of attempts. Default: `Infinity`. */
  maxAttempts?: number | undefined;
  /** The longest `Retry-After` that counts. A longer one counts as this. Default: 30,000. */
  maxRetryAfter?: number | undefined;
  /** The limit of the random wait before the first retry. It doubles with each. Default: 100. */
  baseDelay?: number | undefined;
  /** The limit at which the doubling ends. Default: 5,000. */
  maxDelay?: number | undefined;
  /**
   * How long the same unnamed operation still gets the same final response, in pages. Default: 0.
   * Use it to catch the second click of a double click.
   */
  linger?: number | undefined;
}

/** Options of a client. */
export interface ClientOptions extends Omit<CallOptions, "operation" | "key"> {
  /**
   * The rules of the server: `header`, the form of the key, `methods`, and which responses the
   * server stores. `ietf`: `Idempotency-Key`, in quotes. `stripe`: `Idempotency-Key`, bare, POST
   * only. Default: `default`.
   */
  profile?: Profile | undefined;
  /** The header that carries the key. Default: `X-Idempotency-Key`, or the profile's header. */
  header?: string | undefined;
  /**
   * The methods that get a key. Default: POST and PATCH, or the profile's. Requests with
   * another method pass to `fetch` untouched, unless they have a key already.
   */
  methods?: readonly string[] | undefined;
  /** Where keys are stored. Default: {@link defaultStorage}. */
  storage?: KeyStorage | undefined;
  /**
   * The user, which separates the operations of different users. Default: empty. The client calls a
   * function at each call.
   *
   * The user is stored unencrypted, so it must not contain a secret or a token.
   */
  user?: string | (() => string | undefined) | undefined;
  /**
   * How long the server remembers a key, in milliseconds. Default: 24 hours. An older key is not
   * sent.
   */
  retention?: number | undefined;
  /**
   * How many retries all calls together may make. Default: {@link retryBudget}, 10 in each second.
   * `null` allows any number.
   */
  budget?: RetryBudget | null | undefined;
  /** The function that sends a request. Default: the global `fetch` at the time of the call. */
  fetch?: FetchLike | undefined;
  /** The longest body of a guarded request, in bytes. Default: 1 MiB. */
  maxRequest?: number | undefined;
  /**
   * Sends a named operation although its key cannot be stored. Default: `false`, and the call waits
   * for the storage.
   *
   * With `true`, the same name has a second effect after a reload.
   */
  riskSecondEffectWithoutStorage?: boolean | undefined;
  /** For tests. */
  clock?: Partial<Clock> | undefined;
}

/** The settings of one call, with all defaults. */
export type CallSettings = typeof DEFAULTS & { retryIf(error: unknown): boolean } & Pick<CallOptions, "operation" | "key" | "onProgress">;

/** The settings of one client, with all defaults. */
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
  /** Adds the defaults to the options of one call. */
  call(init: CallOptions): CallSettings;
}

/**
 * Adds the defaults to the options of a client.
 *
 * @throws RangeError if a time or a number is negative or not a number, because its limit would
 * never be reached. Also for an unknown profile.
 */
export function clientSettings(options: ClientOptions = {}): ClientSettings {
  const settings = { ...DEFAULTS, profile: "default" as Profile, retryIf: isNetworkError, ...set(options) };
  const { profile } = settings;
  if (!NOT_STORED[profile]) throw new RangeError("unknown profile");
  return {
    budget: retryBudget(),
    storage: defaultStorage(),
    header: `${profile === "default" ? "X-" : ""}Idempotency-Key`,
    methods: profile === "stripe" ? ["POST"] : ["POST", "PATCH"],
    ...settings,
    quoted: profile === "ietf",
    user: () => (typeof options.user === "function" ? options.user() : options.user) ?? "",
    // Called as a plain function, because the `fetch` of a browser cannot be a method of an object.
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
 * The options that are set. It rejects `NaN`, because a comparison with it is never true, and so
 * its limit would never be reached.
 */
function set<T extends object>(options: T): Defined<T> {
  return Object.fromEntries(
    Object.entries(options).filter(([name, value]) => {
      if (name in DEFAULTS && value !== undefined && !(typeof value === "number" && value >= 0)) throw new RangeError(`${name} must be 0 or more`);
      return value !== undefined;
    }),
  ) as Defined<T>;
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };
