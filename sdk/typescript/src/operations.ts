import { LONGEST_TIMER } from "./clock.js";
import { KeyStorageError, OperationMismatchError, RequestTooLargeError } from "./errors.js";
import { tell } from "./events.js";
import { Flight } from "./flight.js";
import { idOf, parseId, type Identity } from "./identity.js";
import { withKey } from "./key-header.js";
import { loadKey, newKey, over, staleness, type Known } from "./keys.js";
import type { CallSettings, ClientSettings } from "./options.js";
import type { Repeatable } from "./request.js";
import { retry } from "./retry.js";
import { ask, type Patience } from "./storage/ask.js";
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
export class Operations {
  readonly #flights = new Map<string, Flight>();
  /** What this client knows about keys that it has used. Another tab may have removed them from the storage meanwhile. */
  readonly #known = new Map<string, Known>();
  #lastSweep = -Infinity;

  constructor(readonly client: ClientSettings) {}

  /** Has an operation done, or joins it if it is in flight or had its response a moment ago. */
  perform(request: Repeatable, identity: Identity, ownKey: string | undefined, call: CallSettings, signal: AbortSignal | undefined): Promise<Response> {
    const before = this.#flights.get(identity.id);
    if (before?.identity.fingerprint === identity.fingerprint) {
      tell(call.onProgress, { type: "joined", operation: identity.label });
      return before.join(signal, call.onProgress);
    }
    const flight = new Flight(identity, (deserted) => this.#end(deserted));
    const response = flight.join(signal, call.onProgress);
    if (before) {
      flight.fail(new OperationMismatchError(identity.label));
      return response;
    }
    this.#flights.set(identity.id, flight);
    this.#run(flight, request, ownKey, call).catch((error: unknown) => {
      this.#end(flight);
      flight.fail(error);
    });
    this.#sweepNowAndThen(call.linger);
    return response;
  }

  /** The operations of this client's user whose outcome is not certain. */
  async pending(): Promise<PendingOperation[]> {
    const { storage, user } = this.client;
    const records = new Map(Array.from(await serving(undefined, () => storage.list())).filter(isKeyRecord).map((record) => [record.operation, record]));
    for (const [id, { record, final }] of this.#known) if (!final && !records.has(id)) records.set(id, record);
    return [...records].flatMap(([id, { key, createdAt, settledAt }]) => {
      const of = settledAt === undefined ? parseId(user(), id) : undefined;
      return of ? [{ operation: of.label, named: of.named, key, createdAt: new Date(createdAt) }] : [];
    });
  }

  /** Drops the key of a named operation if its outcome was final. */
  async finish(name: string): Promise<boolean> {
    const id = idOf(true, this.client.user(), name);
    const record = await this.#stored(id, name);
    const known = this.#known.get(id);
    const final = known && (!record || record.key === known.record.key) ? known.final : record?.settledAt !== undefined;
    if (!final || this.#flights.has(id)) return false;
    await this.#drop(id, name, record);
    return true;
  }

  /** Drops the key of an operation. */
  async forget(label: string): Promise<void> {
    for (const named of [true, false]) {
      const id = idOf(named, this.client.user(), label);
      const flight = this.#flights.get(id);
      if (flight?.isOver) this.#end(flight);
      await this.#drop(id, label, await this.#stored(id, label));
      for (const [at, { record }] of this.#known) if (record.operation === id) this.#known.delete(at);
    }
  }

  async #run(flight: Flight, request: Repeatable, ownKey: string | undefined, call: CallSettings): Promise<void> {
    const { client } = this;
    const { clock } = client;
    const { id, label: operation, named, shared } = flight.identity;
    const deadline = clock.elapsed() + call.totalTimeout;
    const length = request.body?.byteLength ?? 0;
    if (length > client.maxRequest) throw new RequestTooLargeError(operation, length, client.maxRequest);

    const stored = shared && ownKey === undefined;
    const at = ownKey === undefined ? id : `=${ownKey}`;
    const before = this.#known.get(at);
    const known = stored ? await this.#load(flight, call, deadline, before) : (before ?? newKey(id, client, ownKey));
    flight.signal.throwIfAborted();
    known.final = false;
    if (stored || ownKey !== undefined) this.#known.set(at, known);
    const { key } = known.record;
    flight.key = key;

    const [reply, disposition] = await retry(withKey(request, client, key), client, call, flight, known, deadline);
    const linger = named || !shared || !reply.isWhole || disposition !== "final" ? 0 : call.linger;
    if (disposition === "final") {
      known.final = true;
      // The operation was done: from now on, an unmarked rejection is not its response.
      known.inDoubt = true;
      if (!stored) this.#known.delete(at);
      else await this.#settle(known, named, linger);
      flight.tell({ type: "settled", operation, key });
    }
    if (linger > 0) later(linger, () => this.#end(flight));
    else this.#end(flight);
    flight.deliver(reply, disposition);
  }

  /** The key of an operation, which is stored when this resolves. Nothing has been sent yet, so that waiting for the storage costs little. */
  #load(flight: Flight, call: CallSettings, deadline: number, known: Known | undefined): Promise<Known> {
    const { client } = this;
    const { storage, clock } = client;
    const { identity, signal } = flight;
    const { label: operation, named } = identity;
    const waiting = (error: unknown, delay: number): void => flight.tell({ type: "storage-waiting", operation, delay, error });
    const patience: Patience | undefined = named && !client.risk ? { clock, call, deadline, signal, waiting } : undefined;
    const put = async (record: KeyRecord): Promise<KeyRecord> => {
      try {
        return await ask(async () => recordOf(record.operation, await storage.putIfAbsent(record)), patience);
      } catch (error) {
        signal.throwIfAborted();
        if (patience) throw new KeyStorageError(operation, error);
        flight.tell({ type: "storage-unavailable", operation, error });
        return record;
      }
    };
    return loadKey(identity, client, call.linger, known, put, (record) => this.#remove(record));
  }

  /** Marks a key whose response is final; that of an unnamed operation is removed, now or a little later. */
  async #settle({ record }: Known, named: boolean, linger: number): Promise<void> {
    const { storage, clock } = this.client;
    const { operation, key } = record;
    if (named || linger > 0) await ask(() => storage.settle(operation, key, clock.now())).catch(() => {});
    if (named) return;
    if (linger > 0) later(linger, () => void this.#remove(record));
    else await this.#remove(record);
  }

  /** Removes the key of an unnamed operation. Where that fails, this client still knows that the key has served. */
  async #remove({ operation, key }: KeyRecord): Promise<void> {
    try {
      await ask(() => this.client.storage.remove(operation, key));
      if (this.#known.get(operation)?.record.key === key) this.#known.delete(operation);
    } catch {
      // The key is removed by the next call, or by a sweep.
    }
  }

  #stored(id: string, label: string): Promise<KeyRecord | undefined> {
    return serving(label, async () => {
      const record = await this.client.storage.get(id);
      return record == null ? undefined : recordOf(id, record);
    });
  }

  async #drop(id: string, label: string, record: KeyRecord | undefined): Promise<void> {
    if (record) await serving(label, () => this.client.storage.remove(id, record.key));
    this.#known.delete(id);
  }

  #end(flight: Flight): void {
    if (this.#flights.get(flight.identity.id) === flight) this.#flights.delete(flight.identity.id);
  }

  /** What is left behind goes away by and by, and no call waits for that. */
  #sweepNowAndThen(linger: number): void {
    const { client } = this;
    const now = client.clock.elapsed();
    if (now - this.#lastSweep < SWEEP_INTERVAL) return;
    this.#lastSweep = now;
    for (const [at, { record }] of this.#known) if (!record.operation.startsWith("named:") && staleness(record, client)) this.#known.delete(at);
    const sweep = async (): Promise<void> => {
      for (const record of await client.storage.list()) {
        const of = parseId(client.user(), record.operation);
        if (of && over(record, of.named, linger, client)) await client.storage.remove(record.operation, record.key);
      }
    };
    sweep().catch(() => {});
  }
}

/** Asks a storage once. */
async function serving<T>(operation: string | undefined, step: () => Promise<T>): Promise<T> {
  try {
    return await ask(step);
  } catch (error) {
    throw new KeyStorageError(operation, error);
  }
}

/** In milliseconds. */
const SWEEP_INTERVAL = 10 * 60 * 1000;

/** Does something after so many milliseconds, if the process still runs then. */
function later(milliseconds: number, step: () => void): void {
  const timer: unknown = setTimeout(step, Math.min(milliseconds, LONGEST_TIMER));
  if (typeof timer === "object" && timer !== null && "unref" in timer) (timer as { unref(): void }).unref();
}
