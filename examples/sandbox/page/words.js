// The words for what happens. Each is an object to be shown: nothing here touches the page.

import { priceOf } from "/page/orders.js";
import { LostAnswer } from "/page/network.js";

/** An order that nobody is at work on. */
export function resting(order) {
  if (order.stage === "draft") {
    return { tone: "idle", title: "Nothing has been sent.", detail: "Click Pay once, twice, ten times." };
  }
  return { tone: "unsure", title: "Nobody knows yet whether this was paid.", detail: GO_ON };
}

const GO_ON = "Click Pay to ask again. The key stays the same, so it cannot be paid twice.";

/** An order whose answer is awaited. */
export function busy(order, clicks, note) {
  const requests = order.requests > 1 ? ` Request ${order.requests}, still the same key.` : "";
  const detail = clicks > 1 ? `${clicks} clicks wait for one answer.` : "Waiting for the answer.";
  return { tone: "busy", title: "Paying …", detail: detail + requests, note };
}

/** An order whose answer did not come, or that is to come again. */
export function retrying({ delay }, note) {
  const wait = `${(delay / 1000).toFixed(1)} s`;
  return { tone: "busy", title: "Paying …", detail: `No final answer. Asking again in ${wait}, with the same key.`, note };
}

/** An order that is paid. */
export function paid(order, takenUp) {
  const { answers, payments = [] } = order;
  if (payments.length > 1) {
    return { tone: "refused", title: `Paid ${payments.length} times!`, detail: payments.join(", ") };
  }
  const detail = `${priceOf(order)} to ${order.to.trim()}${payments.map((id) => `, payment ${id}`)}.`;
  const count = answers > 1 ? `The same answer was given ${answers} times.` : "Click again: it stays one payment.";
  const note = takenUp ? `${takenUp} ${count}` : count;
  return { tone: "done", title: "Paid, once.", detail, note };
}

/** An order whose answer says no. */
export function refused(status, { title, detail, error }) {
  const words = detail ?? error ?? "The server gave no reason.";
  return { tone: "refused", title: `Not paid: ${title ?? `the server answered ${status}`}.`, detail: sentence(words) };
}

/** An order whose client has given up. */
export function unsure(error) {
  if (error?.name === "KeyExpiredError") {
    return {
      tone: "refused",
      title: "Too old to be repeated.",
      detail: "The server has forgotten the key of this order by now. Look it up in the ledger.",
    };
  }
  return { tone: "unsure", title: "Nobody knows yet whether this was paid.", detail: GO_ON, note: error?.message };
}

/** An order that was under way when the page was left. */
export function takenUp(number, key) {
  return `Order ${number} was under way when this page was left. It was taken up again with its key, …${key.slice(-8)}.`;
}

/** What became of a request: a mark, a tone and words, so that nothing is told by colour alone. */
export function resultOf({ type, status, conclusion, replayed, error }) {
  if (type === "left") return { mark: "?", tone: "lost", words: "no answer: the page was left" };
  if (type === "error") return { mark: "✕", tone: "lost", words: lost(error) };
  if (replayed) return { mark: "↺", tone: "done", words: `${status} replayed` };
  if (status < 300) return { mark: "✓", tone: "done", words: `${status} done` };
  if (status === 409 && conclusion === "again") return { mark: "…", tone: "busy", words: "409 in flight" };
  if (conclusion === "again") return { mark: "!", tone: "busy", words: `${status} not now` };
  return { mark: "!", tone: "lost", words: `${status} refused` };
}

function lost(error) {
  const cause = error instanceof LostAnswer ? error : error?.cause;
  if (cause instanceof LostAnswer) return "answer lost";
  return error?.name === "TimeoutError" ? "lost: no answer in time" : "lost: connection broke";
}

function sentence(words) {
  const whole = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}
