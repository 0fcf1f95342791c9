// What the end of a call means for its order. Nothing here touches the page.

import { dispositionOf } from "/tower-idempotency.js";

/**
 * Judges a response. `said` is its body, and `outcome` is the conclusion of the client.
 *
 * Returns the order's next `stage` (none: it stays), the `situation` to show, and the known facts
 * of the payment.
 */
export function meaningOf({ response, said, outcome: { disposition, status, inDoubt } }) {
  const notStored = said.code === "idempotency_result_not_retained";
  const words = notStored ? undefined : wordsOf(said);
  const rejected = { kind: "rejected", status, words };
  if (disposition === "final") {
    if (status === undefined) return unsure("untold");
    const isPaid = status >= 200 && status < 300;
    if (isPaid) return { stage: "paid", payment: said.id ?? idIn(response.headers.get("location")), notStored };
    return { stage: "draft", isOver: true, situation: rejected };
  }
  if (response.redirected) return unsure("login");
  if (said.code === "idempotency_key_reused") return unsure("reused");
  if (!inDoubt) return { stage: "draft", situation: rejected };
  const isOfServer = disposition === "retry" || said.code?.startsWith("idempotency_");
  return unsure(isOfServer ? "server" : "elsewhere", { status, words });
}

/** Judges a call that ended without a response. */
export function meaningOfError(error, wasStopped) {
  if (wasStopped) return unsure("stopped");
  if (error.name === "OutcomeUnknownError") return unsure(error.reason === "retention" ? "expired" : "gave-up");
  if (error.name === "KeyExpiredError") return unsure(error.reason === "clock" ? "clock" : "expired");
  if (error.name === "KeyStorageError") return unsure("storage");
  if (error.name === "KeyNotUnderstoodError") return { stage: "draft", situation: { kind: "not-understood", words: error.message } };
  return unsure("no-response");
}

/**
 * The outcome of a request without a key, from its response or its error. With `inDoubt`, an
 * earlier request may have had an effect.
 */
export function meaningWithoutKey({ response, said, inDoubt, wasStopped }) {
  if (wasStopped) return unsure("stopped");
  if (!response) return unsure("no-response");
  if (response.ok && !response.redirected) return { stage: "paid", payment: said.id };
  if (said.code === "idempotency_key_missing") return { stage: "draft", situation: { kind: "key-required" } };
  if (response.redirected) return unsure("login");
  const { status } = response;
  const words = wordsOf(said);
  if (dispositionOf({ status, headers: response.headers }) === "retry") return unsure("server", { status, words });
  return inDoubt ? unsure("elsewhere", { status }) : { situation: { kind: "rejected", status, words } };
}

function wordsOf({ detail, error, title }) {
  return detail ?? error ?? title;
}

/** The body of a response, or an empty object if it is not JSON. */
export async function saidBy(response) {
  return (await response.json().catch(() => undefined)) ?? {};
}

function unsure(reason, more = {}) {
  return { situation: { kind: "unsure", reason, ...more } };
}

function idIn(location) {
  return location?.split("/").at(-1);
}
