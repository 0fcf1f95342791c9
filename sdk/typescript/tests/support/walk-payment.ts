import { Random } from "./walk-random.js";

/**
 * The request of an operation: always the same for the same name. The payment's recipient is the
 * name.
 */
export function paymentOf(seed: number, name: string): RequestInit {
  const random = new Random(seed, `payment ${name}`);
  const wait = (): number => (random.chance(0.15) ? random.below(60) : 0);
  return {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer walk" },
    body: JSON.stringify({ amount: 1200, currency: "EUR", to: name, sandbox: { delay_ms: wait(), after_ms: wait() } }),
  };
}
