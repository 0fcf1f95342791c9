import { KeyExpiredError } from "./errors.js";
import type { Identity } from "./identity.js";
import type { ClientSettings } from "./options.js";
import type { KeyRecord } from "./storage/types.js";
import { uuidv7 } from "./uuidv7.js";

/** What this client knows about a key. */
export interface Known {
  record: KeyRecord;
  /** An attempt under this key may have had an effect. */
  inDoubt: boolean;
  /** The last call had a final response. */
  final: boolean;
}

/**
 * The key of an operation: the stored one, else the one that this client has used without a final response, else a new one. It is stored from
 * now on. The history of a key that another page or process stored is not known: it is in doubt.
 *
 * @throws KeyExpiredError if the stored one cannot be used.
 */
export async function loadKey(identity: Identity, client: ClientSettings, linger: number, mine: Known | undefined, put: (record: KeyRecord) => Promise<KeyRecord>, remove: (record: KeyRecord) => Promise<unknown>): Promise<Known> {
  const { id, named, label } = identity;
  const isOver = (record: KeyRecord): boolean => (mine?.final && mine.record.key === record.key && !named) || over(record, named, linger, client);
  const known = mine && !isOver({ ...mine.record, ...(mine.final && { settledAt: client.clock.now() }) }) ? mine : newKey(id, client);
  // Between a removal and the next try, another tab can be faster; but not for ever.
  for (let tries = 0; tries < 5; tries++) {
    const stored = await put(known.record);
    if (stored.key === known.record.key) break;
    if (!isOver(stored)) {
      const stale = staleness(stored, client);
      if (stale) throw expiry(label, stored, stale);
      return { record: stored, inDoubt: true, final: false };
    }
    await remove(stored);
  }
  return known;
}

/** A key that no request of this client has carried yet. */
export function newKey(operation: string, { clock }: ClientSettings, key = uuidv7(clock.now())): Known {
  return { record: { operation, key, createdAt: clock.now() }, inDoubt: false, final: false };
}

/** Whether the next call of the operation takes a new key. */
export function over(record: KeyRecord, named: boolean, linger: number, client: ClientSettings): boolean {
  const expired = staleness(record, client) === "retention";
  if (record.settledAt === undefined || named) return expired && !(named && record.settledAt === undefined);
  const age = client.clock.now() - record.settledAt;
  // A response from well in the future tells of a clock that was set back, not of a double click.
  return expired || age >= linger || age < -CLOCK_SLACK;
}

/** Why a key must not be sent any more: the server may have forgotten it, or its age cannot be known. */
export function staleness({ createdAt }: KeyRecord, { clock, retention }: ClientSettings): "retention" | "clock" | undefined {
  const age = clock.now() - createdAt;
  return age >= retention ? "retention" : age < -CLOCK_SLACK ? "clock" : undefined;
}

export function expiry(operation: string, { key, createdAt }: KeyRecord, reason: "retention" | "clock"): KeyExpiredError {
  return new KeyExpiredError(operation, key, new Date(createdAt), reason);
}

/** By how much clocks that are set right may move, in milliseconds. */
const CLOCK_SLACK = 5 * 60_000;
