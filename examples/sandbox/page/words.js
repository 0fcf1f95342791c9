// The words for the status of an order. Each is an object to show. Nothing here changes the page.

import { priceOf } from "/page/orders.js";

const GO_ON = "Click Pay to ask again. The key stays the same, so it cannot be paid twice.";
const RISK = "Without a key, another click can pay again.";

/**
 * The words for an order in a situation. `own` contains its payments in the ledger, or is
 * `undefined` if the ledger could not be read. `facts` contains the settings of the server and the
 * results of the order's requests.
 */
export function statusOf(order, situation, own, facts) {
  const goesOn = order.keyless && ["busy", "retrying"].includes(situation?.kind);
  if (order.stage === "paid" && !goesOn && situation?.kind !== "reading") return paid(order, situation, own, facts);
  return WORDS[situation?.kind ?? order.stage](order, situation, own, facts);
}

const WORDS = {
  draft: ({ keyless, requests }) => ({
    tone: "idle",
    title: requests > 0 ? "The server did not accept the last request." : "Nothing has been sent.",
    detail: keyless
      ? "Click Pay once, twice, ten times: the server sees only separate requests."
      : "Click Pay once, twice, ten times.",
  }),
  sent: (order, _, own, { isElsewhere }) => (isElsewhere && !own?.length ? ELSEWHERE : unsure(order, {}, own)),
  insecure: () => ({
    tone: "rejected",
    title: "This page cannot make keys here.",
    detail:
      "It was opened over plain http from another machine, where browsers withhold what a key needs. " +
      "Open it as localhost or over https. Nothing has been sent.",
  }),
  reading: () => ({ tone: "busy", title: "Reading the list of payments …", detail: "" }),
  asking: () => ({
    tone: "busy",
    title: "Asking the server for its settings …",
    detail: "Nothing has been sent yet: the page must know first how this server reads keys.",
  }),
  storage: () => ({
    tone: "busy",
    title: "Waiting for the storage of this browser …",
    detail: "Nothing has been sent yet. A key is stored first, so that a reload cannot pay twice.",
  }),
  busy: (order, { clicks, note }, own) => ({
    tone: "busy",
    title: "Paying …",
    detail: clicks > 1 ? waitingClicks(order, clicks) : "Waiting for the response.",
    note: note ?? seen(own),
  }),
  retrying: (order, { delay, note }, own) => ({
    tone: "busy",
    title: "Paying …",
    detail: `No final response. Retry in ${(delay / 1000).toFixed(1)} s, ${order.keyless ? "without a key" : "with the same key"}.`,
    note: note ?? seen(own),
  }),
  unsure,
  rejected: (order, { status, words }, own) =>
    own?.length
      ? unsure(order, { reason: "rejected", status, words }, own)
      : { tone: "rejected", title: "Not paid.", detail: rejection({ status, words }) },
  "not-understood": (_, { words }) => ({
    tone: "rejected",
    title: "Not paid: the server did not understand the key.",
    detail: "This is a fault of the page, and nothing has happened.",
    note: words,
  }),
  "key-required": () => ({
    tone: "rejected",
    title: "Not paid: this server accepts no request without a key.",
    detail: "Turn “Send no key” off. The server was started with the flag --require-key.",
  }),
};

const ELSEWHERE = {
  tone: "busy",
  title: "A request was sent a moment ago.",
  detail: "Another tab of this browser may still wait for its response.",
  note: GO_ON,
};

function waitingClicks({ keyless }, clicks) {
  return keyless ? `${clicks} clicks, and each sent a request of its own.` : `${clicks} clicks wait for one response.`;
}

/** The payments that the server has made before the response arrives. */
function seen(own) {
  if (!own?.length) return undefined;
  return `The server has made ${count(own, "payment")} already.`;
}

const REASONS = {
  stopped: () => "You stopped before a response came.",
  "gave-up": () => "No usable response came, and this page has stopped its retries.",
  "no-response": () => "No response came.",
  login: () => "Another page came back, perhaps one to log in: the response is not from the payment server.",
  elsewhere: ({ status }) => `A response with status ${status} says nothing about this payment: the server may not have sent it.`,
  rejected: (said, own) => (own?.length ? rejection(said) : `${rejection(said)} Another request of this order may have been paid.`),
  server: ({ words, status }) => (words ? sentence(`The server says: ${words}`) : `The server cannot do it now (status ${status}).`),
  untold: () => "The server has done this order earlier, and does not say how it ended.",
  storage: () => "This browser could not read its storage, so nothing was sent this time.",
  clock: () => "The stored key is dated ahead of the clock of this machine, so nothing was sent. Check the clock.",
};

