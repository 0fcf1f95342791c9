import { hex } from "./digest.js";

/**
 * Makes a UUID of version 7 (RFC 9562, section 5.7): 48 bits of time, so that keys made later sort
 * later, and 74 random bits.
 *
 * @param now milliseconds since 1970; default: now.
 */
export function uuidv7(now: number = Date.now()): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = 0x70 | (bytes[6]! & 0x0f);
  bytes[8] = 0x80 | (bytes[8]! & 0x3f);
  const digits = Math.floor(now).toString(16).padStart(12, "0") + hex(bytes).slice(12);
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
