// The page: clicks become orders, orders become payments, and every step is shown.

import { outcomeOf } from "/tower-idempotency.js";
import { callOf, join, leave, stop, timeLeft } from "/page/calls.js";
import { TOTAL_TIME, askSettings, clientFor, until } from "/page/client.js";
import { curlOf, headerOf } from "/page/curious.js";
import { ledgerOf } from "/page/ledger.js";
import { meaningOf, meaningOfError, meaningWithoutKey, saidBy } from "/page/meaning.js";
import { naiveFetch } from "/page/naive.js";
import { network } from "/page/network.js";
import * as orders from "/page/orders.js";
import { resultBy, resultOf } from "/page/results.js";
import { isUnderWay, showAttempts, showLedger } from "/page/tables.js";
import * as view from "/page/view.js";
import { statusOf, takenUp } from "/page/words.js";

const tab = crypto.getRandomValues(new Uint32Array(2)).join("-");
const ledger = ledgerOf(render);
const net = network(() => view.find("bad").checked, ledger.read);

let number = orders.lastOrder().number;
let settings;
/** The client, as soon as the profile of the server is known. */
const client = askSettings().then((said) => {
  settings = said;
  render();
  return clientFor(said, net.fetch);
});

/** The situation of each order, by its number. statusOf chooses the words by it. */
const situations = new Map();
/** The resumed orders, by number. The page says so until the next click. */
const notes = new Map();
/** The orders whose status is hidden until the ledger has been read. */
const unread = new Set([number]);
let shown;

function render() {
  const order = orders.order(number) ?? orders.newOrder();
  number = order.number;
  const attempts = orders.attempts();
  const own = ledger.payments?.filter((payment) => orders.isFor(payment, order));
  view.showOrder(order);
  view.showCounter(order, own?.length);
  showAttempts(attempts, order);
  showLedger(ledger.payments, order);
  const key = order.keyless ? undefined : order.keys.at(-1);
  const header = key && settings && headerOf(key, settings.profile);
  view.showCurious({
    header: header ?? (order.keyless ? "This order is sent without a key." : "The first click makes the key."),
    curl: header || order.keyless ? curlOf(order, header) : "",
    docs: settings?.docs,
  });
  // A response is judged with a ledger that was read after it. Until then the words do not change.
  if (unread.has(number) && order.stage !== "draft" && shown === number) return;
  shown = number;
  const requests = attempts.filter((attempt) => attempt.order === number);
  view.showStatus(
    statusOf(order, situationOf(order), own, {
      settings,
      takenUp: notes.get(number),
      lost: requests.filter(({ result }) => result?.isLost).length,
      isElsewhere: requests.some((attempt) => attempt.tab !== tab && isUnderWay(attempt)),
    }),
  );
  view.showOutcome();
}

function situationOf(order) {
  if (!isSecureContext && !order.keyless && order.stage !== "paid") return { kind: "insecure" };
  if (unread.has(order.number) && order.stage !== "draft") return { kind: "reading" };
  return situations.get(order.number);
}

/** A click on Pay, or Enter in a field. */
function click() {
  const order = orders.order(number);
  if (order.stage === "draft" && !view.showMistakes(orders.mistakes(order))) return;
  if (!isSecureContext && !order.keyless) return view.followOutcome();
  orders.update(number, ({ clicks, stage }) => ({ clicks: clicks + 1, stage: stage === "paid" ? "paid" : "sent" }));
  notes.delete(number);
  view.followOutcome();
  if (order.stage !== "draft" && isForgotten(order)) say(number, { kind: "unsure", reason: "expired" });
  else pay(number);
}

/**
 * Whether the retention of an order's key has nearly ended. The client would then use a new key and
 * pay again.
 */
function isForgotten({ keyless, sentAt }) {
  return !keyless && Date.now() - sentAt > 0.9 * settings?.retention_ms;
}

/** Sends an order, or joins its running request. */
async function pay(number) {
  const order = orders.order(number);
  const call = join(number);
  say(number, settings || order.keyless ? busy(number) : { kind: "asking" });

  const meaning = await (order.keyless ? withoutKey : withKey)(order, call);
  if (!order.keyless) orders.attemptWas(number, tab, resultBy(meaning));
  leave(number, call);
  if (meaning.stage === "paid") orders.update(number, confirmed(meaning));
  unread.add(number);
  if (callOf(number)) say(number, busy(number));
  else situations.set(number, meaning.situation);
  await ledger.read();
  // All clicks of a call get the same response, and the key is dropped once.
  const isOpen = meaning.stage !== "draft" || (await (call.reopened ??= reopen(number, meaning)));
  if (!isOpen) situations.set(number, { ...meaning.situation, kind: "unsure", reason: "rejected" });
  unread.delete(number);
  render();
  tick();
  if (!callOf(number)) view.endFollowing();
}

/** Returns the changes of an order after a response that confirms the payment. */
function confirmed({ payment, notStored = false }) {
  return ({ payments, responses }) => {
    const known = payment === undefined || payments.includes(payment);
    return { stage: "paid", payments: known ? payments : [...payments, payment], responses: responses + 1, notStored };
  };
}

/**
 * Whether the ledger shows that an order was not paid. A rejection alone does not show it: the
 * browser may have sent the request twice by itself, and the first response may be lost.
 */
function isUnpaid(number) {
  const order = orders.order(number);
  return order.stage === "sent" && ledger.payments?.every((payment) => !orders.isFor(payment, order)) === true;
}

