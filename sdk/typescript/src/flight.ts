import { until } from "./attempt.js";
import type { Disposition } from "./disposition.js";
import { tell, type ProgressEvent, type ProgressHook } from "./events.js";
import type { Identity } from "./identity.js";
import type { Known } from "./keys.js";
import { note, type Outcome } from "./outcome.js";
import { responseFor, type Reply } from "./reply.js";

/** One operation that is in flight, or had its response a moment ago, with its callers. */
export class Flight {
  readonly #callers = new Set<{ hook: ProgressHook | undefined }>();
  readonly #stop = new AbortController();
  #ended!: Promise<[Reply, Outcome]>;
  #waiting = 0;
  /** Aborted when no caller waits. */
  readonly signal = this.#stop.signal;
  /** Whether the response is final. If so, an abort must not lose it together with its key. */
  isFinal = false;
  known: Known | undefined;
  attempts = 0;
  /** The status of the operation's response: see {@link Outcome}. */
  status: number | undefined;

  constructor(
    readonly identity: Identity,
    /**
     * Called when no response will come, because the operation failed or the last caller has left.
     */
    readonly onEnd: () => void,
  ) {}

  /** Begins the operation with its first caller. */
  begin(run: () => Promise<[Reply, Outcome]>, signal: AbortSignal | undefined, hook: ProgressHook | undefined): Promise<Response> {
    this.#ended = Promise.resolve().then(run);
    this.#ended.catch(this.onEnd);
    return this.join(signal, hook);
  }

  /** Adds a caller. It gets its own response, or leaves when its signal is aborted. */
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
      // The caller can still abort a response that is a stream.
      if (!reply.bytes) signal?.addEventListener("abort", leave, { once: true });
      return responseFor(reply, outcome, !--this.#waiting);
    } catch (error) {
      this.#waiting--;
      leave();
      throw note(error, this.outcome());
    }
  }

  /** Sends an event to all callers. */
  tell(event: Untold<ProgressEvent>): void {
    for (const { hook } of this.#callers) tell(hook, { ...this.about, ...event } as ProgressEvent);
  }

  /** The fields that all events and errors have. */
  get about(): { operation: string; key: string | undefined } {
    return { operation: this.identity.label, key: this.known?.record.key };
  }

  outcome(disposition: Disposition = "unknown", replayed = false): Outcome {
    const { known, attempts, status, identity: { named } } = this;
    return { ...this.about, disposition, status, inDoubt: disposition !== "final" && known?.inDoubt !== false, named, attempts, replayed };
  }
}

/** An event without the fields that the flight adds. */
type Untold<E> = E extends unknown ? Omit<E, "operation" | "key"> : never;
