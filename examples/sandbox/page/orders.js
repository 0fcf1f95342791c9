// The orders of this browser and the requests made for them, kept so that a reload, a second tab and the next start of
// the browser find them. The keys are not here: the client keeps those.

const PLACE = "tower-idempotency.sandbox";

/** Orders that are done are of interest for a while; one that is not done is never dropped. */
const MOST_DONE = 20;
const MOST_ATTEMPTS = 100;

/** Without the letters and digits that are taken for one another. */
const LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ";

/** Stands in where the browser keeps nothing: then it is newer than what may be there. */
let memory = null;

function read() {
  try {
    const state = JSON.parse(memory ?? localStorage.getItem(PLACE));
    if (state?.orders && Array.isArray(state.attempts)) return state;
  } catch {
    // What cannot be read is as good as nothing.
  }
  return { current: null, orders: {}, attempts: [] };
}

/** Changes what is kept. Read anew each time, for another tab may have changed it since. */
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
    // It lasts as long as the page then.
    memory = text;
  }
  return result;
}

/** The order that this browser was at, or a first one. */
export function lastOrder() {
  const { current, orders } = read();
  return orders[current] ?? newOrder();
}

/** Begins an order. What was typed into the one before is offered again. */
export function newOrder(like = {}) {
  return change((state) => {
    let number;
    do number = mint();
    while (state.orders[number]);
    const { amount = "12.00", currency = "EUR", to = "acct_2", delay = "0" } = like;
    // A draft becomes "sent" by the first click, and "paid" by an answer that says so.
    const order = { number, at: Date.now(), amount, currency, to, delay, stage: "draft", clicks: 0, requests: 0, answers: 0 };
    state.orders[number] = order;
    state.current = number;
    return order;
  });
}

function mint() {
  const draws = crypto.getRandomValues(new Uint32Array(4));
  return Array.from(draws, (draw) => LETTERS[draw % LETTERS.length]).join("");
}

/** The order of this number as it is now. */
export function order(number) {
  return read().orders[number];
}

/** Changes an order: by fields that replace its own, or by a function that gives such fields. */
export function update(number, fields) {
  return change(({ orders }) => {
    const order = orders[number];
    return order && Object.assign(order, typeof fields === "function" ? fields(order) : fields);
  });
}

/** Notes that a request leaves. Asked twice for the same, it notes it once. */
export function attemptBegins(number, key, tab) {
  change(({ orders, attempts }) => {
    if (attempts.some((attempt) => isOpen(attempt, key, tab))) return;
    const order = orders[number];
    if (!order) return;
    order.requests += 1;
    if (!(order.keys ??= []).includes(key)) order.keys.push(key);
    attempts.push({ order: number, key, tab, count: order.requests, at: Date.now(), result: null });
  });
}

/** Notes what became of the request under this key that this page has open. */
export function attemptEnds(key, tab, result) {
  change(({ attempts }) => {
    const open = attempts.find((attempt) => isOpen(attempt, key, tab));
    if (open) open.result = result;
  });
}

/** Notes for every request of this page that is open that nobody will hear its answer. */
export function pageLeaves(tab, result) {
  change(({ attempts }) => {
    for (const attempt of attempts) if (attempt.tab === tab) attempt.result ??= result;
  });
}

function isOpen(attempt, key, tab) {
  return attempt.key === key && attempt.tab === tab && attempt.result === null;
}

/** Whether a payment was made for an order: under any key that it ever had, or a second payment would not be seen. */
export function isFor(payment, { keys = [] }) {
  return keys.includes(payment.key);
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

/** What is wrong with the fields, in words, by the name of the field. */
export function mistakes({ amount, to }) {
  const found = {};
  const typed = amount.trim();
  if (typed === "") found.amount = "Enter an amount, for example 12.00.";
  else if (!/^\d+([.,]\d{1,2})?$/.test(typed)) found.amount = "Enter digits, with at most two after the point: 12.00.";
  else if (cents(typed) === 0) found.amount = "Enter more than 0.";
  else if (cents(typed) > 100_000_000) found.amount = "Enter at most 1000000.";
  if (to.trim() === "") found.to = "Enter who is to be paid, for example acct_2.";
  return found;
}

/** The body of the payment: the same bytes whenever it is asked for. */
export function bodyOf({ amount, currency, to, delay }) {
  return JSON.stringify({
    amount: cents(amount.trim()),
    currency,
    to: to.trim(),
    sandbox: { delay_ms: Number(delay) },
  });
}

/** An amount as people read it. */
export function priceOf({ amount, currency }) {
  return `${(cents(amount.trim()) / 100).toFixed(2)} ${currency}`;
}

function cents(typed) {
  const [whole, part = ""] = typed.split(/[.,]/);
  return Number(whole) * 100 + Number(part.padEnd(2, "0"));
}
