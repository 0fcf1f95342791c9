import { until } from "./attempt.js";
import type { Disposition } from "./disposition.js";
import { tell, type ProgressEvent, type ProgressHook } from "./events.js";
import type { Identity } from "./identity.js";
import type { Known } from "./keys.js";
import { note, type Outcome } from "./outcome.js";
import { responseFor, type Reply } from "./reply.js";

/** One operation in flight, or with a response from a moment ago, and its callers. */
export class Flight {
  readonly #callers = new Set<{ hook: ProgressHook | undefined }>();
  readonly #stop = new AbortController();
  #ended!: Promise<[Reply, Outcome]>;
  #waiting = 0;
  /** Aborted when no caller waits any more. */
  readonly signal = this.#stop.signal;
  /** Whether the response is final: an abort must not lose it together with its key. */
  isFinal = false;
  known: Known | undefined;
  attempts = 0;
  /** The status of the operation's response, as {@link Outcome} has it. */
  status: number | undefined;

  constructor(
    readonly identity: Identity,
    /** Called when there is no response to come: it failed, or the last caller has gone. */
    readonly onEnd: () => void,
  ) {}

  /** Begins the operation, with its first caller. */
  begin(run: () => Promise<[Reply, Outcome]>, signal: AbortSignal | undefined, hook: ProgressHook | undefined): Promise<Response> {
    this.#ended = Promise.resolve().then(run);
    this.#ended.catch(this.onEnd);
    return this.join(signal, hook);
  }

  /** Adds a caller, who gets a response of its own, or leaves when its signal is aborted. */
  async join(signal: AbortSignal | undefined, hook: ProgressHook | undefined): Promise<Response> {
    const caller = { hook };
    const leave = (): void => {
      this.#callers.delete(caller);
      if (this.#callers.size) return;
      this.#stop.abort(signal?.reason);
      this.onEnd();
    };
    this.#callers.add(caller);
    this.#waiting++;
    try {
      const [reply, outcome] = await until(signal, () => this.#ended).catch((error) => {
        if (this.isFinal) return this.#ended;
        throw error;
      });
      // A caller that reads a response as it comes can still abort it.
      if (!reply.bytes) signal?.addEventListener("abort", leave, { once: true });
      return responseFor(reply, outcome, !--this.#waiting);
    } catch (error) {
      this.#waiting--;
      leave();
      throw note(error, this.outcome());
    }
  }

  /** Tells all callers what happens. */
  tell(event: Untold<ProgressEvent>): void {
    for (const { hook } of this.#callers) tell(hook, { ...this.about, ...event } as ProgressEvent);
  }

  /** What events and errors have in common. */
  get about(): { operation: string; key: string | undefined } {
    return { operation: this.identity.label, key: this.known?.record.key };
  }

  outcome(disposition: Disposition = "unknown", replayed = false): Outcome {
    const { known, attempts, status, identity: { named } } = this;
    return { ...this.about, disposition, status, inDoubt: disposition !== "final" && known?.inDoubt !== false, named, attempts, replayed };
  }
}

/** An event without what the flight adds. */
type Untold<E> = E extends unknown ? Omit<E, "operation" | "key"> : never;
