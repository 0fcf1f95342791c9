// The page: clicks become orders, orders become payments, and every step is shown.

import { createIdempotentFetch } from "/tower-idempotency.js";
import { network } from "/page/network.js";
import * as orders from "/page/orders.js";
import * as view from "/page/view.js";
import { busy, paid, refused, resultOf, resting, retrying, takenUp, unsure } from "/page/words.js";

/** For how long all clicks on one order are one payment. */
const LINGER = 10 * 60_000;
/** The client forgets the key at the end of that time, and a click is not to race with it. */
const MARGIN = 60_000;

const tab = crypto.getRandomValues(new Uint32Array(2)).join("-");
const client = createIdempotentFetch({ linger: LINGER, fetch: network(() => view.find("bad").checked, readLedger) });

let number = orders.lastOrder().number;
let ledger = [];
/** What there is to say of an order while it is under way, by its number. */
const says = new Map();
/** That an order was taken up again, by its number: told until the next click. */
const notes = new Map();
/** How many clicks wait for an answer, by the number of the order. */
const waiting = new Map();

function render() {
  const order = orders.order(number) ?? orders.newOrder();
  number = order.number;
  view.showOrder(order);
  view.showCounter(order, ledger.filter((payment) => orders.isFor(payment, order)).length);
  view.showStatus(order.stage === "paid" ? paid(order, notes.get(number)) : (says.get(number) ?? resting(order)));
  view.showLedger(ledger, order);
  view.showAttempts(orders.attempts(), order);
}

/** A click on Pay, or Enter in a field. */
function click() {
  const order = orders.order(number);
  if (order.stage === "draft" && !view.showMistakes(orders.mistakes(order))) return;
  orders.update(number, ({ clicks }) => ({ clicks: clicks + 1, stage: order.stage === "paid" ? "paid" : "sent" }));
  notes.delete(number);
  // Known to be paid: to ask under a new key now would be to pay again. So it would if the clock was set back.
  const age = Date.now() - order.paidAt;
  if (order.stage === "paid" && !(age >= 0 && age < LINGER - MARGIN)) render();
  else pay(number);
}

/** Sends an order, or joins the request that is under way for it. */
async function pay(number) {
  const order = orders.order(number);
  waiting.set(number, (waiting.get(number) ?? 0) + 1);
  says.set(number, busy(order, waiting.get(number), notes.get(number)));
  render();
  try {
    const answer = await client("/payments", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: orders.bodyOf(order),
      operation: number,
      onProgress: (event) => progress(number, event),
    });
    await judge(number, answer);
  } catch (error) {
    says.set(number, unsure(error));
  }
  waiting.set(number, waiting.get(number) - 1);
  render();
  readLedger();
}

/** Notes what the answer says of the order. */
async function judge(number, answer) {
  const said = await answer.json().catch(() => ({}));
  // Done, though the server did not keep the answer to show it again.
  const done = answer.ok || said.code === "idempotency_result_not_retained";
  if (done) {
    orders.update(number, ({ answers, payments = [], paidAt = Date.now() }) => {
      const known = said.id === undefined || payments.includes(said.id);
      return { stage: "paid", paidAt, answers: answers + 1, payments: known ? payments : [...payments, said.id] };
    });
    return;
  }
  // Nothing happened, and the order may be mended: its key goes on.
  if ([400, 413, 422].includes(answer.status)) orders.update(number, { stage: "draft" });
  says.set(number, refused(answer.status, said));
}

/** What the client tells on the way. Callers who share a request may all be told. */
function progress(number, event) {
  const note = notes.get(number);
  if (event.type === "attempt") orders.attemptBegins(number, event.key, tab);
  if (event.type === "answer" || event.type === "error") orders.attemptEnds(event.key, tab, resultOf(event));
  if (event.type === "retry") says.set(number, retrying(event, note));
  if (event.type === "attempt" || event.type === "joined") {
    says.set(number, busy(orders.order(number), waiting.get(number), note));
  }
  render();
  readLedger();
}

let reading = false;
let readAgain = false;

/** Reads the ledger: once more if asked meanwhile, but never twice at a time. */
async function readLedger() {
  readAgain = true;
  if (reading) return;
  reading = true;
  while (readAgain) {
    readAgain = false;
    try {
      const answer = await fetch("/payments");
      ledger = (await answer.json()).payments ?? [];
      render();
    } catch {
      view.showLedgerLost();
    }
  }
  reading = false;
}

/** Goes on with what was under way when the page was last left. */
async function takeUp() {
  for (const { operation, key } of await client.pending()) {
    const order = orders.order(operation);
    if (order?.stage !== "sent" || waiting.get(operation)) continue;
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
  // A mistake that is mended goes away at once; a new one is told when it matters.
  if (target.getAttribute("aria-invalid") === "true") {
    view.showMistake(target.name, orders.mistakes(order)[target.name]);
  }
});
view.find("new").addEventListener("click", () => {
  number = orders.newOrder(orders.order(number)).number;
  view.showMistakes({});
  render();
  view.find("amount").select();
});
addEventListener("focus", readLedger);
addEventListener("pagehide", () => orders.pageLeaves(tab, resultOf({ type: "left" })));
orders.onChangeElsewhere(render);

render();
readLedger();
takeUp();
