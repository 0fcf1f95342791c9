/**
 * What an answer says of the operation:
 *
 * - `definitive`: it is finished, and this is its answer. The key has served: a new operation takes a new one.
 * - `again`: to be repeated, under the same key, after a wait.
 * - `open`: not to be repeated as it is, and the key must stay: nothing has happened yet, or nobody knows what did.
 */
export type Conclusion = "definitive" | "again" | "open";

/**
 * Judges an answer by its status, its headers and, where they do not say enough, its body (`undefined` if it is not known).
 *
 * | the answer | is |
 * |---|---|
 * | 2xx, 3xx, 404, 410 and other 4xx | definitive |
 * | 425, 429, 500, 502, 503, 504 | again; open, if it is a replay or says `X-Should-Retry: false` |
 * | 400, 401, 403, 405, 407, 408, 411, 413, 414, 415, 422, 431 | open: nothing happened, and the mended request goes on under its key. A replay is definitive |
 * | other 5xx | open |
 * | 409 in flight: `Retry-After`, or the code `idempotency_key_in_flight` | again |
 * | 409 with the code `idempotency_key_reused`, `idempotency_outcome_unknown`, `idempotency_attempt_failed`, or with `X-Should-Retry: false` and no code | open |
 * | 409 with the code `idempotency_result_not_retained` | definitive: it was done, but its answer was not kept |
 * | any other 409 | definitive: the application's own |
 * | anything with `X-Should-Retry: true`, such as a 408 with the code `request_timeout` | again |
 *
 * A replay is marked `X-Idempotent-Result: true` or `Idempotent-Replayed: true`. Codes stand in problem documents (RFC 9457).
 */
export function conclude(status: number, headers: Headers, body?: string): Conclusion {
  const shouldRetry = flag(headers, "x-should-retry");
  if (shouldRetry === true) return "again";
  const replay = isReplayMarked(headers);
  if (status === 409) return conflict(headers, body, shouldRetry, replay);
  if (TEMPORARY.has(status) && shouldRetry === undefined && !replay) return "again";
  // A replayed 429 or 5xx says the same for ever.
  if (TEMPORARY.has(status) || (status >= 500 && status < 600)) return "open";
  if (NOTHING_HAPPENED.has(status) && !replay) return "open";
  return "definitive";
}

/** Whether the answer was given before, and is now given again. */
export function isReplay(response: Response): boolean {
  return isReplayMarked(response.headers);
}

/** Whether these are the headers of an answer that was given before. */
export function isReplayMarked(headers: Headers): boolean {
  return flag(headers, "x-idempotent-result") === true || flag(headers, "idempotent-replayed") === true;
}

/** Whether an answer can need its body to be judged: it is a problem document. */
export function isProblem(headers: Headers): boolean {
  return mediaType(headers) === "application/problem+json";
}

/** The media type of a body, in lower case and without its parameters. */
export function mediaType(headers: Headers): string | undefined {
  return headers.get("content-type")?.split(";")[0]?.trim().toLowerCase();
}

const TEMPORARY = new Set([425, 429, 500, 502, 503, 504]);
const NOTHING_HAPPENED = new Set([400, 401, 403, 405, 407, 408, 411, 413, 414, 415, 422, 431]);
/** A problem document with more bytes is not read. */
export const LONGEST_PROBLEM = 64 * 1024;

/** A conflict is in flight, a misused key, or the answer of the application, which alone is definitive. */
function conflict(headers: Headers, body: string | undefined, shouldRetry: boolean | undefined, replay: boolean): Conclusion {
  if (replay) return "definitive";
  const code = codeOf(headers, body);
  switch (code) {
    case "idempotency_result_not_retained":
      return "definitive";
    case "idempotency_key_reused":
    case "idempotency_outcome_unknown":
    case "idempotency_attempt_failed":
      return "open";
  }
  if (shouldRetry === false) return "open";
  return code === "idempotency_key_in_flight" || headers.has("retry-after") ? "again" : "definitive";
}

function flag(headers: Headers, name: string): boolean | undefined {
  // A header that a server and its proxy both set says it twice.
  const values = new Set(headers.get(name)?.toLowerCase().split(",").map((one) => one.trim()));
  const value = values.size === 1 ? [...values][0] : undefined;
  return value === "true" ? true : value === "false" ? false : undefined;
}

function codeOf(headers: Headers, body: string | undefined): string | undefined {
  if (body === undefined || body.length > LONGEST_PROBLEM || !isProblem(headers)) return undefined;
  if (new TextEncoder().encode(body).byteLength > LONGEST_PROBLEM) return undefined;
  try {
    const problem: unknown = JSON.parse(body);
    const code = typeof problem === "object" && problem !== null && "code" in problem ? problem.code : undefined;
    return typeof code === "string" ? code : undefined;
  } catch {
    return undefined;
  }
}
