import type { Answer } from "./answer.js";
import type { Identity } from "./identity.js";
import { tell, type ProgressEvent, type ProgressHook } from "./events.js";

interface Caller {
  resolve(response: Response): void;
  reject(reason: unknown): void;
  hook: ProgressHook | undefined;
  /** Ends listening to the caller's signal. */
  unlisten(): void;
}

/** One operation under way, or answered a moment ago, and those who wait for its answer. */
export class Flight {
  readonly #callers = new Set<Caller>();
  readonly #stop = new AbortController();
  #answer: Answer | undefined;

  constructor(
    readonly identity: Identity,
    /** Called when the last caller has gone. */
    readonly onDeserted: (flight: Flight) => void,
  ) {}

  /** Aborted when nobody waits any more. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Whether the answer is still to come. */
  get isUnderWay(): boolean {
    return this.#answer === undefined;
  }

  /** Adds a caller, who gets a response of its own, or leaves when its signal is aborted. */
  join(signal: AbortSignal | undefined, hook: ProgressHook | undefined): Promise<Response> {
    if (this.#answer) return Promise.resolve(this.#answer.responses(1)[0]!);
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

  /** Gives all callers the answer, and those that come later too. */
  deliver(answer: Answer): void {
    this.#answer = answer;
    const callers = [...this.#callers];
    const responses = answer.responses(callers.length);
    callers.forEach((caller, index) => caller.resolve(responses[index]!));
    // Who reads an answer as it comes can still abort it.
    if (answer.isWhole) this.#dismiss();
  }

  /** Ends the flight for all callers without an answer. */
  fail(reason: unknown): void {
    for (const caller of this.#callers) caller.reject(reason);
    this.#dismiss();
  }

  #leave(caller: Caller, reason: unknown): void {
    caller.reject(reason);
    if (!this.#callers.delete(caller) || this.#callers.size > 0) return;
    this.#stop.abort(reason);
    this.onDeserted(this);
  }

  #dismiss(): void {
    for (const caller of this.#callers) caller.unlisten();
    this.#callers.clear();
  }
}
