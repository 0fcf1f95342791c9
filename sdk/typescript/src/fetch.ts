import { until } from "./attempt.js";
import { LONGEST_TIMER } from "./clock.js";
import { keyIn } from "./key-header.js";
import { identify } from "./identity.js";
import { clientSettings, type CallOptions, type CallSettings, type ClientOptions, type FetchInit, type FetchInput, type FetchLike } from "./options.js";
import { operationsOf } from "./operations.js";
import type { PendingOperation } from "./outcome.js";
import { requestIn, take } from "./request.js";
import { isKey } from "./storage/types.js";

/** What `fetch` takes, and the options of one call. */
export interface IdempotentInit extends FetchInit, CallOptions {}

/** A `fetch` that retries an operation under one key until its outcome is certain. */
export interface IdempotentFetch {
  /**
   * Sends a request as `fetch` does. A guarded one (POST and PATCH by default, or one that has a
   * key header already) gets an idempotency key, which is stored before it leaves, and is retried
   * under that key where that is safe. All others pass to `fetch` once, untouched.
   *
   * Resolves with the response: the final one, one that a retry does not mend, or the last one when
   * a bound is reached. Rejects with `OutcomeUnknownError` (attempts without a response),
   * `KeyNotUnderstoodError`, one of the errors after which nothing was sent (`KeyExpiredError`,
   * `KeyStorageError`, `RequestTooLargeError`, `OperationMismatchError`), what `fetch` threw if
   * that is not a network failure, the reason of the caller's signal, or a `TypeError` for
   * arguments that make no request. `outcomeOf` says what any of these means.
   */
  (input: FetchInput, init?: IdempotentInit): Promise<Response>;
  /**
   * A plain `fetch` for one operation, for libraries that take a `fetch`. All its guarded requests
   * are that operation.
   */
  named(name: string, options?: Omit<CallOptions, "operation">): FetchLike;
  /**
   * The operations of this client's user whose outcome is not certain, from any page or tab: those
   * in flight, and those that ended so. Make the same call again to learn the outcome.
   *
   * @throws KeyStorageError if the storage does not work.
   */
  pending(): Promise<PendingOperation[]>;
  /**
   * Ends a named operation whose last response was final: its key is dropped, and the next
   * call under the name is a new operation. `false`: there is no such response, and nothing is changed.
   *
   * A server that stores rejections (`stripe`, `ietf`) rejects a mended request with
   * `idempotency_key_reused` until then. Send the first request again to see its response, then
   * `finish`; or `forget`.
   *
   * @throws KeyStorageError if the storage does not work.
   */
  finish(name: string): Promise<boolean>;
  /**
   * Drops the key of an operation, by its name or as `pending` gives it, whatever the outcome. The
   * application has learnt it in another way.
   *
   * @throws KeyStorageError if the storage does not work.
   */
  forget(operation: string): Promise<void>;
}

/**
 * Makes a client. Clients with the same storage and user know the same operations, as two tabs do.
 */
export function createIdempotentFetch(defaults: ClientOptions = {}): IdempotentFetch {
  const client = clientSettings(defaults);
  const operations = operationsOf(client);

  const call = async (input: FetchInput, init: IdempotentInit = {}): Promise<Response> => {
    const from = requestIn(input);
    const headers = new Headers(init.headers ?? from?.headers);
    // What was given may be read only once.
    if (init.headers) init = { ...init, headers };
    const given = keyIn(headers, client.header);
    const method = (init.method ?? from?.method ?? "GET").toUpperCase();
    if (given === null && !client.methods.some((one) => one.toUpperCase() === method)) {
      if (init.operation === undefined || /GET|HEAD|OPTIONS/.test(method)) return client.fetch(input, init);
      throw new TypeError(`${method} gets no key: add it to methods`);
    }

    // Servers may take an empty one for none, and each attempt for another operation.
    if (given === "") throw new TypeError(NOT_A_KEY);
    if (!globalThis.crypto?.subtle) throw new Error("idempotency keys need a secure context (https or localhost)");
    const signal = (init.signal === undefined ? from?.signal : init.signal) ?? undefined;
    signal?.throwIfAborted();
    const settings = client.call(init);
    const user = client.user();
    const read = take(input, init);
    const late = AbortSignal.timeout(Math.min(settings.totalTimeout, LONGEST_TIMER));
    const { request, identity, ownKey } = await until(late, () => until(signal, async () => {
      const ownKey = given ?? (await keyOf(settings));
      const request = await read();
      return { request, ownKey, identity: await identify(request, user, settings.operation, ownKey) };
    }));
    signal?.throwIfAborted();
    return operations.perform(request, identity, ownKey, settings, signal);
  };
  const { pending, finish, forget } = operations;
  const named = (name: string, options?: CallOptions): FetchLike => (input, init) => call(input, { ...options, ...init, operation: name });
  return Object.assign(call, { named, pending, finish, forget });
}

/** The client of the module, with all defaults. */
export const idempotentFetch: IdempotentFetch = createIdempotentFetch();

async function keyOf({ key }: CallSettings): Promise<string | undefined> {
  const made = typeof key === "function" ? await key() : key;
  if (made !== undefined && !isKey(made)) throw new TypeError(NOT_A_KEY);
  return made;
}

const NOT_A_KEY = "an idempotency key is from 1 to 255 visible ASCII characters";
