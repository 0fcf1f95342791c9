import { attempt as attemptOnce } from "./attempt.js";
import { waitBefore } from "./backoff.js";
import { beginsDoubt, isReplay, judge, NOT_RETAINED, problemOf, type Disposition } from "./disposition.js";
import { KeyNotUnderstoodError, OutcomeUnknownError, type GiveUpReason } from "./errors.js";
import type { RetryReason } from "./events.js";
import type { Flight } from "./flight.js";
import { expired, staleness, type Known } from "./keys.js";
import type { CallSettings, ClientSettings } from "./options.js";
import type { Reply } from "./reply.js";
import type { Outgoing } from "./request.js";
import { retryAfter } from "./retry-after.js";

/**
 * Sends a request with its key until a response does not ask for a retry, or a limit is reached.
 * The last response is then the result, whatever its status.
 *
 * @throws OutcomeUnknownError if a limit is reached and the last attempt had no response.
 * @throws KeyExpiredError if the key is too old for the first attempt.
 * @throws KeyNotUnderstoodError if the server rejects the key itself.
 * @throws the error of `fetch` if it is not retried, or the reason of the signal if it is aborted.
 */
export async function retry(request: Outgoing, client: ClientSettings, call: CallSettings, flight: Flight, known: Known, deadline: number): Promise<[Reply, Disposition]> {
  const { clock, budget, profile } = client;
  const { signal } = flight;
  let cause: unknown;
  const unknown = (reason: GiveUpReason): OutcomeUnknownError => {
    const { attempts } = flight;
    return new OutcomeUnknownError(`the outcome is unknown after ${attempts} attempts (${reason})`, { ...flight.about, attempts, reason, cause });
  };
  for (;;) {
    const stale = staleness(known.record, client);
    if (stale) throw flight.attempts ? unknown("retention") : expired(flight.identity.label, known.record, stale);
    const attempt = ++flight.attempts;
    flight.tell({ type: "attempt", attempt });
    const end = await attemptOnce(request, client, call, deadline, signal);
    const reply = "reply" in end ? end.reply : undefined;
    if (!reply || signal.aborted) known.inDoubt = true;
    signal.throwIfAborted();

    let reason: RetryReason = "no-response";
    let asked = 0;
    if ("error" in end) {
      cause = end.error;
      flight.tell({ type: "error", attempt, error: cause });
      if (!end.again) throw cause;
    } else {
      cause = undefined;
      const { response, bytes } = end.reply;
      const { status, headers, redirected } = response;
      const judged = { status, headers, redirected, inDoubt: known.inDoubt, profile };
      const problem = problemOf(judged, bytes);
      const disposition = judge(judged, problem);
      flight.status = problem?.code === NOT_RETAINED ? problem.original_status : status;
      flight.tell({ type: "response", attempt, status, disposition, replayed: isReplay(response) });
      // After a response that is final in doubt too, an unmarked rejection is not the operation's
      // response.
      if (disposition === "final") known.inDoubt = judge({ ...judged, inDoubt: true }, problem) === "final";
      else if (beginsDoubt(judged)) known.inDoubt = true;
      if (disposition === "unknown" && status < 500) throwIfNotUnderstood(problem?.code, status);
      asked = retryAfter(headers, clock.now());
      if (disposition !== "retry" || asked > deadline - clock.elapsed()) return [end.reply, disposition];
      reason = status === 409 ? "in-flight" : "status";
    }

    const delay = waitBefore(attempt, call, clock, asked);
    const bound = attempt >= call.maxAttempts ? "max-attempts" : clock.elapsed() + delay >= deadline ? "total-timeout" : budget && !budget.withdraw() ? "budget" : undefined;
    if (bound && reply) return [reply, "retry"];
    if (bound) throw unknown(bound);
    flight.tell({ type: "retry", attempt: attempt + 1, delay, reason });
    if (!reply?.bytes) reply?.response.body?.cancel().catch(() => {});
    await clock.sleep(delay, signal);
  }

  function throwIfNotUnderstood(code: string | undefined, status: number): void {
    const { header, quoted } = client;
    if (!/^idempotency_key_(missing|invalid)$/.test(code!)) return;
    const message = `the server did not understand the key, sent ${quoted ? "in quotes" : "bare"} as ${header} (${code}): set its profile`;
    throw new KeyNotUnderstoodError(message, { ...flight.about, header, quoted, status, code });
  }
}