/** An order with an outcome unknown to this browser. The server may still have paid it. */
function unsure(order, { reason, ...more }, own) {
  const why = REASONS[reason]?.(more, own);
  if (reason === "expired" || reason === "reused") return stuck(reason, own);
  if (order.keyless) return unsureWithoutKey(why, own);
  if (own?.length === 1) {
    return {
      tone: "unsure",
      title: "The server has paid it. This browser has no response yet.",
      detail: why ?? "",
      note: "Click Pay: the server sends its response again, and pays nothing.",
    };
  }
  if (own?.length > 1) return tooMany(order, own, {});
  return { tone: "unsure", title: "It is not known yet whether this was paid.", detail: why ?? GO_ON, note: why && GO_ON };
}

function stuck(reason, own) {
  const shown = own ? `The server has made ${count(own, "payment")} for this order.` : LEDGER_LOST;
  return {
    tone: "rejected",
    title: reason === "expired" ? "Too late for a retry." : "The server knows this key with another request.",
    detail: reason === "expired" ? "The server has forgotten the key by now, so nothing was sent." : "It has done nothing now.",
    note: `${shown} Begin a new order to go on.`,
  };
}

function unsureWithoutKey(why, own) {
  if (!own?.length) {
    return { tone: "unsure", title: "It is not known whether this was paid.", detail: why ?? RISK, note: why && RISK };
  }
  return {
    tone: "rejected",
    title: `This browser has no response, and the server has made ${count(own, "payment")}.`,
    detail: why ?? "",
    note: RISK,
  };
}

const LEDGER_LOST = "The list of payments cannot be read now, so this page cannot say how often it was paid.";

/** An order that a response has confirmed. The ledger shows how often it was paid. */
function paid(order, situation, own, facts) {
  const terms = `${priceOf(order)} to ${order.to.trim()}`;
  if (!own) return { tone: "unsure", title: "Paid.", detail: `${terms}.`, note: LEDGER_LOST };
  if (own.length > 1) return tooMany(order, own, facts);
  const unknown = order.payments.filter((id) => own[0]?.id !== id);
  if (own.length === 0 || unknown.length > 0) {
    return {
      tone: "rejected",
      title: "The response and the list of payments do not agree.",
      detail: `The response says that it is paid. The list shows ${count(own, "payment")} for this order.`,
      note: unknown.length > 0 ? `Not in the list: ${unknown.join(", ")}.` : "",
    };
  }
  return { tone: "done", title: "Paid, once.", detail: `${terms}, payment ${own[0].id}.`, note: noteOf(order, situation, facts) };
}

function noteOf({ keyless, responses, notStored }, situation, { takenUp, settings }) {
  if (keyless) return "This time. Without a key, a second click or a lost response is a second payment.";
  if (situation?.reason === "expired") return "The server forgets the key about now, so the last click sent nothing.";
  if (situation?.reason === "clock") return REASONS.clock();
  if (situation?.reason === "rejected") return "The server did not accept the last click, and nothing changed.";
  if (situation?.kind === "unsure") return "The last click got no response, and changed nothing.";
  const times = responses > 1 ? `The same response came ${responses} times.` : "Click again: it stays one payment.";
  const limit = settings && `It stores responses of up to ${bytes(settings.max_response)}.`;
  const stored = notStored ? `The server had done it already, and had not stored its response. ${limit ?? ""}` : times;
  return takenUp ? `${takenUp} ${stored}` : stored;
}

function bytes(size) {
  return size < 1024 ? `${size} bytes` : `${Math.floor(size / 1024)} KiB`;
}

/** An order that the ledger shows more than once. */
function tooMany(order, own, { lost = 0 }) {
  const title = `Paid ${own.length} times!`;
  if (!order.keyless) {
    return { tone: "rejected", title, detail: "This browser has lost the key of the order, and a new key is a new payment." };
  }
  const sent = `${count(order.clicks, "click")} sent ${count(order.requests, "request")}`;
  const why = lost > 0 ? ` because ${lost === 1 ? "a response was" : `${lost} responses were`} lost` : "";
  return {
    tone: "rejected",
    title,
    detail: `${sent}${why}, and without a key the server took each request for a new payment.`,
    note: "Turn “Send no key” off: a new order begins, and it is paid once.",
  };
}

/** An order whose call was running when the page was left. */
export function takenUp(number, key) {
  return `Order ${number} was under way when this page was left. It went on with its key, …${key.slice(-8)}.`;
}

/** A number with its unit. */
export function count(number, what) {
  const length = typeof number === "number" ? number : number.length;
  return `${length} ${what}${length === 1 ? "" : "s"}`;
}

function rejection({ status, words }) {
  return words ? sentence(`The server says: ${words}`) : `The server did not accept the request (status ${status}).`;
}

function sentence(words) {
  const whole = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}
