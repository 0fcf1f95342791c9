/**
 * How many retries the calls of one client may make together, so that a server that is down is not
 * buried under them: so many a second, and those of ten seconds at once.
 */
export class RetryBudget {
  readonly #perSecond: number;
  #left: number;
  #filledAt = performance.now();

  /** @param perSecond retries per second; default 10. */
  constructor(perSecond = 10) {
    this.#perSecond = perSecond;
    this.#left = perSecond * WINDOW;
  }

  /** Takes one retry. `false`: none is left for now. */
  withdraw(): boolean {
    const now = performance.now();
    const earned = ((now - this.#filledAt) / 1000) * this.#perSecond;
    this.#left = Math.min(this.#left + earned, this.#perSecond * WINDOW);
    this.#filledAt = now;
    return this.#left >= 1 && !!this.#left--;
  }
}

/** In seconds. */
const WINDOW = 10;
