/**
 * How many retries the calls of one client may make together, so that a server that is down is not
 * buried under them: a share of the calls of the last ten seconds, and a few besides. Built as
 * `TpsBudget` of the Rust crate `tower`: with the defaults, 20 % of the calls, plus 10 a second.
 */
export class RetryBudget {
  readonly #share: number;
  readonly #reserve: number;
  readonly #now: () => number;
  /** Seconds, and what each of them adds. */
  #recent: [number, number][] = [];

  /**
   * @param options `share`: retries per call, default 0.2. `perSecond`: retries besides, per
   * second, default 10. `now`: milliseconds, for tests.
   *
   * @throws RangeError if one of them is negative or not a number.
   */
  constructor(options: { share?: number; perSecond?: number; now?: () => number } = {}) {
    this.#share = options.share ?? 0.2;
    this.#reserve = (options.perSecond ?? 10) * WINDOW;
    if (!(this.#share >= 0 && this.#reserve >= 0)) throw new RangeError("share and perSecond are numbers from 0 on");
    this.#now = options.now ?? (() => performance.now());
  }

  /** Notes a call, which earns its share of a retry. */
  deposit(): void {
    this.#add(this.#share);
  }

  /** Takes one retry. `false`: none is left for now. */
  withdraw(): boolean {
    this.#add(0);
    const left = this.#recent.reduce((sum, [, amount]) => sum + amount, this.#reserve);
    // Shares such as 0.2 do not add up exactly.
    if (left < 1 - 1e-9) return false;
    this.#add(-1);
    return true;
  }

  #add(amount: number): void {
    const second = Math.floor(this.#now() / 1000);
    this.#recent = this.#recent.filter(([at]) => at > second - WINDOW);
    const last = this.#recent.at(-1);
    if (last?.[0] === second) last[1] += amount;
    else this.#recent.push([second, amount]);
  }
}

/** Over how many seconds calls and retries are counted. */
const WINDOW = 10;
