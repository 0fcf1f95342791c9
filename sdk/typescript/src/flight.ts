import type { Disposition } from "./disposition.js";
import { tell, type ProgressEvent, type ProgressHook } from "./events.js";
import type { Identity } from "./identity.js";
import { note, type Outcome } from "./outcome.js";
import type { Reply } from "./reply.js";

interface Caller {
  resolve(response: Response): void;
  reject(reason: unknown): void;
  hook: ProgressHook | undefined;
  /** Ends listening to the caller's signal. */
  unlisten(): void;
}

/** One operation in flight, or with a response from a moment ago, and its callers. */
export class Flight {
  readonly #callers = new Set<Caller>();
  readonly #stop = new AbortController();
  #end: [Reply, Outcome] | undefined;
  key: string | undefined;
  attempts = 0;

  constructor(
    readonly identity: Identity,
    /** Called when the last caller has gone. */
    readonly onDeserted: (flight: Flight) => void,
  ) {}

  /** Aborted when no caller waits any more. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Whether the response is there. */
  get isOver(): boolean {
    return this.#end !== undefined;
  }

  /** Adds a caller, who gets a response of its own, or leaves when its signal is aborted. */
  join(signal: AbortSignal | undefined, hook: ProgressHook | undefined): Promise<Response> {
    if (this.#end) return Promise.resolve(this.#end[0].responses(1, this.#end[1])[0]!);
    return new Promise((resolve, reject) => {
      const leave = (): void => this.#leave(caller, signal?.reason);
      const caller: Caller = { resolve, reject, hook, unlisten: () => signal?.removeEventListener("abort", leave) };
      this.#callers.add(caller);
      signal?.addEventListener("abort", leave, { once: true });
    });
  }

  /** Tells all callers what happens. */
  tell(event: ProgressEvent): void {
    for (const caller of this.#callers) tell(caller.hook, event);
  }

  outcome(disposition: Disposition = "unknown", replayed = false): Outcome {
    const { key, attempts, identity: { label: operation, named } } = this;
    return { disposition, key, operation, named, attempts, replayed };
  }

  /** Gives all callers the response, and those that come later too. */
  deliver(reply: Reply, disposition: Disposition): void {
    const outcome = this.outcome(disposition, reply.replayed);
    this.#end = [reply, outcome];
    const callers = [...this.#callers];
    const responses = reply.responses(callers.length, outcome);
    callers.forEach((caller, index) => caller.resolve(responses[index]!));
    // A caller that reads a response as it comes can still abort it.
    if (reply.isWhole) this.#dismiss();
  }

  /** Ends the flight for all callers without a response. */
  fail(reason: unknown): void {
    note(reason, this.outcome());
    for (const caller of this.#callers) caller.reject(reason);
    this.#dismiss();
  }

  #leave(caller: Caller, reason: unknown): void {
    caller.reject(note(reason, this.outcome()));
    if (!this.#callers.delete(caller) || this.#callers.size > 0) return;
    this.#stop.abort(reason);
    this.onDeserted(this);
  }

  #dismiss(): void {
    for (const caller of this.#callers) caller.unlisten();
    this.#callers.clear();
  }
}
