import { attempt, type End } from "./attempt.js";
import { waitBefore } from "./backoff.js";
import { beginsDoubt, type Disposition } from "./disposition.js";
import { KeyNotUnderstoodError, OutcomeUnknownError, type GiveUpReason } from "./errors.js";
import type { RetryReason } from "./events.js";
import type { Flight } from "./flight.js";
import { advice } from "./key-header.js";
import { staleness, expiry, type Known } from "./keys.js";
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
  const { signal, identity: { label: operation } } = flight;
  const { key } = known.record;
  let cause: unknown;
  budget?.deposit();
  for (let number = 1; ; number++) {
    const stale = staleness(known.record, client);
    if (stale && number === 1) throw expiry(operation, known.record, stale);
    if (stale) throw new OutcomeUnknownError(operation, key, number - 1, "retention", cause);
    flight.attempts = number;
    flight.tell({ type: "attempt", operation, key, attempt: number });
    const end = await attempt(request, client, call, deadline, signal);
    if ("error" in end || signal.aborted) known.inDoubt = true;
    signal.throwIfAborted();

    let reason: RetryReason = "no-response";
    let asked = 0;
    if ("error" in end) {
      cause = end.error;
      flight.tell({ type: "error", operation, key, attempt: number, error: cause });
      if (!end.lost) throw cause;
    } else {
      const { reply } = end;
      const { status, headers, replayed, redirected, code } = reply;
      const disposition = reply.judge(known.inDoubt, profile);
      cause = undefined;
      flight.tell({ type: "response", operation, key, attempt: number, status, disposition, replayed });
      if (disposition !== "final" && beginsDoubt(status, redirected)) known.inDoubt = true;
      if (status < 500 && NOT_UNDERSTOOD.includes(code!) && disposition === "unknown") {
        throw new KeyNotUnderstoodError(operation, key, client.header, client.quoted, { status, code: code! }, advice(client, code!));
      }
      asked = retryAfter(headers, clock.now()) ?? 0;
      if (disposition !== "retry" || asked > deadline - clock.elapsed()) return [reply, disposition];
      reason = status === 409 ? "in-flight" : "status";
    }

    const delay = waitBefore(number, call, clock, asked);
    const bound = giveUp(number, delay);
    if (bound && "reply" in end) return [end.reply, "retry"];
    if (bound) throw new OutcomeUnknownError(operation, key, number, bound, cause);
    flight.tell({ type: "retry", operation, key, attempt: number + 1, delay, reason });
    drop(end);
    await clock.sleep(delay, signal);
  }

  function giveUp(number: number, delay: number): GiveUpReason | undefined {
    if (number >= call.maxAttempts) return "max-attempts";
    if (clock.elapsed() + delay >= deadline) return "total-timeout";
    return budget && !budget.withdraw() ? "budget" : undefined;
  }
}

function drop(end: End): void {
  if ("reply" in end) end.reply.drop();
}

const NOT_UNDERSTOOD = ["idempotency_key_missing", "idempotency_key_invalid"];
