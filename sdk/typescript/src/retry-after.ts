/**
 * How long a response asks to wait, in milliseconds: `Retry-After` (RFC 9110, section 10.2.3) as
 * seconds, or the time until a date. The date is judged by the response's own `Date` where there is
 * one, so that a client whose clock is wrong waits no longer than others. 0 if it asks for nothing
 * that can be understood.
 */
export function retryAfter(headers: { get(name: string): string | null }, now: number): number {
  const asked = headers.get("retry-after")?.trim() ?? "";
  if (/^\d+$/.test(asked)) return Number(asked) * 1000;
  return Math.max(0, (httpDate(asked) ?? 0) - (httpDate(headers.get("date")?.trim() ?? "") ?? now));
}

/** Reads the three forms of a date (RFC 9110, section 5.6.7), as milliseconds since 1970. */
function httpDate(text: string): number | undefined {
  const parts = text.split(/[ ,-]+/);
  let [day, date, month, year, time, zone] = parts;
  if (parts.length === 5) [day, month, date, time, year, zone] = [...parts, "GMT"];
  if (year?.length === 2) year = (year < "70" ? "20" : "19") + year;
  const written = `${day?.slice(0, 3)}, ${date?.padStart(2, "0")} ${month} ${year} ${time} ${zone}`;
  const read = Date.parse(written);
  // What is not a date of the calendar is not written again as it was: the 31st of February, the
  // 25th hour, a Sunday that was a Monday.
  return read >= 0 && new Date(read).toUTCString() === written ? read : undefined;
}
