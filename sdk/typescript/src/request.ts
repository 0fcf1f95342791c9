import type { FetchInit, FetchInput, FetchLike } from "./options.js";
import { withSteadyBoundary } from "./multipart.js";

/** A request that can be sent any number of times with the same bytes. */
export interface Outgoing {
  method: string;
  /** Absolute. */
  url: string;
  headers: Headers;
  /** `null` if there is no body, which is different from an empty body. */
  body: Uint8Array<ArrayBuffer> | null;
  /** The other options of `fetch`: credentials, mode, keepalive and the like. */
  rest: FetchInit;
}

/**
 * The request, if the caller passed one in place of an address. A frame has its own `Request`
 * class, so this does not use `instanceof`.
 */
export function requestIn(input: FetchInput): Request | undefined {
  return Object(input).headers && (input as Request);
}

/**
 * Copies a request from the arguments of `fetch` at once, so that later changes by the caller have
 * no effect. The returned function reads the body.
 *
 * @throws TypeError as `fetch` would, and for the mode `no-cors`, in which no key can be sent.
 */
export function take(input: FetchInput, init: FetchInit): () => Promise<Outgoing> {
  const given = requestIn(input);
  const formData = init.body == null ? given !== undefined : init.body instanceof FormData;
  // The signals stay with the callers, because the request of one caller may serve others too.
  const request = new Request(input, { ...init, signal: null, duplex: "half" } as FetchInit);
  if (request.mode === "no-cors") throw new TypeError("the mode no-cors sends no key");
  const { method, url } = request;

  return async () => {
    const headers = new Headers(request.headers);
    const bytes = new Uint8Array(await request.arrayBuffer());
    const bodiless = method === "GET" || method === "HEAD" || (bytes.byteLength === 0 && !headers.has("content-type"));
    const { body, type } = await withSteadyBoundary(bytes, formData ? headers.get("content-type") : null);
    if (type !== null) headers.set("content-type", type);
    return { method, url, headers, body: bodiless ? null : body, rest: { ...(given && settingsOf(given)), ...init } };
  };
}

/** Sends a request once. */
export function send(request: Outgoing, fetcher: FetchLike, signal: AbortSignal): Promise<Response> {
  const { method, url, headers, body, rest } = request;
  return fetcher(url, { ...rest, method, headers, body: body && IN_NODE ? new Blob([body]) : body, signal });
}

/**
 * Node 20 detaches the bytes that it sends, so it cannot send them again after a 307 or 308. It can
 * send a blob again.
 */
const IN_NODE = typeof document === "undefined" && "process" in globalThis;

/** The other settings of a request. A script cannot make a request with the mode `navigate`. */
function settingsOf(request: Request): FetchInit {
  const names = "cache credentials integrity keepalive redirect referrer referrerPolicy mode".split(" ") as (keyof Request)[];
  return Object.fromEntries(names.filter((name) => request[name] !== "navigate").map((name) => [name, request[name]]));
}
