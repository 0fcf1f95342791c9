// The two tables, and the requests of the order beside its button.

import { isFor } from "/page/orders.js";
import { element, find } from "/page/view.js";

const MOST_LINES = 12;
const MOST_TRIES = 10;
const seen = new Set();

/**
 * Shows the latest payments of the ledger, and marks those of the order. `undefined`: the ledger
 * could not be read.
 */
export function showLedger(payments, order) {
  find("ledger-lost").hidden = payments !== undefined;
  find("ledger-count").textContent = payments ? `${payments.length} in all` : "";
  if (!payments) return;
  const latest = payments.slice(-MOST_LINES).reverse();
  const rows = latest.map((payment) => {
    const own = isFor(payment, order);
    return row(`ledger ${payment.id}`, own ? "own" : "", LEDGER, [
      time(payment.at),
      text(payment.currency ? `${(payment.amount / 100).toFixed(2)} ${payment.currency}` : "not known"),
      text(payment.to || "not known"),
      own ? element("strong", "tag", ["this order"]) : text(payment.order ?? "another"),
      key(payment.key),
    ]);
  });
  fill("ledger", rows);
  const more = payments.length - latest.length;
  find("ledger-more").hidden = more <= 0;
  find("ledger-more").textContent = `and ${more} earlier`;
}

/** Shows the latest requests and their results. */
export function showAttempts(attempts, order) {
  const rows = attempts.slice(0, MOST_LINES).map((attempt) => {
    const own = attempt.order === order.number;
    return row(`attempt ${attempt.order} ${attempt.count}`, own ? "own" : "", ATTEMPTS, [
      time(attempt.at),
      text(`${attempt.order}, request ${attempt.count}`),
      key(attempt.key),
      resultCell(resultOf(attempt)),
    ]);
  });
  fill("attempts", rows);
  showTries(attempts.filter((attempt) => attempt.order === order.number));
}

/** Shows the requests of the order as marks, and the latest of them in words. */
function showTries(attempts) {
  find("tries").hidden = attempts.length === 0;
  const latest = attempts.slice(0, MOST_TRIES).reverse();
  find("tries-more").hidden = attempts.length <= MOST_TRIES;
  find("tries-more").textContent = `last ${MOST_TRIES}:`;
  const marks = latest.map((attempt) => {
    const { mark, tone, words } = resultOf(attempt);
    const sign = element("span", "", [mark]);
    sign.ariaHidden = "true";
    return element("li", tone, [sign, element("span", "unseen", [`Request ${attempt.count}: ${words}`])]);
  });
  find("tries-marks").replaceChildren(...marks);
  if (attempts.length > 0) find("tries-latest").textContent = `Request ${attempts[0].count}: ${resultOf(attempts[0]).words}`;
}

const WAITING = { mark: "…", tone: "busy", words: "waiting for the response" };
const NEVER_HEARD = { mark: "?", tone: "lost", words: "the page was gone before a response" };
/** Longer than the client waits for one response. */
const GONE_AFTER = 15_000;

/** Whether a sent request may still get its response. */
export function isUnderWay({ result, at }) {
  return !result && Date.now() - at < GONE_AFTER;
}

function resultOf(attempt) {
  return attempt.result ?? (isUnderWay(attempt) ? WAITING : NEVER_HEARD);
}

const LEDGER = ["time", "amount", "to", "order", "key"];
const ATTEMPTS = ["time", "request", "key", "what"];

function fill(id, rows) {
  find(id).tBodies[0].replaceChildren(...rows);
  find(id).hidden = rows.length === 0;
  find(`${id}-empty`).hidden = rows.length > 0;
}

/**
 * A row. The class of a cell names its column, because a small screen shows the cells below one
 * another.
 */
function row(name, kind, names, contents) {
  const cells = contents.map((content, index) => {
    const cell = element("td", names[index], [content]);
    cell.role = "cell";
    return cell;
  });
  const made = element("tr", kind, cells);
  made.role = "row";
  if (!seen.has(name)) made.classList.add("new");
  seen.add(name);
  return made;
}

function resultCell({ mark, tone, words }) {
  const sign = element("span", "mark", [mark]);
  sign.ariaHidden = "true";
  return element("span", `result ${tone}`, [sign, element("span", "", [words])]);
}

function time(at) {
  const shown = element("time", "", [new Date(at).toLocaleTimeString("en-GB")]);
  shown.dateTime = new Date(at).toISOString();
  return shown;
}

/** The end of a key, which is enough to distinguish it. */
function key(key) {
  if (key === null) return element("span", "none", ["no key"]);
  const shown = element("code", "", [key.length > 10 ? `…${key.slice(-8)}` : key]);
  shown.title = key;
  return shown;
}

const text = (words) => document.createTextNode(words);
