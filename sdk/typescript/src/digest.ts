/**
 * SHA-256 over fields, as lower-case hexadecimal digits. Each field follows its length in bytes, so
 * that different lists of fields never give the same bytes.
 */
export async function digestOf(label: string, fields: readonly (string | Uint8Array)[]): Promise<string> {
  const parts = fields.flatMap((field) => {
    const bytes = typeof field === "string" ? utf8(field) : field;
    return [utf8(`${bytes.byteLength}:`), bytes];
  });
  return sha256([utf8(`${label}\0`), ...parts]);
}

/** SHA-256 over the concatenated parts, as lower-case hexadecimal digits. */
export async function sha256(parts: readonly Uint8Array[]): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", concat(parts)));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The UTF-8 bytes of a text, without normalization. */
export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** The concatenated bytes of all parts. */
export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.byteLength, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.byteLength;
  }
  return whole;
}
