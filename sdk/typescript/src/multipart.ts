import { digestOf } from "./digest.js";

/**
 * Replaces the boundary of a form by one that is made from its content. Platforms use a random
 * boundary, so a server that compares bytes would take the same form after a reload for another
 * request. A body that is not `multipart/form-data`, as a platform writes it, is not changed.
 */
export async function withSteadyBoundary(body: Uint8Array<ArrayBuffer>, type: string | null): Promise<{ body: Uint8Array<ArrayBuffer>; type: string | null }> {
  const boundary = /^multipart\/form-data;\s*boundary=("?)([^";\s]+)\1$/i.exec(type ?? "")?.[2];
  if (boundary === undefined) return { body, type };
  // One character for each byte.
  const text = Array.from(body, (byte) => String.fromCharCode(byte)).join("");
  // The platform has chosen the boundary so that no part contains it.
  const parts = text.split(`--${boundary}`);
  if (parts.length < 2) return { body, type };
  const steady = `tower-idempotency-${(await digestOf("tower-idempotency boundary v1", parts)).slice(0, 40)}`;
  return {
    body: Uint8Array.from(parts.join(`--${steady}`), (character) => character.charCodeAt(0)),
    type: `multipart/form-data; boundary=${steady}`,
  };
}