/**
 * Lets the user correct an order that was certainly not paid. After a final response it gets a new
 * key. The old key stays if another tab has sent it too.
 */
async function reopen(number, { isOver }) {
  if (!isUnpaid(number)) return false;
  if (isOver && !(await (await client).finish(number).catch(() => false))) return false;
  return orders.update(number, { stage: "draft", ...(isOver && { sentAt: undefined }) });
}

/** Sends an order with the client, and returns the outcome. */
async function withKey(order, call) {
  const { number } = order;
  const { signal } = call.stop;
  try {
    const send = await until(signal, client);
    call.until ??= Date.now() + TOTAL_TIME;
    const response = await send("/payments", {
      ...payment(order, signal),
      operation: number,
      onProgress: (event) => progress(number, call, event),
    });
    return meaningOf({ response, said: await saidBy(response), outcome: outcomeOf(response) });
  } catch (error) {
    return meaningOfError(error, signal.aborted);
  }
}

/** Sends an order as many apps do, and returns the outcome. */
async function withoutKey(order, call) {
  const { number } = order;
  const { signal } = call.stop;
  let inDoubt = false;
  const told = {
    begins() {
      const id = crypto.getRandomValues(new Uint32Array(2)).join("-");
      orders.attemptBegins(number, id, null, tab);
      say(number, busy(number));
      return id;
    },
    ends(id, event) {
      orders.attemptEnds(id, tab, resultOf(event));
      render();
      ledger.read();
    },
    waits(delay) {
      inDoubt = true;
      say(number, call.clicks > 1 ? busy(number) : { kind: "retrying", delay });
    },
  };
  try {
    const response = await naiveFetch(net.fetch, "/payments", payment(order, signal), told);
    return meaningWithoutKey({ response, said: await saidBy(response), inDoubt });
  } catch {
    return meaningWithoutKey({ wasStopped: signal.aborted });
  }
}

function payment(order, signal) {
  const headers = { "content-type": "application/json" };
  return { method: "POST", headers, body: orders.bodyOf(order), signal };
}

function busy(number) {
  return { kind: "busy", clicks: callOf(number)?.clicks ?? 0, note: notes.get(number) };
}

function say(number, situation) {
  situations.set(number, situation);
  render();
}

/** The callbacks of the client. All callers that share a request may be called. */
function progress(number, call, event) {
  // Late callbacks of a stopped call do not concern the next call.
  if (call.stop.signal.aborted) return;
  if (event.type === "attempt") orders.attemptBegins(number, event.key, event.key, tab);
  if (event.type === "response" || event.type === "error") {
    orders.attemptEnds(event.key, tab, resultOf(event));
    ledger.read();
  }
  if (event.type === "retry") say(number, { kind: "retrying", delay: event.delay, note: notes.get(number) });
  else if (event.type === "storage-waiting") say(number, { kind: "storage" });
  else if (event.type === "attempt" || event.type === "joined") say(number, busy(number));
  else render();
}

/** Ends the running call of the order. Its key stays. */
function stopped() {
  orders.pageLeaves(tab, resultOf({ type: "stopped" }), number);
  stop(number);
  view.find("pay").focus();
  tick();
}

function tick() {
  view.showTimeLeft(timeLeft(number));
  view.showOutcome();
}

/**
 * Begins another order. The key of the previous one is dropped if its outcome is final.
 */
async function begin(fields = {}) {
  const before = orders.order(number);
  number = orders.newOrder({ ...before, ...fields }).number;
  net.startOver();
  view.showMistakes({});
  render();
  tick();
  if (before.keys.length > 0) await (await client).finish(before.number).catch(() => {});
}

/** Resumes the call that was running when the page was last left. */
async function takeUp() {
  const pending = await (await client).pending();
  for (const { operation, key } of pending) {
    const order = orders.order(operation);
    if (order?.stage !== "sent" || callOf(operation)) continue;
    notes.set(operation, takenUp(operation, key));
    pay(operation);
  }
}

const form = view.find("form");
form.addEventListener("submit", (event) => {
  event.preventDefault();
  click();
});
form.addEventListener("input", ({ target }) => {
  if (!target.name || orders.order(number)?.stage !== "draft") return;
  const { amount, currency, to, delay } = Object.fromEntries(new FormData(form));
  const order = orders.update(number, { amount, currency, to, delay });
  // A corrected error disappears at once. A new error is shown only when it matters.
  if (target.getAttribute("aria-invalid") === "true") {
    view.showMistake(target.name, orders.mistakes(order)[target.name]);
  }
});
view.find("new").addEventListener("click", () => {
  begin();
  view.find("amount").select();
});
view.find("keyless").addEventListener("change", ({ target }) => {
  // A sent order cannot change, so the switch begins another order.
  if (orders.order(number).clicks > 0) begin({ keyless: target.checked });
  else orders.update(number, { keyless: target.checked });
  render();
});
view.find("bad").addEventListener("change", net.startOver);
view.find("stop").addEventListener("click", stopped);
addEventListener("focus", ledger.read);
addEventListener("pagehide", () => orders.pageLeaves(tab, resultOf({ type: "left" })));
orders.onChangeElsewhere(() => {
  render();
  ledger.read();
});

setInterval(tick, 250);
render();
ledger.read().then(() => {
  unread.clear();
  render();
});
takeUp().catch(() => {});
