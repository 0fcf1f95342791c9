import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Locator, Page } from "playwright-core";

/**
 * The example `admin`: `ADMIN_EXAMPLE`, or what `cargo build --all-features --example admin` has
 * made.
 */
const PROGRAM = process.env["ADMIN_EXAMPLE"] ?? fileURLToPath(new URL("../../../../target/debug/examples/admin", import.meta.url));

export const CREDENTIALS = { username: "ana", password: "night" };

/** The example `admin` in a process of its own: payments, and the page for their operators. */
export class Payments {
  readonly #process: ChildProcess;

  readonly #payments: string;

  private constructor(
    started: ChildProcess,
    /** The page for operators. */
    readonly page: string,
    payments: string,
  ) {
    this.#process = started;
    this.#payments = payments;
  }

  static async start(): Promise<Payments> {
    if (!existsSync(PROGRAM)) {
      throw new Error(`${PROGRAM} is missing: run \`cargo build --all-features --example admin\`, or set ADMIN_EXAMPLE`);
    }
    const started = spawn(PROGRAM, ["127.0.0.1:0", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "inherit"] });
    const addresses: string[] = [];
    for await (const line of createInterface({ input: started.stdout })) {
      const address = /http:\/\/[^ ]+/.exec(line)?.[0];
      if (address) addresses.push(address);
      const [page, payments] = addresses;
      if (page && payments) return new Payments(started, page, payments);
    }
    throw new Error("the example ended without output");
  }

  /** Pays as a client does. `acct_slow` is a provider that times out. */
  pay(key: string, to = "acct_2", path = ""): Promise<Response> {
    return fetch(`${this.#payments}${path}`, {
      method: "POST",
      headers: { authorization: "acct_1", "content-type": "application/json", "x-idempotency-key": key },
      body: JSON.stringify({ amount: 1200, to }),
    });
  }

  /** Asks a route as a program of an operator does. */
  ask(path: string, options: RequestInit = {}): Promise<Response> {
    const credentials = Buffer.from(`${CREDENTIALS.username}:${CREDENTIALS.password}`).toString("base64");
    const headers = { authorization: `Basic ${credentials}`, "content-type": "application/json" };
    return fetch(`${this.page}/${path}`, { ...options, headers });
  }

  async end(): Promise<void> {
    if (this.#process.signalCode !== null) return;
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await ended;
  }
}

/** The page for operators, by the words that a person finds on it. */
export class Desk {
  constructor(readonly page: Page) {}

  get rows(): Locator {
    return this.page.getByRole("table", { name: "Records" }).locator("tbody tr");
  }

  /** The button on top for a state. */
  state(name: string): Locator {
    return this.page.locator(".state").filter({ hasText: new RegExp(`${name}`) });
  }

  get record(): Locator {
    return this.page.getByRole("region", { name: /^Record [0-9a-f]{8}$/ });
  }

  get dialog(): Locator {
    return this.page.getByRole("dialog");
  }

  get history(): Locator {
    return this.record.locator("#history li");
  }

  field(name: string): Locator {
    return this.record.getByLabel(name, { exact: true });
  }

  async choose(what: string): Promise<void> {
    await this.record.getByRole("radio", { name: what }).check();
  }

  /** Opens the only record that the table shows in this state. */
  async open(state: string): Promise<void> {
    await this.rows.filter({ hasText: state }).getByRole("button").click();
    await this.record.waitFor();
  }

  async review(): Promise<void> {
    await this.record.getByRole("button", { name: "Continue" }).click();
  }

  async send(name: string): Promise<void> {
    await this.dialog.getByRole("button", { name }).click();
    await this.dialog.waitFor({ state: "hidden" });
  }

  async says(words: string): Promise<void> {
    await this.page.getByText(words).first().waitFor();
  }
}
