// What the end of a call means for its order. Nothing here touches the page.

import { saysNothingHappened } from "/page/results.js";

/**
 * Judges a response. `said` is its body, `disposition` what the client makes of it, and `doubt`
 * says that an earlier request may have had an effect.
 *
 * Gives the order's next `stage` (none: it stays), the `situation` to show, and what is known of
 * the payment.
 */
export function meaningOf({ response, said, disposition, doubt }) {
  const { status, redirected } = response;
  const words = said.detail ?? said.error ?? said.title;
  const notStored = said.code === "idempotency_result_not_retained" && !(said.original_status >= 300);
  const isDone = disposition === "final" && (notStored || (response.ok && !redirected));
  if (isDone) return { stage: "paid", payment: said.id ?? idIn(response.headers.get("location")), notStored };

  if (disposition === "final") return { stage: "draft", isOver: true, situation: { kind: "rejected", status, words } };
  if (redirected) return unsure("login");
  if (said.code === "idempotency_key_reused") return unsure("reused");
  if (said.code?.startsWith("idempotency_") && status < 500) return unsure("server", { words });
  if (saysNothingHappened(response) && !doubt) return { stage: "draft", situation: { kind: "rejected", status, words } };
  return unsure(disposition === "retry" ? "server" : "elsewhere", { status, words });
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

/** What a request without a key comes to, by its response or its error. */
export function meaningWithoutKey({ response, said, wasStopped }) {
  if (wasStopped) return unsure("stopped");
  if (!response) return unsure("no-response");
  if (response.ok && !response.redirected) return { stage: "paid", payment: said.id };
  if (said.code === "idempotency_key_missing") return { stage: "draft", situation: { kind: "key-required" } };
  if (response.redirected) return unsure("login");
  return saysNothingHappened(response)
    ? { situation: { kind: "rejected", status: response.status, words: said.detail ?? said.error ?? said.title } }
    : unsure("elsewhere", { status: response.status });
}

function unsure(reason, more = {}) {
  return { situation: { kind: "unsure", reason, ...more } };
}

function idIn(location) {
  return location?.split("/").at(-1);
}
