import { dispositionOf, isReplay, mediaType, problemCode, type Disposition, type Profile } from "./disposition.js";
import { note, type Outcome } from "./outcome.js";
import { concat } from "./digest.js";

/** A response that was read whole, or that is handed on as it comes. */
export class Reply {
  readonly #response: Response;
  /** `undefined`: handed on as it comes. */
  readonly #bytes: Uint8Array<ArrayBuffer> | undefined;
  readonly #text: string | undefined;

  constructor(response: Response, bytes: Uint8Array<ArrayBuffer> | undefined) {
    this.#response = response;
    this.#bytes = bytes;
    this.#text = bytes && new TextDecoder().decode(bytes);
    // A response that cannot be built for the caller must not settle its key.
    if (bytes) this.#copy();
  }

  get status(): number {
    return this.#response.status;
  }

  get headers(): Headers {
    return this.#response.headers;
  }

  get redirected(): boolean {
    return this.#response.redirected;
  }

  get replayed(): boolean {
    return isReplay(this.#response);
  }

  /** Whether it can be given any number of times. */
  get isWhole(): boolean {
    return this.#bytes !== undefined;
  }

  /** The code of a problem document. */
  get code(): string | undefined {
    return problemCode(this.status, this.headers, this.#text) ?? undefined;
  }

  judge(inDoubt: boolean, profile: Profile): Disposition {
    const { status, headers, redirected } = this;
    return dispositionOf({ status, headers, redirected, body: this.#text, inDoubt, profile });
  }

  /** A response for each of so many callers. What is handed on as it comes can be asked for once. */
  responses(count: number, outcome: Outcome): Response[] {
    return Array.from({ length: count }, (_, index) => note(this.#bytes ? this.#copy(outcome) : index < count - 1 ? this.#response.clone() : this.#response, outcome));
  }

  /** Releases a response that no caller gets. */
  drop(): void {
    if (!this.#bytes) this.#response.body?.cancel().catch(() => {});
  }

  #copy(outcome?: Outcome): Response {
    const { status, statusText, headers, url, redirected, type } = this.#response;
    const bodiless = status === 204 || status === 205 || status === 304;
    const copy = new Response(bodiless ? null : this.#bytes!, { status, headers });
    // A response made by a script has no address of its own, and takes no status line beyond ASCII.
    const own = { statusText, url, redirected, type, clone: () => note(this.#copy(outcome), outcome!) };
    for (const [name, value] of Object.entries(own)) Object.defineProperty(copy, name, { value });
    return copy;
  }
}

/** Whether the body is to be read whole: a stream of events is not, nor a response that scripts cannot build. */
export function isReadWhole({ status, headers }: Response): boolean {
  return status >= 200 && status <= 599 && mediaType(headers) !== "text/event-stream";
}

/** Reads a body, and tells of each piece. */
export async function bytesOf(response: Response, onPiece: () => void): Promise<Uint8Array<ArrayBuffer>> {
  const reader = response.body?.getReader?.();
  if (!reader) return new Uint8Array(await response.arrayBuffer());
  const pieces: Uint8Array[] = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return concat(pieces);
    pieces.push(value);
    onPiece();
  }
}

/** What a replacement of `fetch` may resolve with. */
export function isResponse(given: unknown): given is Response {
  const { status, headers, arrayBuffer } = (given ?? {}) as Partial<Response>;
  return typeof status === "number" && typeof headers?.get === "function" && typeof arrayBuffer === "function";
}
