// The result of each request, in a few words. Nothing here changes the page.

import { LostResponse } from "/page/network.js";

/**
 * The result of a request: a mark, a tone and words, so that colour alone never conveys it.
 * `isLost` means that there was no response.
 */
export function resultOf(event) {
  if (event.type === "left") return { mark: "?", tone: "lost", words: "the page was left before a response", isLost: true };
  if (event.type === "stopped") return { mark: "■", tone: "lost", words: "stopped before a response", isLost: true };
  if (event.type === "error") return { mark: "✕", tone: "lost", words: lost(event.error), isLost: true };
  const isOk = event.status >= 200 && event.status < 300 && !event.redirected;
  if (event.disposition === undefined) return isOk ? PAID : withoutKey(event);
  if (event.disposition === "final") return isOk ? (event.replayed ? REPLAYED : PAID) : REJECTED;
  if (event.disposition === "retry") return { mark: "…", tone: "busy", words: notNow(event.status) };
  return { mark: "?", tone: "lost", words: "says nothing about the payment" };
}

/**
 * The result of the last request of a call, from the meaning of the response for the order. None:
 * the reported result stays.
 */
export function resultBy({ notStored, situation }) {
  if (notStored || situation?.reason === "untold") return NOT_STORED;
  if (situation?.reason === "login") return ANOTHER_PAGE;
  return situation && situation.kind !== "unsure" ? REJECTED : undefined;
}

const PAID = { mark: "✓", tone: "done", words: "paid" };
const REPLAYED = { mark: "↺", tone: "done", words: "already done: same response again" };
const NOT_STORED = { mark: "↺", tone: "done", words: "already done: response not stored" };
const REJECTED = { mark: "!", tone: "lost", words: "not accepted" };
const ANOTHER_PAGE = { mark: "?", tone: "lost", words: "another page came back" };

function withoutKey({ status, redirected }) {
  if (redirected) return ANOTHER_PAGE;
  return status >= 500 ? { mark: "!", tone: "lost", words: "server error" } : REJECTED;
}

function notNow(status) {
  if (status === 409) return "the first request is still running";
  return status === 429 ? "too many requests: later" : "the server cannot do it now";
}

function lost(error) {
  if (error instanceof LostResponse || error?.cause instanceof LostResponse) return "response lost on its way";
  return error?.name === "TimeoutError" ? "no response in time" : "connection broke: no response";
}
