/**
 * How long an answer asks to wait, in milliseconds: `Retry-After` (RFC 9110, section 10.2.3) as seconds, or the time until a date.
 * The date is judged by the answer's own `Date` where there is one, so that a client whose clock is wrong waits no longer than others.
 * `undefined` if it asks for nothing that can be understood.
 */
export function retryAfter(headers: Headers, now: number): number | undefined {
  const asked = headers.get("retry-after")?.trim();
  if (!asked) return undefined;
  if (/^[0-9]+$/.test(asked)) return Number(asked) * 1000;
  const until = httpDate(asked);
  if (until === undefined) return undefined;
  const told = httpDate(headers.get("date")?.trim() ?? "");
  // A date that is past asks for no time at all.
  return Math.max(0, until - (told ?? now));
}

/** Reads the three forms of a date (RFC 9110, section 5.6.7), as milliseconds since 1970. */
function httpDate(text: string): number | undefined {
  const parts = (FIXDATE.exec(text) ?? RFC850.exec(text) ?? ASCTIME.exec(text))?.groups;
  if (!parts) return undefined;
  const month = MONTHS.indexOf(parts["month"]!);
  const [day, hour, minute, second] = [parts["day"]!, parts["hour"]!, parts["minute"]!, parts["second"]!].map(Number) as [number, number, number, number];
  let year = Number(parts["year"]);
  if (parts["year"]!.length === 2) year += year < 70 ? 2000 : 1900;
  const date = new Date(Date.UTC(year, month, day, hour, minute, second));
  // The 31st of February is no date, and neither is the 25th hour, nor a Sunday that was a Monday: the Rust client reads the same.
  const real = date.getTime() >= 0 && DAYS[date.getUTCDay()] === text.slice(0, 3) && date.getUTCDate() === day && date.getUTCMonth() === month && hour < 24 && minute < 60 && second < 60;
  return real ? date.getTime() : undefined;
}

const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const MONTH = `(?<month>${MONTHS.join("|")})`;
const TIME = "(?<hour>\\d\\d):(?<minute>\\d\\d):(?<second>\\d\\d)";
const FIXDATE = new RegExp(`^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?<day>\\d\\d) ${MONTH} (?<year>\\d{4}) ${TIME} GMT$`);
const RFC850 = new RegExp(`^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?<day>\\d\\d)-${MONTH}-(?<year>\\d\\d) ${TIME} GMT$`);
const ASCTIME = new RegExp(`^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) ${MONTH} (?<day>[ \\d]\\d) ${TIME} (?<year>\\d{4})$`);
