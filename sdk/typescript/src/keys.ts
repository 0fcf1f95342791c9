import type { Clock } from "./clock.js";
import { KeyExpiredError } from "./errors.js";
import { parseId, type Identity } from "./identity.js";
import type { ClientSettings } from "./options.js";
import type { KeyRecord } from "./storage/types.js";
import { uuidv7 } from "./uuidv7.js";

/**
 * The key of an operation: the one that is kept; else `unsure`, the one that this client has used without learning what came of it; else a
 * new one. It is kept from now on.
 *
 * @throws KeyExpiredError if the kept one is of a named operation and older than the server remembers keys.
 */
export async function keyFor(identity: Identity, client: ClientSettings, linger: number, unsure: KeyRecord | undefined): Promise<KeyRecord> {
  const { storage, clock, retention } = client;
  const now = clock.now();
  const mine = unsure && !isExpired(unsure, retention, clock) ? unsure : undefined;
  if (unsure && !mine && identity.named) throw expiry(identity, unsure);
  const fresh: KeyRecord = mine ?? { operation: identity.id, key: uuidv7(now), createdAt: now };
  // Between a removal and the next try, another tab can be faster; but not for ever.
  for (let tries = 0; tries < 5; tries++) {
    const kept = await storage.putIfAbsent(fresh);
    if (kept.key === fresh.key) break;
    const expired = isExpired(kept, retention, clock);
    if (!isSpent(kept, linger, clock)) {
      if (!expired) return kept;
      if (identity.named) throw expiry(identity, kept);
    }
    await storage.remove(kept.operation, kept.key);
  }
  return fresh;
}

/** Removes what nobody will ask for again: settled keys, and those of unnamed operations that are too old. */
export async function sweep(client: ClientSettings, linger: number): Promise<void> {
  for (const record of await client.storage.list()) {
    const of = parseId(client.scope, record.operation);
    const stale = of && !of.named && isExpired(record, client.retention, client.clock);
    if (stale || (of && isSpent(record, linger, client.clock))) await client.storage.remove(record.operation, record.key);
  }
}

/** Whether the key has served, and its answer is no longer given to the same operation. */
function isSpent(record: KeyRecord, linger: number, clock: Clock): boolean {
  if (record.settledAt === undefined) return false;
  const age = clock.now() - record.settledAt;
  // An answer from well in the future tells of a clock that was set back, not of a double click.
  return age >= linger || age < -CLOCK_SLACK;
}

/** Whether the server may have forgotten the key. */
export function isExpired(record: KeyRecord, retention: number, clock: Clock): boolean {
  return clock.now() - record.createdAt >= retention;
}

/** By how much clocks that are set right may move, in milliseconds. */
const CLOCK_SLACK = 5 * 60_000;

function expiry(identity: Identity, { key, createdAt }: KeyRecord): KeyExpiredError {
  return new KeyExpiredError(identity.label, key, new Date(createdAt));
}
