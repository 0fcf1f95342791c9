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
 * @param isGone whether a key has served, though the storage still has it.
 * @param put stores a record unless there is one, and resolves with the one that is stored then; with nothing if memory must do.
 * @throws KeyExpiredError if the stored one cannot be used.
 */
export async function loadKey({ id, named, label }: Identity, client: ClientSettings, mine: Known | undefined, isGone: (key: string) => boolean, put: Put, remove: (record: KeyRecord) => Promise<unknown>): Promise<Known> {
  const isUsable = (known: Known): boolean => !isGone(known.record.key) && !isOver(known, named, client);
  const fresh = mine && !mine.final && isUsable(mine) ? mine : newKey(id, client);
  // Between a removal and the next try, another tab can be faster; but not for ever.
  for (let tries = 0; tries < 5; tries++) {
    const record = await put(fresh.record);
    if (!record) return mine && isUsable(mine) ? mine : fresh;
    if (record.key === fresh.record.key) break;
    const known = record.key === mine?.record.key ? mine : resumed(record);
    if (isUsable(known)) {
      const stale = staleness(record, client);
      if (stale) throw expired(label, record, stale);
      return known;
    }
    await remove(record);
  }
  return fresh;
}

type Put = (record: KeyRecord) => Promise<KeyRecord | undefined>;

/** A key that no request of this client has carried yet. */
export function newKey(operation: string, { clock }: ClientSettings, key = uuidv7(clock.now())): Known {
  return { record: { operation, key, createdAt: clock.now() }, inDoubt: false, final: false };
}

/** A key whose history is not known. */
export function resumed(record: KeyRecord): Known {
  return { record, inDoubt: true, final: record.settledAt !== undefined };
}

/** Whether an expired key makes room for a new one. That of a named operation without a final response does not. */
export function isOver({ record, final }: Known, named: boolean, client: ClientSettings): boolean {
  return (final || !named) && staleness(record, client) === "retention";
}

/** Why a key must not be sent any more: the server may have forgotten it, or its age cannot be known. */
export function staleness({ createdAt }: KeyRecord, { clock, retention }: ClientSettings): "retention" | "clock" | undefined {
  const age = clock.now() - createdAt;
  return age >= retention ? "retention" : age < -CLOCK_SLACK ? "clock" : undefined;
}

export function expired(operation: string, record: KeyRecord, reason: "retention" | "clock"): KeyExpiredError {
  const createdAt = new Date(record.createdAt);
  const why = reason === "clock" ? "ahead of this clock" : "longer ago than `retention`";
  return new KeyExpiredError(`the stored key is dated ${createdAt.toISOString()}, ${why}`, { operation, key: record.key, createdAt, reason });
}

/** By how much clocks that are set right may move, in milliseconds. */
const CLOCK_SLACK = 5 * 60_000;
