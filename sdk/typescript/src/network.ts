/**
 * Whether `fetch` rejected because of the network. It knows the messages of Chromium, Firefox,
 * Safari, Node, Deno, React Native and Cloudflare, and the codes of Bun. A blocked port, a bad
 * certificate or an unknown scheme is a permanent error, so it is not a network error here.
 */
export function isNetworkError(error: unknown): boolean {
  const { name, message, code, cause } = Object(error) as { name?: string; message?: string; code?: unknown; cause?: unknown };
  const { code: why, message: said } = Object(cause) as { code?: string; message?: string };
  return CODES.test(String(code)) || (name === "TypeError" && MESSAGES.test(message!) && !PERMANENT.test(`${why} ${said}`));
}

const MESSAGES = /^(fetch failed|failed to fetch|load failed|(a )?network|the (network|internet) connection|error sending request)/i;
const CODES = /^(Connection|FailedToOpen|E(CONN|TIMEDOUT|PIPE|NOTFOUND|AI_AGAIN))/;
const PERMANENT = /bad port|scheme|redirect|CERT|ALTNAME|UNABLE_TO|ERR_INVALID/i;
