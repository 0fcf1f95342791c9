// What the page shows. What comes from a server goes in as text, never as markup.

import { isFor } from "/page/orders.js";

const MOST_LINES = 12;
const seen = new Set();

/** Finds an element of the page by its id. */
export const find = (id) => document.getElementById(id);

/** Shows the three numbers that the page is about. */
export function showCounter(order, payments) {
  const counts = { clicks: order.clicks, requests: order.requests, payments };
  for (const [id, count] of Object.entries(counts)) {
    const number = find(id);
    number.nextElementSibling.textContent = count === 1 ? id.slice(0, -1) : id;
    if (number.textContent === String(count)) continue;
    number.textContent = count;
    number.classList.remove("changed");
    // Without a look at the layout in between, the browser would not begin the animation anew.
    void number.offsetWidth;
    number.classList.add("changed");
  }
}

/** Shows the order in the form. One that was sent cannot be changed: its key stands for what was sent. */
export function showOrder(order) {
  const fixed = order.stage !== "draft";
  find("order").textContent = `Order ${order.number}`;
  for (const id of ["amount", "to"]) {
    show(find(id), order[id]);
    find(id).readOnly = fixed;
  }
  show(find("currency"), order.currency);
  const focused = document.activeElement;
  find("currency").disabled = fixed;
  for (const option of document.querySelectorAll("[name=delay]")) {
    option.checked = option.value === order.delay;
    option.disabled = fixed;
  }
  // A field that is switched off would take the focus along with it.
  if (focused?.disabled) find("pay").focus();
}

function show(field, value) {
  if (field.value !== value) field.value = value;
}

/** Shows what is wrong with the fields, and leads to the first. Says whether all is well. */
export function showMistakes(mistakes) {
  for (const id of ["amount", "to"]) showMistake(id, mistakes[id]);
  const [first] = Object.keys(mistakes);
  if (first) find(first).focus();
  return !first;
}

/** Shows what is wrong with a field, if something is. */
export function showMistake(id, words = "") {
  find(`${id}-mistake`).textContent = words;
  find(`${id}-mistake`).hidden = words === "";
  find(id).setAttribute("aria-invalid", String(words !== ""));
}

const MARKS = { idle: "○", busy: "…", done: "✓", unsure: "?", refused: "!" };

/** Shows how the order stands. */
export function showStatus({ tone, title, detail, note = "" }) {
  find("status").dataset.tone = tone;
  const texts = { "status-mark": MARKS[tone], "status-title": title, "status-detail": detail, "status-note": note };
  // A text that did not change is not set, or it would be read out again.
  for (const [id, text] of Object.entries(texts)) if (find(id).textContent !== text) find(id).textContent = text;
}

/** Shows the latest of the ledger, the order's own payments among them marked. */
export function showLedger(payments, order) {
  const latest = payments.slice(-MOST_LINES).reverse();
  const rows = latest.map((payment) => {
    const own = isFor(payment, order);
    return row(`ledger ${payment.id}`, own ? "own" : "", [
      time(payment.at),
      code(payment.id),
      key(payment.key),
      own ? tag("this order") : document.createTextNode("another"),
    ]);
  });
  fill("ledger", rows);
  find("ledger-count").textContent = payments.length === 1 ? "1 payment in all" : `${payments.length} payments in all`;
  const more = payments.length - latest.length;
  find("ledger-more").hidden = more <= 0;
  find("ledger-more").textContent = `and ${more} earlier`;
}

/** Says that the ledger could not be read: what is shown may be old. */
export function showLedgerLost() {
  find("ledger-count").textContent = "The server cannot be reached.";
}

/** Shows the latest requests with what became of each. */
export function showAttempts(attempts, order) {
  const rows = attempts.slice(0, MOST_LINES).map((attempt) => {
    const { mark, tone, words } = resultOf(attempt);
    const result = element("span", `result ${tone}`, [element("span", "mark", [mark]), words]);
    result.firstChild.setAttribute("aria-hidden", "true");
    return row(`attempt ${attempt.key} ${attempt.count}`, attempt.order === order.number ? "own" : "", [
      time(attempt.at),
      document.createTextNode(`${attempt.order}, ${attempt.count}`),
      key(attempt.key),
      result,
    ]);
  });
  fill("attempts", rows);
}

const WAITING = { mark: "…", tone: "busy", words: "waiting for the answer" };
const NEVER_HEARD = { mark: "?", tone: "lost", words: "no answer: the page was gone" };
/** Longer than the client waits for one answer. */
const GONE_AFTER = 15_000;

function resultOf({ result, at }) {
  return result ?? (Date.now() - at > GONE_AFTER ? NEVER_HEARD : WAITING);
}

function fill(id, rows) {
  find(id).tBodies[0].replaceChildren(...rows);
  find(id).parentElement.hidden = rows.length === 0;
  find(`${id}-empty`).hidden = rows.length > 0;
}

function row(name, kind, cells) {
  const row = element("tr", kind, cells.map((cell) => element("td", "", [cell])));
  if (!seen.has(name)) row.classList.add("new");
  seen.add(name);
  return row;
}

function time(at) {
  const shown = element("time", "", [new Date(at).toLocaleTimeString("en-GB")]);
  shown.dateTime = new Date(at).toISOString();
  return shown;
}

/** The end of a key, which is random: the beginning of these tells the time. */
function key(key) {
  const shown = code(key === null ? "none" : key.length > 10 ? `…${key.slice(-8)}` : key);
  if (key !== null) shown.title = key;
  return shown;
}

const code = (text) => element("code", "", [text]);
const tag = (text) => element("strong", "tag", [text]);

function element(name, kind, children) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.append(...children);
  return made;
}
