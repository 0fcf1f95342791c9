// The call that is under way for each order. All clicks that wait share it.

/** A flash of the time that is left would only disturb. */
const SHOWN_AFTER = 500;

const calls = new Map();

/** The call that is under way for an order, if there is one. */
export function callOf(number) {
  return calls.get(number);
}

/** Adds a click to the call of an order, which begins now if none is under way. */
export function join(number) {
  const call = calls.get(number) ?? { clicks: 0, since: Date.now(), stop: new AbortController() };
  call.clicks += 1;
  calls.set(number, call);
  return call;
}

/** Takes a click out of its call. The last one ends it. */
export function leave(number, call) {
  call.clicks -= 1;
  if (call.clicks === 0 && calls.get(number) === call) calls.delete(number);
}

/** Stops the call of an order, so that the next click begins another one. */
export function stop(number) {
  const call = calls.get(number);
  calls.delete(number);
  call?.stop.abort();
}

/**
 * How long the call of an order still goes on by itself, in words. `undefined`: there is no need to
 * say it.
 */
export function timeLeft(number) {
  const call = calls.get(number);
  if (!call || Date.now() - call.since < SHOWN_AFTER) return undefined;
  if (call.until === undefined) return "";
  return `This page gives up in ${Math.max(0, Math.ceil((call.until - Date.now()) / 1000))} s.`;
}
