import type { ClientSettings } from "./options.js";
import type { Outgoing } from "./request.js";

/**
 * The key that headers carry, under the client's own name for it or one of the two that servers
 * know; or `null`.
 */
export function keyIn(headers: Headers, header: string): string | null {
  return headers.get(header) ?? headers.get("X-Idempotency-Key") ?? headers.get("Idempotency-Key");
}

/** The request with a key. One that it carries already stays as it is. */
export function withKey(request: Outgoing, { header, quoted }: ClientSettings, key: string): Outgoing {
  if (keyIn(request.headers, header) !== null) return request;
  const headers = new Headers(request.headers);
  headers.set(header, quoted ? `"${key.replace(/["\\]/g, "\\$&")}"` : key);
  return { ...request, headers };
}
