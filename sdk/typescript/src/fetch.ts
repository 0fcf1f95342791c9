import { until } from "./attempt.js";
import { keyIn } from "./key-header.js";
import { identify } from "./identity.js";
import { clientSettings, type CallOptions, type CallSettings, type ClientOptions } from "./options.js";
import { Operations, type PendingOperation } from "./operations.js";
import { take } from "./request.js";
import { isKey } from "./storage/types.js";

/** What `fetch` takes, and the options of one call. */
export interface IdempotentInit extends RequestInit, CallOptions {}

/** A `fetch` that repeats an operation under one key until its answer is certain. */
export interface IdempotentFetch {
  /**
   * Sends a request as `fetch` does. A guarded one (POST and PATCH by default, or one that bears a key header) gets an idempotency key, which is
   * stored before it leaves, and is repeated under that key where that is safe; all others pass to `fetch` once, untouched.
   *
   * Resolves with the answer: the definitive one, one that says that repeating does not help, or the last one when a bound is reached.
   * Rejects with `OutcomeUnknownError` (gave up without an answer), `KeyExpiredError` or `OperationMismatchError` (nothing was sent), the
   * reason of the caller's signal, or a `TypeError` as `fetch` does for arguments that make no request.
   */
  (input: RequestInfo | URL, init?: IdempotentInit): Promise<Response>;
  /** The operations whose answer is not certain, of this client's scope, from any page or tab: those under way, and those that ended so. */
  pending(): Promise<PendingOperation[]>;
  /** Drops the key of an operation, by its name or as `pending` gives it: the application has learnt the outcome by itself. */
  forget(operation: string): Promise<void>;
}

/** Makes a client. Clients with the same storage and scope know the same operations, as two tabs do. */
export function createIdempotentFetch(defaults: ClientOptions = {}): IdempotentFetch {
  const client = clientSettings(defaults);
  const operations = new Operations(client);

  const call = async (input: RequestInfo | URL, init: IdempotentInit = {}): Promise<Response> => {
    const bearing = keyHeader(input, init, client.header);
    if (bearing === null && !client.methods.has(methodOf(input, init))) return client.fetch(input, init);

    // Servers may take an empty one for none, and each attempt for another operation.
    if (bearing === "") throw new TypeError("the header for the idempotency key is empty");
    const signal = (init.signal === undefined && input instanceof Request ? input.signal : init.signal) ?? undefined;
    signal?.throwIfAborted();
    const settings = client.call(init);
    const read = take(input, init);
    const { request, identity, ownKey } = await until(signal, async () => {
      const ownKey = bearing ?? (await keyOf(settings));
      const request = await read();
      return { request, ownKey, identity: await identify(request, client.scope, settings.operation, ownKey) };
    });
    signal?.throwIfAborted();
    return operations.perform(request, identity, ownKey, settings, signal);
  };
  return Object.assign(call, {
    pending: () => operations.pending(),
    forget: (operation: string) => operations.forget(operation),
  });
}

/** The client of the module, with all defaults. */
export const idempotentFetch: IdempotentFetch = createIdempotentFetch();

function methodOf(input: RequestInfo | URL, init: RequestInit): string {
  return (init.method ?? (input instanceof Request ? input.method : "GET")).toUpperCase();
}

/** The key that the caller has put into a header already, or `null`. */
function keyHeader(input: RequestInfo | URL, init: RequestInit, header: string): string | null {
  const given = init.headers ?? (input instanceof Request ? input.headers : undefined);
  return keyIn(new Headers(given), header);
}

async function keyOf({ key }: CallSettings): Promise<string | undefined> {
  const made = typeof key === "function" ? await key() : key;
  if (made !== undefined && !isKey(made)) {
    throw new TypeError("an idempotency key is from 1 to 255 visible ASCII characters");
  }
  return made;
}
