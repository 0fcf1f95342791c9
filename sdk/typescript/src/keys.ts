import { KeyExpiredError } from "./errors.js";
import type { ClientSettings } from "./options.js";
import type { KeyRecord } from "./storage/types.js";

/** What this client knows about a key. */
export interface Known {
  record: KeyRecord;
  /** Whether an attempt under this key may have had an effect. */
  inDoubt: boolean;
  /** Whether the last call had a final response. */
  final: boolean;
}

/** A key that this client has not sent yet. */
export function newKey(operation: string, { clock, retention }: ClientSettings, key: string = crypto.randomUUID()): Known {
  return { record: { operation, key, createdAt: clock.now(), retention }, inDoubt: false, final: false };
}

/** A key whose history is not known. */
export function resumed(record: KeyRecord): Known {
  return { record, inDoubt: true, final: record.settledAt !== undefined };
}

/**
 * Whether a new key may replace an expired one. The key of a named operation without a final
 * response is never replaced.
 */
export function isOver({ record, final }: Known, named: boolean, { clock, retention }: ClientSettings): boolean {
  return (final || !named) && clock.now() - record.createdAt >= (record.retention ?? retention);
}

/**
 * Why a key must not be sent: the server may have forgotten it, or its age is not known.
 */
export function staleness({ createdAt }: KeyRecord, { clock, retention }: ClientSettings): "retention" | "clock" | undefined {
  const age = clock.now() - createdAt;
  return age >= retention ? "retention" : age < -CLOCK_SLACK ? "clock" : undefined;
}

export function expired(operation: string, record: KeyRecord, reason: "retention" | "clock"): KeyExpiredError {
  const createdAt = new Date(record.createdAt);
  const why = reason === "clock" ? "ahead of this clock" : "longer ago than `retention`";
  return new KeyExpiredError(`the stored key is dated ${createdAt.toISOString()}, ${why}`, { operation, key: record.key, createdAt, reason });
}

/**
 * How far ahead of the clock a key may be dated, in milliseconds. Corrections are usually smaller.
 */
const CLOCK_SLACK = 5 * 60_000;
