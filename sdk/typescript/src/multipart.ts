import { concat, digestOf, utf8 } from "./digest.js";

/**
 * Gives a form its boundary anew, made from what the form says: platforms take a random one, and
 * servers that compare bytes would take the same form, sent again after a reload, for another
 * request. What is not `multipart/form-data`, as a platform writes it, stays as it is.
 */
export async function withSteadyBoundary(body: Uint8Array<ArrayBuffer>, type: string | null): Promise<{ body: Uint8Array<ArrayBuffer>; type: string | null }> {
  const boundary = /^multipart\/form-data;\s*boundary=("?)([^";\s]+)\1$/i.exec(type ?? "")?.[2];
  const parts = boundary === undefined ? [] : split(body, utf8(`--${boundary}`));
  if (parts.length < 2) return { body, type };
  const steady = `tower-idempotency-${(await digestOf("tower-idempotency boundary v1", parts)).slice(0, 40)}`;
  const delimiter = utf8(`--${steady}`);
  const joined = parts.flatMap((part, index) => (index === 0 ? [part] : [delimiter, part]));
  return { body: concat(joined), type: `multipart/form-data; boundary=${steady}` };
}

/**
 * The stretches between the delimiters, which the platform has chosen so that no part contains one.
 * The first stretch is empty.
 */
function split(body: Uint8Array, delimiter: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let begin = 0;
  for (let at = body.indexOf(DASH); at !== -1; at = body.indexOf(DASH, at + 1)) {
    if (!delimiter.every((byte, index) => body[at + index] === byte)) continue;
    parts.push(body.subarray(begin, at));
    begin = at + delimiter.byteLength;
    at = begin - 1;
  }
  parts.push(body.subarray(begin));
  return parts;
}

const DASH = 0x2d;
