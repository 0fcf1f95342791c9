// What became of each request, in a few words. Nothing here touches the page.

import { LostResponse } from "/page/network.js";

/**
 * Responses that say that nothing happened. They leave no doubt about an order, and its request may
 * be mended.
 */
const NOTHING_HAPPENED = [400, 401, 403, 405, 406, 407, 413, 414, 415, 417, 422, 423, 424, 425, 426, 428, 429, 431];

/** Whether a response says that nothing happened. */
export function saysNothingHappened({ status, redirected }) {
  return !redirected && NOTHING_HAPPENED.includes(status);
}

/**
 * The result of a request: a mark, a tone and words, so that nothing is told by colour alone.
 * `doubt` says that the request may have had an effect although its response does not say so.
 */
export function resultOf(event) {
  if (event.type === "left") return { mark: "?", tone: "lost", words: "the page was left before a response", doubt: true };
  if (event.type === "stopped") return { mark: "■", tone: "lost", words: "stopped before a response", doubt: true };
  if (event.type === "error") return { mark: "✕", tone: "lost", words: lost(event.error), doubt: true };
  const isOk = event.status >= 200 && event.status < 300 && !event.redirected;
  if (event.disposition === undefined) return isOk ? PAID : withoutKey(event);
  if (event.disposition === "final") return isOk ? (event.replayed ? REPLAYED : PAID) : REJECTED;
  const doubt = !saysNothingHappened(event);
  if (event.disposition === "retry") return { mark: "…", tone: "busy", words: notNow(event.status), doubt };
  if (!doubt) return REJECTED;
  return { mark: "?", tone: "lost", words: "says nothing about the payment", doubt };
}

const PAID = { mark: "✓", tone: "done", words: "paid" };
const REPLAYED = { mark: "↺", tone: "done", words: "already done: same response again" };
const REJECTED = { mark: "!", tone: "lost", words: "not accepted" };

/** The result of a request whose operation was done, while its response is not there any more. */
export const NOT_STORED = { mark: "↺", tone: "done", words: "already done: response not stored" };

/** The result of a request that was redirected to another page. */
export const ANOTHER_PAGE = { mark: "?", tone: "lost", words: "another page came back", doubt: true };

function withoutKey({ status, redirected }) {
  if (redirected) return ANOTHER_PAGE;
  return status >= 500 ? { mark: "!", tone: "lost", words: "server error", doubt: true } : REJECTED;
}

function notNow(status) {
  if (status === 409) return "the first request is still running";
  return status === 429 ? "too many requests: later" : "the server cannot do it now";
}

function lost(error) {
  if (error instanceof LostResponse || error?.cause instanceof LostResponse) return "response lost on its way";
  return error?.name === "TimeoutError" ? "no response in time" : "connection broke: no response";
}
