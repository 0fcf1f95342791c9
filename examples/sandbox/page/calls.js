// The running call of each order. All waiting clicks share it.

/** The remaining time is hidden at the start of a call, because it would only flash. */
const SHOWN_AFTER = 500;

const calls = new Map();

/** The running call of an order, if there is one. */
export function callOf(number) {
  return calls.get(number);
}

/** Adds a click to the call of an order. It starts a call if none is running. */
export function join(number) {
  const call = calls.get(number) ?? { clicks: 0, since: Date.now(), stop: new AbortController() };
  call.clicks += 1;
  calls.set(number, call);
  return call;
}

/** Removes a click from its call. Removing the last click ends the call. */
export function leave(number, call) {
  call.clicks -= 1;
  if (call.clicks === 0 && calls.get(number) === call) calls.delete(number);
}

/** Stops the call of an order, so that the next click starts another call. */
export function stop(number) {
  const call = calls.get(number);
  calls.delete(number);
  call?.stop.abort();
}

/**
 * The remaining time of the call of an order, in words. `undefined` if the page need not show it.
 */
export function timeLeft(number) {
  const call = calls.get(number);
  if (!call || Date.now() - call.since < SHOWN_AFTER) return undefined;
  if (call.until === undefined) return "";
  return `This page gives up in ${Math.max(0, Math.ceil((call.until - Date.now()) / 1000))} s.`;
}
