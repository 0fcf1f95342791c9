/**
 * How long a response asks to wait, in milliseconds: `Retry-After` (RFC 9110, section 10.2.3) as
 * seconds, or the time until a date. The date is judged by the response's own `Date` where there is
 * one, so that a client whose clock is wrong waits no longer than others. 0 if it asks for nothing
 * that can be understood.
 */
export function retryAfter(headers: { get(name: string): string | null }, now: number): number {
  const asked = headers.get("retry-after")?.trim() ?? "";
  const date = (text: string | null): number => Date.parse(text ?? "");
  return /^\d+$/.test(asked) ? Number(asked) * 1000 : Math.max(0, date(asked) - (date(headers.get("date")) || now)) || 0;
}
