/**
 * Whether `fetch` rejected because of the network: the messages of Chromium, Firefox, Safari, Node, Deno, React Native and Cloudflare, and the
 * codes of Bun. A blocked port, a bad certificate or an unknown scheme is a failure that a retry does not mend.
 */
export function isNetworkError(error: unknown): boolean {
  if (typeof error !== "object" || error === null) return false;
  const { name, message, code, cause } = error as { name?: unknown; message?: unknown; code?: unknown; cause?: { code?: unknown; message?: unknown } };
  if (typeof code === "string" && BUN.test(code)) return true;
  return name === "TypeError" && MESSAGES.test(String(message)) && !PERMANENT.test(`${cause?.code} ${cause?.message}`);
}

const MESSAGES = /^(fetch failed|failed to fetch|network ?(error|request failed|connection lost)|a network error|load failed|the (network|internet) connection|terminated|error sending request|(error reading|request or response) a? ?body)/i;
const BUN = /^(Connection(Refused|Closed|Reset)|FailedToOpenSocket|ECONN(RESET|REFUSED|ABORTED)|ETIMEDOUT|Timeout|EPIPE)$/;
const PERMANENT = /bad port|scheme|redirect|CERT|ALTNAME|UNABLE_TO|ERR_INVALID/i;
