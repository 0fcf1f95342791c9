import { LONGEST_TIMER } from "./clock.js";
import { isReplay } from "./disposition.js";
import { KeyStorageError, OperationMismatchError, RequestTooLargeError } from "./errors.js";
import { tell } from "./events.js";
import { Flight } from "./flight.js";
import { idOf, labelIn, type Identity } from "./identity.js";
import { withKey } from "./key-header.js";
import { isOver, newKey, resumed, type Known } from "./keys.js";
import type { CallSettings, ClientSettings } from "./options.js";
import { note, type Outcome, type PendingOperation } from "./outcome.js";
import type { Reply } from "./reply.js";
import type { Outgoing } from "./request.js";
import { retry } from "./retry.js";
import { ask } from "./storage/ask.js";
import { isKeyRecord, recordOf, type KeyRecord } from "./storage/types.js";

/** All operations of one client: those in flight, and those whose keys are stored. */
export interface Operations {
  /** Performs an operation, or joins it if it is in flight or had its response a moment ago. */
  perform(request: Outgoing, identity: Identity, ownKey: string | undefined, call: CallSettings, signal: AbortSignal | undefined): Promise<Response>;
  pending(): Promise<PendingOperation[]>;
  finish(name: string): Promise<boolean>;
  forget(label: string): Promise<void>;
}

