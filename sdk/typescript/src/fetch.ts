import { until } from "./attempt.js";
import { LONGEST_TIMER } from "./clock.js";
import { keyIn } from "./key-header.js";
import { identify } from "./identity.js";
import { clientSettings, type CallOptions, type CallSettings, type ClientOptions, type FetchInit, type FetchInput, type FetchLike } from "./options.js";
import { operationsOf } from "./operations.js";
import type { PendingOperation } from "./outcome.js";
import { requestIn, take } from "./request.js";
import { isKey } from "./storage/types.js";

/** The options of `fetch`, and the options of one call. */
export interface IdempotentInit extends FetchInit, CallOptions {}

/** A `fetch` that retries an operation under one key until its outcome is certain. */
export interface IdempotentFetch {
  /**
   * Sends a request as `fetch` does.
   *
   * A guarded request (POST and PATCH by default, or a request with a key header) gets an
   * idempotency key. The client stores the key before it sends the request, and retries under it
   * where that is safe. All other requests pass to `fetch` once, untouched.
   *
   * Resolves with the final response, with one that a retry does not change, or with the last one
   * when a limit is reached. Rejects with one of these:
   *
   * - `OutcomeUnknownError`: there were attempts without a response.
   * - `KeyNotUnderstoodError`.
   * - An error after which nothing was sent: `KeyExpiredError`, `KeyStorageError`,
   *   `RequestTooLargeError`, `OperationMismatchError`.
   * - The error of `fetch`, if it is not a network failure.
   * - The reason of the caller's signal.
   * - A `TypeError` for arguments that make no request.
   *
   * `outcomeOf` says what each of these means.
   */
  (input: FetchInput, init?: IdempotentInit): Promise<Response>;
  /**
   * A plain `fetch` for one operation, for libraries that accept a `fetch`. All of its guarded
   * requests are that operation.
   */
  named(name: string, options?: Omit<CallOptions, "operation">): FetchLike;
  /**
   * The operations of this client's user whose outcome is not certain, from any page or tab: those
   * in flight, and those that ended without a certain outcome. Make the same call again to get the
   * outcome.
   *
   * @throws KeyStorageError if the storage fails.
   */
  pending(): Promise<PendingOperation[]>;
  /**
   * Ends a named operation whose last response was final: removes its key, so that the next call
   * under the name is a new operation. Resolves with `false`, and changes nothing, if the outcome
   * is not certain.
   *
   * A server that stores rejections (`stripe`, `ietf`) rejects a corrected request with
   * `idempotency_key_reused` until then. Send the first request again to see its response, and then
   * `finish`. Or call `forget`.
   *
   * @throws KeyStorageError if the storage fails.
   */
  finish(name: string): Promise<boolean>;
  /**
   * Removes the key of an operation whatever the outcome, by its name or by the `operation` of
   * `pending`. Use it when the application knows the outcome from elsewhere.
   *
   * @throws KeyStorageError if the storage fails.
   */
  forget(operation: string): Promise<void>;
}

/**
 * Makes a client. Clients with the same storage and user share their operations, as two tabs do.
 */
export function createIdempotentFetch(defaults: ClientOptions = {}): IdempotentFetch {
  const client = clientSettings(defaults);
  const operations = operationsOf(client);

  const call = async (input: FetchInput, init: IdempotentInit = {}): Promise<Response> => {
    const from = requestIn(input);
    const headers = new Headers(init.headers ?? from?.headers);
    // The headers may be an iterator, which can be read only once.
    if (init.headers) init = { ...init, headers };
    const given = keyIn(headers, client.header);
    const method = (init.method ?? from?.method ?? "GET").toUpperCase();
    if (given === null && !client.methods.some((one) => one.toUpperCase() === method)) {
      if (init.operation === undefined || /GET|HEAD|OPTIONS/.test(method)) return client.fetch(input, init);
      throw new TypeError(`${method} gets no key: add it to methods`);
    }

    // A server may take an empty key for no key, and each attempt for a new operation.
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

const NOT_A_KEY = "a key is 1 to 255 visible ASCII characters";
