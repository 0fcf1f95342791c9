import { LONGEST_TIMER } from "./clock.js";
import { isReplay } from "./disposition.js";
import { KeyStorageError, OperationMismatchError, RequestTooLargeError } from "./errors.js";
import { tell } from "./events.js";
import { Flight } from "./flight.js";
import { idOf, labelIn, type Identity } from "./identity.js";
import { withKey } from "./key-header.js";
import { isOver, loadKey, newKey, resumed, type Known } from "./keys.js";
import type { CallSettings, ClientSettings } from "./options.js";
import { note, type Outcome } from "./outcome.js";
import type { Reply } from "./reply.js";
import type { Repeatable } from "./request.js";
import { retry } from "./retry.js";
import { ask } from "./storage/ask.js";
import { isKeyRecord, recordOf, type KeyRecord } from "./storage/types.js";

/** An operation whose outcome is not certain. */
export interface PendingOperation {
  /** Its name, or `sha256:` and a digest. */
  operation: string;
  /** Whether `operation` is a name that the application gave. */
  named: boolean;
  key: string;
  createdAt: Date;
}

/** All operations of one client: those in flight, and those whose keys are stored. */
export interface Operations {
  /** Has an operation done, or joins it if it is in flight or had its response a moment ago. */
  perform(request: Repeatable, identity: Identity, ownKey: string | undefined, call: CallSettings, signal: AbortSignal | undefined): Promise<Response>;
  pending(): Promise<PendingOperation[]>;
  finish(name: string): Promise<boolean>;
  forget(label: string): Promise<void>;
}

