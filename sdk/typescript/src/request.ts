import type { FetchInit, FetchInput, FetchLike } from "./options.js";
import { withSteadyBoundary } from "./multipart.js";

/** A request that can be sent any number of times, always with the same bytes. */
export interface Outgoing {
  method: string;
  /** Absolute. */
  url: string;
  headers: Headers;
  /** `null`: no body at all, which is not the same as an empty one. */
  body: Uint8Array<ArrayBuffer> | null;
  /** The rest of what `fetch` was told: credentials, mode, keepalive and the like. */
  rest: FetchInit;
}

/** The request that was given in place of an address. Frames have a `Request` of their own. */
export function requestIn(input: FetchInput): Request | undefined {
  return Object(input).headers && (input as Request);
}

/**
 * Takes a request out of the arguments of `fetch`, at once, so that what the caller changes or
 * reads later makes no difference. The body is read by the function that is returned.
 *
 * @throws TypeError as `fetch` would, and for the mode `no-cors`, in which no key can be sent.
 */
export function take(input: FetchInput, init: FetchInit): () => Promise<Outgoing> {
  const given = requestIn(input);
  const formData = init.body == null ? given !== undefined : init.body instanceof FormData;
  // The signals stay with the callers: the body that one of them brought may serve others too.
  const request = new Request(input, { ...init, signal: null, duplex: "half" } as FetchInit);
  if (request.mode === "no-cors") throw new TypeError("no key can be sent in the mode no-cors");
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
 * Node 20 detaches bytes that it sends, and cannot send them again to where a 307 or 308 points; a
 * blob it can.
 */
const IN_NODE = typeof document === "undefined" && "process" in globalThis;

/** What a request was told besides. A request that navigates cannot be made by scripts. */
function settingsOf(request: Request): FetchInit {
  const names = "cache credentials integrity keepalive redirect referrer referrerPolicy mode".split(" ") as (keyof Request)[];
  return Object.fromEntries(names.filter((name) => request[name] !== "navigate").map((name) => [name, request[name]]));
}
