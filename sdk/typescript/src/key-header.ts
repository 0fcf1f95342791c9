import type { ClientSettings } from "./options.js";
import type { Outgoing } from "./request.js";

/**
 * The key in the headers, under the name that the client is set to or one of the two standard
 * names. `null` without a key.
 */
export function keyIn(headers: Headers, header: string): string | null {
  return headers.get(header) ?? headers.get("X-Idempotency-Key") ?? headers.get("Idempotency-Key");
}

/** The request with a key. A key that it already has is not changed. */
export function withKey(request: Outgoing, { header, quoted }: ClientSettings, key: string): Outgoing {
  if (keyIn(request.headers, header) !== null) return request;
  const headers = new Headers(request.headers);
  headers.set(header, quoted ? `"${key.replace(/["\\]/g, "\\$&")}"` : key);
  return { ...request, headers };
}