export function operationsOf(client: ClientSettings): Operations {
  const { storage, clock, user, maxRequest, risk } = client;
  const flights = new Map<string, Flight>();
  /** What this client knows about keys that it has used. Another tab may have removed them from the storage meanwhile. */
  const allKnown = new Map<string, Known>();
  /** Keys of unnamed operations that have served. The storage may fail to remove them. */
  const gone = new Set<string>();
  let lastSweep = -Infinity;

  const end = (flight: Flight): void => {
    if (flights.get(flight.identity.id) === flight) flights.delete(flight.identity.id);
  };
  const serving = <T>(operation: string | undefined, step: () => Promise<T>): Promise<T> =>
    ask(step).catch((cause: unknown) => {
      throw storageError(operation, cause);
    });
  const storedUnder = (id: string, label: string): Promise<KeyRecord | undefined> =>
    serving(label, async () => {
      const record = await storage.get(id);
      return record && recordOf(id, record);
    });
  const drop = async (id: string, label: string, record: KeyRecord | undefined): Promise<void> => {
    if (record) await serving(label, () => storage.remove(id, record.key));
    allKnown.delete(id);
  };
  const list = async (): Promise<KeyRecord[]> => Array.from(await storage.list()).filter(isKeyRecord);
  /** Removes the key of an unnamed operation. Where that fails, the next call or a sweep removes it. */
  const remove = ({ operation, key }: KeyRecord): Promise<unknown> => {
    gone.add(key);
    return ask(() => storage.remove(operation, key)).then(() => gone.delete(key), ignore);
  };

  /** The key of an operation, which is stored when this resolves. Nothing has been sent yet, so that waiting for the storage costs little. */
  const load = ({ identity, signal, tell }: Flight, call: CallSettings, deadline: number): Promise<Known> => {
    const { id, label: operation, named } = identity;
    const waiting = (error: unknown, delay: number): void => tell({ type: "storage-waiting", operation, delay, error });
    const patience = named && !risk ? { clock, call, deadline, signal, waiting } : undefined;
    const put = async (record: KeyRecord): Promise<KeyRecord | undefined> => {
      try {
        return await ask(async () => recordOf(id, await storage.putIfAbsent(record)), patience);
      } catch (error) {
        signal.throwIfAborted();
        if (patience) throw storageError(operation, error);
        return void tell({ type: "storage-unavailable", operation, error });
      }
    };
    return loadKey(identity, client, allKnown.get(id), (key) => gone.has(key), put, remove);
  };

  const run = async (flight: Flight, request: Repeatable, ownKey: string | undefined, call: CallSettings): Promise<[Reply, Outcome]> => {
    const { id, label: operation, named, shared } = flight.identity;
    const deadline = clock.elapsed() + call.totalTimeout;
    const length = request.body?.byteLength ?? 0;
    if (length > maxRequest) throw new RequestTooLargeError(`the body has ${length} bytes, more than maxRequest (${maxRequest})`, { operation, length, limit: maxRequest });

    const stored = shared && ownKey === undefined;
    const at = ownKey === undefined ? id : `=${ownKey}`;
    const known = stored ? await load(flight, call, deadline) : (allKnown.get(at) ?? newKey(id, client, ownKey));
    flight.signal.throwIfAborted();
    const { record } = known;
    const { key } = record;
    known.final = false;
    flight.key = key;
    if (stored || ownKey !== undefined) allKnown.set(at, known);

    const [reply, disposition] = await retry(withKey(request, client, key), client, call, flight, known, deadline);
    const isFinal = disposition === "final";
    if (isFinal) {
      // The operation is over: from now on, an unmarked rejection is not its response.
      known.final = known.inDoubt = true;
      if (!stored || !named) allKnown.delete(at);
      if (stored) await (named ? ask(() => storage.settle(id, key, clock.now())).catch(ignore) : remove(record));
      flight.tell({ type: "settled", operation, key });
    }
    if (isFinal && !named && shared && reply.bytes && call.linger) later(call.linger, () => end(flight));
    else end(flight);
    return [reply, flight.outcome(disposition, isReplay(reply.response))];
  };

  /** What is left behind goes away by and by, and no call waits for that. */
  const sweepNowAndThen = async (): Promise<void> => {
    if (clock.elapsed() - lastSweep < SWEEP_INTERVAL) return;
    lastSweep = clock.elapsed();
    for (const [at, known] of allKnown) if (isOver(known, known.record.operation.startsWith("named"), client)) allKnown.delete(at);
    for (const record of await list()) {
      for (const named of [true, false]) {
        if (labelIn(record.operation, named, user()) !== undefined && (gone.has(record.key) || isOver(resumed(record), named, client))) await storage.remove(record.operation, record.key);
      }
    }
  };

  return {
    async perform(request, identity, ownKey, call, signal) {
      const { id, label: operation } = identity;
      const before = flights.get(id);
      if (before?.identity.fingerprint === identity.fingerprint) {
        tell(call.onProgress, { type: "joined", operation });
        return before.join(signal, call.onProgress);
      }
      const flight = new Flight(identity, () => end(flight));
      if (before) throw note(new OperationMismatchError("another request is in flight under the same name", { operation }), flight.outcome());
      flights.set(id, flight);
      const response = flight.begin(() => run(flight, request, ownKey, call), signal, call.onProgress);
      sweepNowAndThen().catch(ignore);
      return response;
    },
    async pending() {
      const records = new Map((await serving(undefined, list)).map((record) => [record.operation, record]));
      for (const [id, { record, final }] of allKnown) if (!final && !records.has(id)) records.set(id, record);
      return [...records].flatMap(([id, { key, createdAt, settledAt }]) =>
        [true, false].flatMap((named) => {
          const operation = labelIn(id, named, user());
          return operation === undefined || settledAt !== undefined ? [] : [{ operation, named, key, createdAt: new Date(createdAt) }];
        }),
      );
    },
    async finish(name) {
      const id = idOf(true, user(), name);
      const record = await storedUnder(id, name);
      const known = allKnown.get(id);
      const final = known && (!record || record.key === known.record.key) ? known.final : record?.settledAt !== undefined;
      if (!final || flights.has(id)) return false;
      await drop(id, name, record);
      return true;
    },
    async forget(label) {
      for (const named of [true, false]) {
        const id = idOf(named, user(), label);
        await drop(id, label, await storedUnder(id, label));
        // What lingers is over; what is in flight goes on.
        if (flights.get(id)?.isOver) flights.delete(id);
        for (const [at, { record }] of allKnown) if (record.operation === id) allKnown.delete(at);
      }
    },
  };
}

function storageError(operation: string | undefined, cause: unknown): KeyStorageError {
  return new KeyStorageError("the storage of keys does not work", { operation, cause });
}

function ignore(): void {}

/** In milliseconds. */
const SWEEP_INTERVAL = 600_000;

/** Does something after so many milliseconds, if the process still runs then. */
function later(milliseconds: number, step: () => void): void {
  const timer: unknown = setTimeout(step, Math.min(milliseconds, LONGEST_TIMER));
  (timer as { unref?(): void }).unref?.();
}
