import type { Answer } from "./answer.js";
import { LONGEST_TIMER } from "./clock.js";
import { OperationMismatchError } from "./errors.js";
import { tell } from "./events.js";
import { Flight } from "./flight.js";
import { namedId, parseId, unnamedId, type Identity } from "./identity.js";
import { withKey } from "./key-header.js";
import { isExpired, keyFor, sweep } from "./keys.js";
import type { CallSettings, ClientSettings } from "./options.js";
import { repeat } from "./repeat.js";
import type { Repeatable } from "./request.js";
import type { KeyRecord } from "./storage/types.js";

/** An operation of which nobody knows yet how it ended. */
export interface PendingOperation {
  /** Its name, or `sha256:` and the digest that stands for it. */
  operation: string;
  /** Whether `operation` is a name that the application gave. */
  named: boolean;
  key: string;
  createdAt: Date;
}

/** All operations of one client: those under way, and those whose keys are kept. */
export class Operations {
  readonly #flights = new Map<string, Flight>();
  /** Keys under which this client has sent what it had no answer to. Another tab that had one may have removed them from the storage. */
  readonly #unsure = new Map<string, KeyRecord>();
  #lastSweep = -Infinity;

  constructor(readonly client: ClientSettings) {}

  /** Has an operation done, or joins it if it is under way or was answered a moment ago. */
  perform(request: Repeatable, identity: Identity, ownKey: string | undefined, call: CallSettings, signal: AbortSignal | undefined): Promise<Response> {
    const before = this.#flights.get(identity.id);
    if (before?.identity.fingerprint === identity.fingerprint) {
      tell(call.onProgress, { type: "joined", operation: identity.label });
      return before.join(signal, call.onProgress);
    }
    if (before?.isUnderWay) return Promise.reject(new OperationMismatchError(identity.label));

    const flight = new Flight(identity, (deserted) => this.#end(deserted));
    this.#flights.set(identity.id, flight);
    const response = flight.join(signal, call.onProgress);
    // Another request under a name whose answer lingers goes out under its key, and the server refuses it: a changed amount, or a new
    // credential, in the second click of a double click must not make a second payment.
    this.#run(flight, request, ownKey, call).catch((error: unknown) => {
      this.#end(flight);
      flight.fail(error);
    });
    this.#sweepNowAndThen(call.linger);
    return response;
  }

  /** The operations of this client's scope whose answer is not certain. */
  async pending(): Promise<PendingOperation[]> {
    const records = await this.client.storage.list();
    return records.flatMap(({ operation, key, createdAt, settledAt }) => {
      const of = settledAt === undefined ? parseId(this.client.scope, operation) : undefined;
      return of ? [{ operation: of.label, named: of.named, key, createdAt: new Date(createdAt) }] : [];
    });
  }

  /** Drops the key of an operation. */
  async forget(label: string): Promise<void> {
    const { scope } = this.client;
    for (const id of [namedId(scope, label), unnamedId(scope, label)]) {
      const flight = this.#flights.get(id);
      if (flight && !flight.isUnderWay) this.#end(flight);
      this.#unsure.delete(id);
      await this.#forget(id);
    }
  }

  async #run(flight: Flight, request: Repeatable, ownKey: string | undefined, call: CallSettings): Promise<void> {
    const { client } = this;
    const { id, label: operation } = flight.identity;
    const record = ownKey === undefined ? await keyFor(flight.identity, client, call.linger, this.#unsure.get(id)) : undefined;
    const key = ownKey ?? record!.key;
    const { trouble } = client.storage;
    if (trouble) flight.tell({ type: "storage-unavailable", operation, error: trouble.error });
    flight.signal.throwIfAborted();

    if (record) this.#unsure.set(id, record);
    const about = { operation, key, tell: flight.tell.bind(flight) };
    const answer = await repeat(withKey(request, client.header, key), client, call, about, flight.signal);
    if (record && answer.conclusion !== "again") this.#unsure.delete(id);
    if (answer.conclusion === "definitive") {
      if (ownKey === undefined) await this.#settle(id, key, call.linger);
      flight.tell({ type: "settled", operation, key });
    }
    if (!this.#lingers(answer, call.linger)) this.#end(flight);
    else later(call.linger, () => this.#end(flight));
    flight.deliver(answer);
  }

  /** Marks a key as one that has served, and removes it now or a little later. */
  async #settle(id: string, key: string, linger: number): Promise<void> {
    const { storage, clock } = this.client;
    if (linger <= 0) return storage.remove(id, key);
    await storage.settle(id, key, clock.now());
    later(linger, () => void storage.remove(id, key));
  }

  #lingers(answer: Answer, linger: number): boolean {
    return linger > 0 && answer.conclusion === "definitive" && answer.isWhole;
  }

  #end(flight: Flight): void {
    if (this.#flights.get(flight.identity.id) === flight) this.#flights.delete(flight.identity.id);
  }

  async #forget(id: string): Promise<void> {
    const record = await this.client.storage.get(id);
    if (record) await this.client.storage.remove(id, record.key);
  }

  /** What is left behind goes away by and by, and no call waits for that. */
  #sweepNowAndThen(linger: number): void {
    const now = this.client.clock.elapsed();
    if (now - this.#lastSweep < SWEEP_INTERVAL) return;
    this.#lastSweep = now;
    sweep(this.client, linger).catch(() => {});
    const { scope, retention, clock } = this.client;
    for (const [id, record] of this.#unsure) if (!parseId(scope, id)?.named && isExpired(record, retention, clock)) this.#unsure.delete(id);
  }
}

/** In milliseconds. */
const SWEEP_INTERVAL = 10 * 60 * 1000;

/** Does something after so many milliseconds, if the process still runs then. */
function later(milliseconds: number, step: () => void): void {
  const timer: unknown = setTimeout(step, Math.min(milliseconds, LONGEST_TIMER));
  if (typeof timer === "object" && timer !== null && "unref" in timer) (timer as { unref(): void }).unref();
}
