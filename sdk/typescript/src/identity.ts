import { digestOf } from "./digest.js";
import type { Outgoing } from "./request.js";

/** Decides whether two calls are the same operation. */
export interface Identity {
  /** The id of the operation in storages and among the calls in flight. */
  id: string;
  /** The operation's name, or a digest. */
  label: string;
  named: boolean;
  /** Two requests with different fingerprints cannot share a response. */
  fingerprint: string;
  /** Whether another call can be the same operation. */
  shared: boolean;
}

let calls = 0;

/**
 * Determines which operation a request is. In pages, credentials are not part of it, because a
 * renewed token does not make a new operation. Outside of pages one process serves many users, so a
 * call without a name is its own operation.
 */
export async function identify(request: Outgoing, user: string, name: string | undefined, ownKey: string | undefined): Promise<Identity> {
  const { method, headers } = request;
  const page = typeof document !== "undefined";
  const credentials = page ? [] : ["authorization", "cookie"].map((header) => headers.get(header) ?? "");
  const own = ownKey === undefined ? "" : `=${ownKey}`;
  const said = [user, method, request.url.split("#", 1)[0]!, headers.get("content-type") ?? "", request.body ?? "", own, ...credentials];
  const fingerprint = `sha256:${await digestOf("tower-idempotency operation v2", said)}`;
  const named = name !== undefined;
  const label = name ?? fingerprint;
  const shared = named || page;
  return { id: shared ? idOf(named, user, label) : `${++calls}`, label, named, fingerprint, shared };
}

/** The id of an operation. The length of the user separates `a` with `b:c` from `a:b` with `c`. */
export function idOf(named: boolean, user: string, label: string): string {
  return `${named ? "named" : "request"}:${user.length}:${user}:${label}`;
}

/** The label in an id. `undefined` if the id belongs to another user, or is of the other kind. */
export function labelIn(id: string, named: boolean, user: string): string | undefined {
  const prefix = idOf(named, user, "");
  return id.startsWith(prefix) ? id.slice(prefix.length) : undefined;
}
