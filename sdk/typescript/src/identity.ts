import { digestOf } from "./digest.js";
import type { Repeatable } from "./request.js";

/** What makes two calls the same operation. */
export interface Identity {
  /** Stands for the operation in storages and among the calls under way. */
  id: string;
  /** What the operation is called before people: its name, or a digest. */
  label: string;
  named: boolean;
  /** Differs between two requests that cannot share an answer. */
  fingerprint: string;
}

/** Says which operation a request is. */
export async function identify(request: Repeatable, scope: string, name: string | undefined, ownKey: string | undefined): Promise<Identity> {
  const { method, headers } = request;
  const url = request.url.split("#", 1)[0]!;
  const credentials = ["authorization", "cookie"].map((header) => headers.get(header) ?? "");
  const what = [method, url, headers.get("content-type") ?? "", request.body ?? "", ownKey === undefined ? "" : `=${ownKey}`];
  const said = [...what, ...credentials];
  if (name !== undefined) {
    return { id: namedId(scope, name), label: name, named: true, fingerprint: await digestOf("tower-idempotency request v1", said) };
  }
  const label = `sha256:${await digestOf("tower-idempotency operation v1", [scope, ...said])}`;
  return { id: unnamedId(scope, label), label, named: false, fingerprint: label };
}

/** What stands for a named operation. */
export function namedId(scope: string, name: string): string {
  return `named:${framed(scope)}${name}`;
}

/** What stands for an operation known by its digest. */
export function unnamedId(scope: string, label: string): string {
  return `request:${framed(scope)}${label}`;
}

/** Takes apart what stands for an operation; `undefined` if it is of another scope. */
export function parseId(scope: string, id: string): { label: string; named: boolean } | undefined {
  for (const [prefix, named] of [[namedId(scope, ""), true], [unnamedId(scope, ""), false]] as const) {
    if (id.startsWith(prefix)) return { label: id.slice(prefix.length), named };
  }
  return undefined;
}

/** No scope is the beginning of another one's frame. */
function framed(scope: string): string {
  return `${scope.length}:${scope}:`;
}
