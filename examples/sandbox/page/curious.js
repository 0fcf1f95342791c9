// The key as the server sees it, and a command that sends it, for people who want to try it by
// hand.

import { bodyOf } from "/page/orders.js";

/** The header with the key of an order, in the profile of the server. */
export function headerOf(key, profile) {
  if (profile === "ietf") return `Idempotency-Key: "${key}"`;
  return profile === "stripe" ? `Idempotency-Key: ${key}` : `X-Idempotency-Key: ${key}`;
}

/** A shell command that sends the order again, with its key if it has one. */
export function curlOf(order, header) {
  const parts = [`curl -i ${quoted(`${location.origin}/payments`)}`, `-H ${quoted("Content-Type: application/json")}`];
  if (header) parts.push(`-H ${quoted(header)}`);
  parts.push(`-d ${quoted(bodyOf(order))}`);
  return parts.join(" \\\n  ");
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