export function operationsOf(client: ClientSettings): Operations {
  const { storage, clock, user, maxRequest } = client;
  const flights = new Map<string, Flight>();
  /**
   * The keys that this client has used. Another tab may have removed them from the storage.
   */
  const allKnown = new Map<string, Known>();
  let lastSweep = -Infinity;

  const end = (flight: Flight): void => {
    if (flights.get(flight.identity.id) === flight) flights.delete(flight.identity.id);
  };
  const list = async (): Promise<KeyRecord[]> => Array.from(await storage.list()).filter(isKeyRecord);
  const serving = <T>(operation: string | undefined, step: () => Promise<T>): Promise<T> =>
    ask(step).catch((cause: unknown) => {
      throw storageError(operation, cause);
    });
  /** Keys of unnamed operations that are over. The storage may have failed to remove them. */
  const gone = new Set<string>();
  /**
   * Removes the key of an operation that is over. If this fails, the next call or a sweep removes
   * it. Returns whether the storage has replied.
   */
  const remove = ({ operation, key }: KeyRecord, unlessShared = false): Promise<boolean> => {
    if (!unlessShared) gone.add(key);
    return ask(() => storage.remove(operation, key, unlessShared)).then(() => (gone.delete(key), true), () => false);
  };
  const isUsable = (known: Known, named: boolean): boolean => !gone.has(known.record.key) && !isOver(known, named, client);
  /** The history of a stored key, as far as this client knows it. */
  const knownOf = (record: KeyRecord): Known => {
    const known = allKnown.get(record.operation);
    return known?.record.key === record.key ? known : resumed(record);
  };

  /**
   * The key of an operation: the stored one, else the one that this client has used without a final
   * response, else a new one. It is stored when this resolves, unless the client continues in
   * memory.
   *
   * The history of a key from another page or process is not known, so it is in doubt. Nothing has
   * been sent yet, so a wait for the storage is cheap.
   */
  const load = async (flight: Flight, call: CallSettings, deadline: number): Promise<Known> => {
    const { signal, identity: { id, label: operation, named } } = flight;
    const waiting = (error: unknown, delay: number): void => flight.tell({ type: "storage-waiting", delay, error });
    const patience = named && !client.riskSecondEffectWithoutStorage ? { clock, call, deadline, signal, waiting } : undefined;
    const before = allKnown.get(id);
    const mine = before && isUsable(before, named) ? before : undefined;
    const fresh = mine && !mine.final ? mine : newKey(id, client);
    // A put that takes too long may still store the key, so that the next call must use it too.
    if (!named) allKnown.set(id, fresh);
    // Another tab can store a key between a removal and the next try, so there are several tries.
    try {
      for (let tries = 0; tries < 5; tries++) {
        const record = await ask(async () => recordOf(id, await storage.putIfAbsent(fresh.record)), patience);
        if (record.key === fresh.record.key) return fresh;
        const known = knownOf(record);
        if (!isUsable(known, named)) await remove(record);
        // The storage failed before, and another page has stored a key since. The own key may have
        // had an effect.
        else if (fresh.inDoubt && !named) return fresh;
        // The page that made the key must not remove it after a rejection that only it got. On a
        // full disk the mark cannot be written, and the client still sends the key.
        else if (known === before || (await ask(() => storage.mark(id, record.key, { shared: true })).catch(() => true))) return known;
      }
      throw new Error("an old key stays");
    } catch (error) {
      signal.throwIfAborted();
      if (patience) throw storageError(operation, error);
      flight.tell({ type: "storage-unavailable", error });
      return mine ?? fresh;
    }
  };

  /**
   * Removes the key of an operation. With `onlyFinal`, it removes it only after a final outcome.
   */
  const drop = async (named: boolean, label: string, onlyFinal: boolean): Promise<boolean> => {
    const id = idOf(named, user(), label);
    const record = (await serving(label, list)).find(({ operation }) => operation === id);
    const known = record ? knownOf(record) : allKnown.get(id);
    if (onlyFinal && (!known?.final || flights.has(id))) return false;
    if (record && !(await serving(label, () => storage.remove(id, record.key, onlyFinal && !known!.inDoubt)))) return false;
    for (const [at, { record }] of allKnown) if (record.operation === id) allKnown.delete(at);
    // A response that lingers is removed. An operation in flight continues.
    if (flights.get(id)?.isFinal) flights.delete(id);
    return true;
  };

  const run = async (flight: Flight, request: Outgoing, ownKey: string | undefined, call: CallSettings): Promise<[Reply, Outcome]> => {
    const { id, named, shared } = flight.identity;
    const deadline = clock.elapsed() + call.totalTimeout;
    const length = request.body?.byteLength ?? 0;
    if (length > maxRequest) throw new RequestTooLargeError("the body is longer than maxRequest", { ...flight.about, length, limit: maxRequest });

    const stored = shared && ownKey === undefined;
    const at = ownKey === undefined ? id : `=${ownKey}`;
    const known = stored ? await load(flight, call, deadline) : (allKnown.get(at) ?? { ...newKey(id, client, ownKey), inDoubt: !!ownKey });
    flight.signal.throwIfAborted();
    const { record, record: { key } } = known;
    known.final = false;
    flight.known = known;
    if (stored || ownKey !== undefined) allKnown.set(at, known);

    const [reply, disposition] = await retry(withKey(request, client, key), client, call, flight, known, deadline);
    const isFinal = disposition === "final";
    if (isFinal) {
      known.final = flight.isFinal = true;
      // A first rejection may come from another server. The key may still have an effect, by
      // another page or a later call. So it is not settled, and not removed if it is shared. If the
      // storage fails to remove it, it is used again, because a new key could not be stored.
      if (!named && stored && !(await remove(record, !known.inDoubt)) && !known.inDoubt) known.final = false;
      else if (!named || !stored) allKnown.delete(at);
      else if (known.inDoubt) await ask(() => storage.mark(id, key, { settledAt: clock.now() })).catch(ignore);
      flight.tell({ type: "settled" });
    }
    if (isFinal && !named && shared && reply.bytes && call.linger) later(call.linger, () => end(flight));
    else end(flight);
    return [reply, flight.outcome(disposition, isReplay(reply.response))];
  };

  /** Removes stale keys from time to time. No call waits for it. */
  const sweepNowAndThen = async (): Promise<void> => {
    if (clock.elapsed() - lastSweep < SWEEP_INTERVAL) return;
    lastSweep = clock.elapsed();
    const isStale = (known: Known): boolean => !isUsable(known, known.record.operation.startsWith("named"));
    for (const record of await list()) if (isStale(knownOf(record))) await remove(record);
    for (const [at, known] of allKnown) if (isStale(known)) allKnown.delete(at);
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
      const stored = await serving(undefined, list);
      const left = stored.filter(({ key }) => !gone.has(key)).map(knownOf);
      const all = new Map([...allKnown.values(), ...left].map((known) => [known.record.operation, known]));
      return [...all.values()].flatMap(({ record, final }) =>
        [true, false].flatMap((named) => {
          const operation = labelIn(record.operation, named, user());
          return operation === undefined || final ? [] : [{ operation, named, key: record.key, createdAt: new Date(record.createdAt) }];
        }),
      );
    },
    finish: (name) => drop(true, name, true),
    async forget(label) {
      for (const named of [true, false]) await drop(named, label, false);
    },
  };
}

function storageError(operation: string | undefined, cause: unknown): KeyStorageError {
  return new KeyStorageError("the storage of keys failed", { operation, cause });
}

function ignore(): void {}

/** In milliseconds. */
const SWEEP_INTERVAL = 600_000;

/** Runs a step after this many milliseconds, if the process still runs. */
function later(milliseconds: number, step: () => void): void {
  const timer: unknown = setTimeout(step, Math.min(milliseconds, LONGEST_TIMER));
  (timer as { unref?(): void }).unref?.();
}
