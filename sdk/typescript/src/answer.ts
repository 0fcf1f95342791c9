import { conclude, isProblem, isReplayMarked, LONGEST_PROBLEM, mediaType, type Conclusion } from "./conclude.js";

/** An answer that was read whole, or that is handed on as it comes, and what it means. */
export class Answer {
  readonly #response: Response;
  /** `undefined`: handed on as it comes. */
  readonly #bytes: Uint8Array<ArrayBuffer> | undefined;
  readonly conclusion: Conclusion;

  private constructor(response: Response, bytes: Uint8Array<ArrayBuffer> | undefined) {
    this.#response = response;
    this.#bytes = bytes;
    const problem = bytes && bytes.byteLength <= LONGEST_PROBLEM && isProblem(response.headers);
    this.conclusion = conclude(response.status, response.headers, problem ? new TextDecoder().decode(bytes) : undefined);
  }

  /** Reads an answer: it counts when its body is there, unless it is a stream of events, or opaque. */
  static async read(response: Response): Promise<Answer> {
    // What `Response.error()` makes, which some replacements of `fetch` resolve with, is no answer of the server's.
    if (response.type === "error") throw new TypeError("the request failed");
    const whole = mediaType(response.headers) !== "text/event-stream" && response.status >= 200 && response.status <= 599;
    return new Answer(response, whole ? new Uint8Array(await response.arrayBuffer()) : undefined);
  }

  get status(): number {
    return this.#response.status;
  }

  get headers(): Headers {
    return this.#response.headers;
  }

  get replayed(): boolean {
    return isReplayMarked(this.#response.headers);
  }

  /** Whether it can be given again and again. */
  get isWhole(): boolean {
    return this.#bytes !== undefined;
  }

  /** A response for each of so many callers. What is handed on as it comes can be asked for once. */
  responses(count: number): Response[] {
    if (this.#bytes) return Array.from({ length: count }, () => this.#copy());
    return Array.from({ length: count }, (_, index) => (index === count - 1 ? this.#response : this.#response.clone()));
  }

  /** Lets go of an answer that nobody gets. */
  drop(): void {
    if (!this.#bytes) this.#response.body?.cancel().catch(() => {});
  }

  #copy(): Response {
    const { status, statusText, headers, url, redirected, type } = this.#response;
    const bodiless = status === 204 || status === 205 || status === 304;
    const copy = new Response(bodiless ? null : this.#bytes!, { status, statusText, headers });
    // A response that scripts make has no address of its own.
    const clone = { value: () => this.#copy() };
    return Object.defineProperties(copy, { url: { value: url }, redirected: { value: redirected }, type: { value: type }, clone });
  }
}
