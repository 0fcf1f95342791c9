import { concat, sha256, utf8 } from "./digest.js";

/**
 * A period in which the same request is the same operation. Windows of one length follow each other
 * from 1970 on (UTC).
 */
export interface TimeWindow {
  /** The length of the window, in whole milliseconds; at least 1. */
  length: number;
  /** A moment in the window, as a `Date` or in milliseconds since 1970. Default: now. */
  at?: number | Date;
}

/**
 * Derives the key of an operation from the operation itself, so that a client that has lost its
 * data derives the same key again.
 *
 * Two calls return the same key only if user, action, window and payload are all equal. The server
 * treats two such operations as one. If they are different, put the difference into the action or
 * the payload, for example the number of an order or the line of a batch. A retry in the next
 * window is a new operation.
 *
 * The construction: the key is lower-case hexadecimal SHA-256 over the label `tower-idempotency
 * derived key v1`, a zero byte, and four fields: `user`, `action`, the window, `payload`. Each
 * field follows its length in bytes, an unsigned 64-bit big-endian number. The window is 16 bytes:
 * its length and its index as two such numbers, both zero for `null`. Text is its UTF-8 bytes. The
 * Rust client derives the same keys.
 *
 * @throws TypeError if a text is not well-formed Unicode (a lone surrogate), because other
 * languages cannot encode it.
 * @throws RangeError if the length of the window is not a whole number of milliseconds from 1 on,
 * or its moment is not a number.
 */
export async function deriveKey(
  user: string,
  action: string,
  window: TimeWindow | null,
  payload: string | ArrayBuffer | Uint8Array,
): Promise<string> {
  const fields = [user, action, windowBytes(window), payload instanceof ArrayBuffer ? new Uint8Array(payload) : payload];
  if (fields.some((text) => typeof text === "string" && /\p{Surrogate}/u.test(text))) throw new TypeError("the text is not well-formed Unicode");
  const framed = fields.map((field) => (typeof field === "string" ? utf8(field) : field)).flatMap((bytes) => [u64(bytes.byteLength), bytes]);
  return sha256([utf8("tower-idempotency derived key v1\0"), ...framed]);
}

/** A number as eight big-endian bytes. */
function u64(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value));
  return bytes;
}

function windowBytes(window: TimeWindow | null): Uint8Array {
  if (!window) return new Uint8Array(16);
  const { length, at = Date.now() } = window;
  // A moment before 1970 is in the first window, as for the Rust client.
  const moment = Math.max(Math.floor(Number(at)), 0);
  if (!Number.isSafeInteger(length) || length < 1 || !Number.isFinite(moment)) throw new RangeError("a window is whole milliseconds long, and its moment a number");
  return concat([u64(length), u64((moment - (moment % length)) / length)]);
}
