import { concat } from "./digest.js";
import { mediaType } from "./disposition.js";
import { note, type Outcome } from "./outcome.js";

/** A response, and its body if it was read whole. Otherwise the response is a stream. */
export interface Reply {
  response: Response;
  bytes?: Uint8Array<ArrayBuffer>;
}

/**
 * Whether to read the whole body. A stream of events is not read, and neither is a response that a
 * script cannot rebuild.
 */
export function isReadWhole({ status, headers }: Response): boolean {
  return status >= 200 && status < 600 && mediaType(headers) !== "text/event-stream";
}

/** Reads a body, and calls `onPiece` after each piece. */
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

/** A response for a caller. The last caller of a stream gets the stream itself. */
export function responseFor({ response, bytes }: Reply, outcome?: Outcome, last = true): Response {
  if (!bytes) return note(last ? response : response.clone(), outcome);
  const { status, statusText, headers, url, redirected, type } = response;
  const copy = new Response([204, 205, 304].includes(status) ? null : bytes, { status, headers });
  // A response that a script makes has no address, and its status text must be ASCII.
  const own = { statusText, url, redirected, type, clone: () => responseFor({ response, bytes }, outcome) };
  for (const [name, value] of Object.entries(own)) Object.defineProperty(copy, name, { value });
  return note(copy, outcome);
}
