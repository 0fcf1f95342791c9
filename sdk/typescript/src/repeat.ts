import type { Answer } from "./answer.js";
import { attempt, type End } from "./attempt.js";
import { waitBefore } from "./backoff.js";
import { OutcomeUnknownError, type GiveUpReason } from "./errors.js";
import type { ProgressEvent } from "./events.js";
import type { CallSettings, ClientSettings } from "./options.js";
import type { Repeatable } from "./request.js";

/** What an operation is known by, and who is told of it. */
export interface Telling {
  operation: string;
  key: string;
  tell(event: ProgressEvent): void;
}

/**
 * Sends a request, which bears its key, until an answer says that it need not be sent again, or a bound is reached. The last answer is the
 * result then, whatever it says.
 *
 * @throws OutcomeUnknownError if a bound is reached and the last attempt had no answer; the signal's reason if that is aborted.
 */
export async function repeat(request: Repeatable, client: ClientSettings, call: CallSettings, about: Telling, signal: AbortSignal): Promise<Answer> {
  const { clock, budget } = client;
  const { operation, key } = about;
  const deadline = clock.elapsed() + call.totalTimeout;
  budget?.deposit();
  for (let number = 1; ; number++) {
    about.tell({ type: "attempt", operation, key, attempt: number });
    const limit = Math.min(call.attemptTimeout, deadline - clock.elapsed());
    const end = await attempt(request, client.fetch, limit, clock, signal);
    signal.throwIfAborted();
    report(end, number, about);
    if ("answer" in end && end.answer.conclusion !== "again") return end.answer;

    const delay = waitBefore(number, call, clock, "answer" in end ? end.answer.headers : undefined);
    const reason = giveUp();
    if (reason) {
      if ("answer" in end) return end.answer;
      throw new OutcomeUnknownError(operation, key, number, reason, end.error);
    }
    about.tell({ type: "retry", operation, key, attempt: number + 1, delay, reason: why(end) });
    if ("answer" in end) end.answer.drop();
    await clock.sleep(delay, signal);

    function giveUp(): GiveUpReason | undefined {
      if (number >= call.maxAttempts) return "max-attempts";
      if (clock.elapsed() + delay >= deadline) return "total-timeout";
      return budget && !budget.withdraw() ? "budget" : undefined;
    }
  }
}

function report(end: End, number: number, { operation, key, tell }: Telling): void {
  if ("error" in end) return tell({ type: "error", operation, key, attempt: number, error: end.error });
  const { status, conclusion, replayed } = end.answer;
  tell({ type: "answer", operation, key, attempt: number, status, conclusion, replayed });
}

function why(end: End): "in-flight" | "status" | "no-answer" {
  if ("error" in end) return "no-answer";
  return end.answer.status === 409 ? "in-flight" : "status";
}
