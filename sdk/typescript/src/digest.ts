/**
 * SHA-256 over fields, each behind its length, as lower-case hexadecimal digits: no two lists of
 * fields give the same bytes.
 */
export async function digestOf(label: string, fields: readonly (string | Uint8Array)[]): Promise<string> {
  const parts: Uint8Array[] = [utf8(`${label}\0`)];
  for (const field of fields) {
    const bytes = typeof field === "string" ? utf8(field) : field;
    parts.push(u64(bytes.byteLength), bytes);
  }
  return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", concat(parts))));
}

/** A number as eight bytes, the most significant first. */
export function u64(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value));
  return bytes;
}

/** Text as its UTF-8 bytes, as it is: nothing is normalised. */
export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** The bytes of all parts, one behind the other. */
export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.byteLength, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.byteLength;
  }
  return whole;
}

/** Lower-case hexadecimal digits. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
