/**
 * How many repeats the calls of one client may make together, so that a server that is down is not buried under them: a share of the calls of
 * the last ten seconds, and a few besides. Built as `TpsBudget` of the Rust crate `tower`: with the defaults, 20 % of the calls, plus 10 a second.
 */
export class RetryBudget {
  readonly #share: number;
  readonly #reserve: number;
  readonly #now: () => number;
  readonly #seconds = new Map<number, number>();

  /**
   * @param options `share`: repeats per call, default 0.2. `perSecond`: repeats besides, per second, default 10.
   * `now`: milliseconds, for tests.
   *
   * @throws RangeError if one of them is negative or no number.
   */
  constructor(options: { share?: number; perSecond?: number; now?: () => number } = {}) {
    this.#share = options.share ?? 0.2;
    this.#reserve = (options.perSecond ?? 10) * WINDOW;
    if (!(this.#share >= 0 && this.#reserve >= 0)) throw new RangeError("a budget is made of numbers from 0 on");
    this.#now = options.now ?? (() => performance.now());
  }

  /** Notes a call, which earns its share of a repeat. */
  deposit(): void {
    this.#add(this.#share);
  }

  /** Takes one repeat. `false`: none is left for now. */
  withdraw(): boolean {
    const second = this.#second();
    let left = this.#reserve;
    for (const [at, amount] of this.#seconds) {
      if (at <= second - WINDOW) this.#seconds.delete(at);
      else left += amount;
    }
    // Shares such as 0.2 do not add up exactly.
    if (left < 1 - 1e-9) return false;
    this.#add(-1);
    return true;
  }

  #add(amount: number): void {
    const second = this.#second();
    this.#seconds.set(second, (this.#seconds.get(second) ?? 0) + amount);
    if (this.#seconds.size > 2 * WINDOW) {
      for (const at of this.#seconds.keys()) if (at <= second - WINDOW) this.#seconds.delete(at);
    }
  }

  #second(): number {
    return Math.floor(this.#now() / 1000);
  }
}

/** Over how many seconds calls and repeats are counted. */
const WINDOW = 10;
