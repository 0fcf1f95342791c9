import { attempt } from "./attempt.js";
import { waitBefore } from "./backoff.js";
import { beginsDoubt, dispositionOf, isReplay, problemCode, type Disposition } from "./disposition.js";
import { KeyNotUnderstoodError, OutcomeUnknownError, type GiveUpReason } from "./errors.js";
import type { ProgressEvent, RetryReason } from "./events.js";
import type { Flight } from "./flight.js";
import { expired, staleness, type Known } from "./keys.js";
import type { CallSettings, ClientSettings } from "./options.js";
import type { Reply } from "./reply.js";
import type { Repeatable } from "./request.js";
import { retryAfter } from "./retry-after.js";

/**
 * Sends a request, which has its key, until a response says that it need not be sent again, or a bound is reached. The last response is the
 * result then, whatever it says.
 *
 * @throws OutcomeUnknownError if a bound is reached and the last attempt had no response; KeyExpiredError if the key is too old for the first;
 * KeyNotUnderstoodError; what `fetch` threw, if that is not retried; the signal's reason if that is aborted.
 */
export async function retry(request: Repeatable, client: ClientSettings, call: CallSettings, flight: Flight, known: Known, deadline: number): Promise<[Reply, Disposition]> {
  const { clock, budget, profile } = client;
  const { signal } = flight;
  const about = { operation: flight.identity.label, key: known.record.key };
  let cause: unknown;
  const tell = (event: Numbered<ProgressEvent>): void => flight.tell({ ...about, attempt: flight.attempts, ...event } as ProgressEvent);
  const unknown = (reason: GiveUpReason): OutcomeUnknownError => {
    const { attempts } = flight;
    return new OutcomeUnknownError(`the outcome is unknown after ${attempts} attempts (${reason})`, { ...about, attempts, reason, cause });
  };
  budget?.deposit();
  for (;;) {
    const stale = staleness(known.record, client);
    if (stale) throw flight.attempts ? unknown("retention") : expired(about.operation, known.record, stale);
    const number = ++flight.attempts;
    tell({ type: "attempt" });
    const end = await attempt(request, client, call, deadline, signal);
    const reply = "reply" in end ? end.reply : undefined;
    if (!reply || signal.aborted) known.inDoubt = true;
    signal.throwIfAborted();

    let reason: RetryReason = "no-response";
    let asked = 0;
    if ("error" in end) {
      cause = end.error;
      tell({ type: "error", error: cause });
      if (!end.again) throw cause;
    } else {
      cause = undefined;
      const { response, bytes } = end.reply;
      const { status, headers, redirected } = response;
      const judged = { status, headers, redirected, body: bytes && new TextDecoder().decode(bytes), inDoubt: known.inDoubt, profile };
      const disposition = dispositionOf(judged);
      tell({ type: "response", status, disposition, replayed: isReplay(response) });
      if (disposition !== "final" && beginsDoubt(judged)) known.inDoubt = true;
      if (disposition === "unknown" && status < 500) throwIfNotUnderstood(problemCode(judged), status);
      asked = retryAfter(headers, clock.now());
      if (disposition !== "retry" || asked > deadline - clock.elapsed()) return [end.reply, disposition];
      reason = status === 409 ? "in-flight" : "status";
    }

    const delay = waitBefore(number, call, clock, asked);
    const bound = number >= call.maxAttempts ? "max-attempts" : clock.elapsed() + delay >= deadline ? "total-timeout" : budget && !budget.withdraw() ? "budget" : undefined;
    if (bound && reply) return [reply, "retry"];
    if (bound) throw unknown(bound);
    tell({ type: "retry", attempt: number + 1, delay, reason });
    if (!reply?.bytes) reply?.response.body?.cancel().catch(() => {});
    await clock.sleep(delay, signal);
  }

  function throwIfNotUnderstood(code: string | undefined | null, status: number): void {
    const { header, quoted } = client;
    const missing = code === "idempotency_key_missing";
    if (!missing && code !== "idempotency_key_invalid") return;
    const profiles = missing && /^idem/i.test(header) ? "default" : !missing && quoted ? "stripe" : "ietf";
    const message = `the server did not understand the key, sent ${quoted ? "in quotes" : "bare"} as ${header} (${code}): try \`profile: "${profiles}"\``;
    throw new KeyNotUnderstoodError(message, { ...about, header, quoted, status, code });
  }
}

/** An event without what all events of a call have in common. */
type Numbered<E> = E extends { attempt: number } ? Omit<E, "operation" | "key" | "attempt"> & { attempt?: number } : never;
