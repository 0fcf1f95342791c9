// The orders of this browser and their requests. They are stored so that a reload, a second tab and
// the next start of the browser find them. The keys are not here, because the client stores them.

const PLACE = "tower-idempotency.sandbox";

/** The most finished orders that are stored. An unfinished order is never dropped. */
const MOST_DONE = 20;
const MOST_ATTEMPTS = 100;

/** Without letters and digits that people confuse. */
const LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ";

/** Used when the browser stores nothing. It is then newer than any stored state. */
let memory = null;

function read() {
  try {
    const state = JSON.parse(memory ?? localStorage.getItem(PLACE));
    if (state?.orders && Array.isArray(state.attempts)) return state;
  } catch {
    // Unreadable state counts as absent.
  }
  return { current: null, orders: {}, attempts: [] };
}

/** Changes the state. It is read again each time, because another tab may have changed it. */
function change(edit) {
  const state = read();
  const result = edit(state);
  const done = Object.values(state.orders).filter((order) => order.stage !== "sent" && order.number !== state.current);
  done.sort((one, other) => other.at - one.at);
  for (const order of done.slice(MOST_DONE)) delete state.orders[order.number];
  state.attempts.splice(0, state.attempts.length - MOST_ATTEMPTS);
  const text = JSON.stringify(state);
  try {
    localStorage.setItem(PLACE, text);
    memory = null;
  } catch {
    // The state then lasts as long as the page.
    memory = text;
  }
  return result;
}

/** The current order of this browser, or a first one. */
export function lastOrder() {
  const { current, orders } = read();
  return orders[current] ?? newOrder();
}

const DRAFT = { amount: "12.00", currency: "EUR", to: "acct_2", delay: "0", keyless: false };

/** Begins an order with the entered values of the previous one. */
export function newOrder(like = {}) {
  return change((state) => {
    let number;
    do number = mint();
    while (state.orders[number]);
    const order = { number, at: Date.now() };
    for (const [field, value] of Object.entries(DRAFT)) order[field] = like[field] ?? value;
    // The first click makes a draft "sent". A confirming response makes it "paid".
    Object.assign(order, { stage: "draft", clicks: 0, requests: 0, responses: 0, payments: [], keys: [] });
    state.orders[number] = order;
    state.current = number;
    return order;
  });
}

function mint() {
  const draws = crypto.getRandomValues(new Uint32Array(6));
  return Array.from(draws, (draw) => LETTERS[draw % LETTERS.length]).join("");
}

/** The current state of the order with this number. */
export function order(number) {
  return read().orders[number];
}

/** Changes an order by new fields, or by a function that returns them. */
export function update(number, fields) {
  return change(({ orders }) => {
    const order = orders[number];
    return order && Object.assign(order, typeof fields === "function" ? fields(order) : fields);
  });
}

/**
 * Records that a request is sent. `id` identifies it until its result is recorded. A second call
 * for the same request has no effect.
 */
export function attemptBegins(number, id, key, tab) {
  change(({ orders, attempts }) => {
    const order = orders[number];
    if (!order || attempts.some((attempt) => isOpen(attempt, id, tab))) return;
    order.requests += 1;
    order.sentAt ??= Date.now();
    if (key !== null && !order.keys.includes(key)) order.keys.push(key);
    attempts.push({ order: number, id, key, tab, count: order.requests, at: Date.now(), result: null });
  });
}

/** Records the result of an open request of this page. */
export function attemptEnds(id, tab, result) {
  change(({ attempts }) => {
    const open = attempts.find((attempt) => isOpen(attempt, id, tab));
    if (open) open.result = result;
  });
}

/**
 * Corrects the result of the latest request of this page for an order, if a better one is known.
 */
export function attemptWas(number, tab, result) {
  if (!result) return;
  change(({ attempts }) => {
    const latest = attempts.findLast((attempt) => attempt.order === number && attempt.tab === tab && attempt.result);
    if (latest) latest.result = result;
  });
}

/** Records one result for all open requests of this page, of one order or of all. */
export function pageLeaves(tab, result, number) {
  change(({ attempts }) => {
    const open = attempts.filter((attempt) => attempt.tab === tab && !attempt.result);
    for (const attempt of open) if ((number ?? attempt.order) === attempt.order) attempt.result = result;
  });
}

function isOpen(attempt, id, tab) {
  return attempt.id === id && attempt.tab === tab && attempt.result === null;
}

/** Whether a payment was made for an order, with any of its keys or without a key. */
export function isFor(payment, { number, keys }) {
  return payment.order === number || (payment.key !== null && keys.includes(payment.key));
}

/** The requests, the latest first. */
export function attempts() {
  return read().attempts.reverse();
}

/** Calls back when another tab has changed an order. */
export function onChangeElsewhere(changed) {
  addEventListener("storage", ({ key }) => {
    if (key === PLACE || key === null) changed();
  });
}

/** The errors of the fields, in words, by the name of the field. */
export function mistakes({ amount, to }) {
  const found = {};
  const typed = amount.trim();
  if (typed === "") found.amount = "Enter an amount, for example 12.00.";
  else if (!/^\d+([.,]\d{1,2})?$/.test(typed)) found.amount = "Enter digits, with at most two after the point: 12.00.";
  else if (cents(typed) === 0) found.amount = "Enter more than 0.";
  else if (cents(typed) > 100_000_000) found.amount = "Enter at most 1000000.";
  if (to.trim() === "") found.to = "Enter a recipient, for example acct_2.";
  return found;
}

/** The body of the payment. Every call returns the same bytes. */
export function bodyOf({ number, amount, currency, to, delay }) {
  return JSON.stringify({
    amount: cents(amount.trim()),
    currency,
    to: to.trim(),
    order: number,
    sandbox: { delay_ms: Number(delay) },
  });
}

/** An amount in readable form. */
export function priceOf({ amount, currency }) {
  return `${(cents(amount.trim()) / 100).toFixed(2)} ${currency}`;
}

function cents(typed) {
  const [whole, part = ""] = typed.split(/[.,]/);
  return Number(whole) * 100 + Number(part.padEnd(2, "0"));
}
