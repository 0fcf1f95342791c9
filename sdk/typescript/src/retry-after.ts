/**
 * How long a response asks to wait, in milliseconds: `Retry-After` (RFC 9110, section 10.2.3) as
 * seconds, or the time until a date. That time counts from the `Date` of the response, if it has
 * one. So a client with a wrong clock does not wait longer than others. 0 if the header is absent
 * or malformed.
 */
export function retryAfter(headers: { get(name: string): string | null }, now: number): number {
  const asked = headers.get("retry-after")?.trim() ?? "";
  const date = (text: string | null): number => Date.parse(text ?? "");
  return /^\d+$/.test(asked) ? Number(asked) * 1000 : Math.max(0, date(asked) - (date(headers.get("date")) || now)) || 0;
}
