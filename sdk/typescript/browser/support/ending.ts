import { afterEach } from "vitest";

/** Ends what a test started, the latest first, whether it passed or not. */
const started: { end(): Promise<unknown> }[] = [];

/** Has something end with the test. */
export function endsWithTheTest<T extends { end(): Promise<unknown> }>(thing: T): T {
  started.push(thing);
  return thing;
}

afterEach(async () => {
  for (let thing = started.pop(); thing; thing = started.pop()) await thing.end();
});
