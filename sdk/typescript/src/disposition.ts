import { utf8 } from "./digest.js";

/**
 * The server's rules for keys: which header it reads, in which form, and which responses it stores.
 */
export type Profile = "default" | "ietf" | "stripe";

/**
 * What a response says about its operation:
 *
 * - `final`: the operation is over, and this is its response.
 * - `retry`: send the request again after a wait, under the same key.
 * - `unknown`: a retry does not help, and the key must not change. Either nothing happened, or the
 *   outcome is not known.
 */
export type Disposition = "final" | "retry" | "unknown";

/** The parts of a response that decide its disposition. */
export interface Judged {
  status: number;
  headers: { get(name: string): string | null };
  /** The body as text. Absent if it was not read. Only problem documents (RFC 9457) need it. */
  body?: string | null | undefined;
  /** Whether the transport followed a redirect to this response. */
  redirected?: boolean | undefined;
  /** Whether an earlier attempt under this key may have had an effect. */
  inDoubt?: boolean | undefined;
  profile?: Profile | undefined;
}

/**
 * Judges a response. The first rule that applies decides:
 *
 * 1. After a redirect, and for 0, 307, 308 and 421: unknown.
 * 2. `X-Should-Retry: true` or `Stripe-Should-Retry: true`: retry.
 * 3. Marked as a replay: final; 408 and 5xx are unknown.
 * 4. A problem document with a `code` that begins with `idempotency_`: by the code.
 * 5. A 409 that says not to retry: unknown. A 409 with `Retry-After`: retry.
 * 6. 408, 425, 429, 500, 502, 503, 504 and 520 to 530: retry, unless the server says not to. Other
 *   5xx: unknown.
 * 7. 2xx: final.
 * 8. In doubt: unknown.
 * 9. A status that means "nothing happened", whose response the server does not store: unknown.
 * 10. Everything else: final.
 */
export function dispositionOf(judged: Judged): Disposition {
  return judge(judged, problemOf(judged, judged.body));
}

/** Judges a response with a problem document that was read already. */
export function judge({ status, headers, redirected, inDoubt, profile = "default" }: Judged, problem: Problem): Disposition {
  if (redirected || status < 200 || NEVER_FINAL.test(`${status}`)) return "unknown";
  const shouldRetry = flag(headers, "x-should-retry") ?? flag(headers, "stripe-should-retry");
  if (shouldRetry) return "retry";
  const never = shouldRetry === false;
  const retry = never ? "unknown" : "retry";
  if (isReplay({ headers })) return status === 408 || status >= 500 ? "unknown" : "final";

  const temporary = TEMPORARY.test(`${status}`);
  const code = problem?.code;
  if (code === "idempotency_key_in_flight") return retry;
  if (code === NOT_RETAINED) return "final";
  if (status < 500 && !temporary && (problem === null || code?.startsWith("idempotency_"))) return "unknown";

  if (status === 409 && never) return "unknown";
  if (temporary || (status === 409 && headers.get("retry-after") !== null)) return retry;
  if (status >= 500) return "unknown";
  if (status < 300) return "final";
  return inDoubt || NOT_STORED[profile].test(`${status}`) ? "unknown" : "final";
}

/**
 * Whether a response that is not final leaves open what the server did. If this is `false`, the
 * server did nothing.
 */
export function beginsDoubt({ status, redirected }: Judged): boolean {
  return !!redirected || !NOT_STORED.default.test(`${status}`);
}

/** Whether a response is a replay of an earlier one. */
export function isReplay({ headers }: { headers: { get(name: string): string | null } }): boolean {
  return ["x-idempotent-result", "idempotent-replayed"].some((name) => flag(headers, name));
}

/** The media type of a body, in lower case and without its parameters. */
export function mediaType(headers: { get(name: string): string | null }): string | undefined {
  return headers.get("content-type")?.split(/[;,]/)[0]!.trim().toLowerCase();
}

/** A problem document (RFC 9457). `undefined` if it is absent, `null` if it cannot be read. */
type Problem = { code?: string; original_status?: number } | undefined | null;

/** Reads the problem document of a response. It does not decode any other body. */
export function problemOf({ status, headers }: Judged, body: string | Uint8Array | null | undefined): Problem {
  if (status < 400 || mediaType(headers) !== "application/problem+json") return undefined;
  try {
    const text = typeof body === "string" ? body : new TextDecoder().decode(body!);
    if (!body || utf8(text).byteLength > LONGEST_PROBLEM) return null;
    const { code, original_status } = JSON.parse(text) ?? {};
    return { code: `${code}`, original_status };
  } catch {
    return null;
  }
}

/** The code for an operation that was done, and whose response was not stored. */
export const NOT_RETAINED = "idempotency_result_not_retained";
const NEVER_FINAL = /30[78]|421/;
const TEMPORARY = /408|42[59]|50[0234]|52\d|530/;
/**
 * Statuses that mean "nothing happened". The server stores no response, and the corrected request
 * can use the same key.
 */
export const NOT_STORED: Record<Profile, RegExp> = {
  default: /30[78]|40[013567]|41[123457]|42[1-689]|431|511/,
  stripe: /40[01]|429/,
  ietf: /^$/,
};
/** The longest problem document that is read, in bytes. */
const LONGEST_PROBLEM = 64 * 1024;

/** Reads all values of a header, because a proxy may duplicate it. They must be equal. */
function flag(headers: Judged["headers"], name: string): boolean | undefined {
  const [value, other] = new Set(headers.get(name)?.toLowerCase().split(",").map((one) => one.trim()));
  return other === undefined && /^(true|false)$/.test(value!) ? value === "true" : undefined;
}
