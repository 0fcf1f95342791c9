import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/**
 * The program of the sandbox: `SANDBOX`, or what `cargo build --all-features --example sandbox` has
 * made.
 */
const SANDBOX = process.env["SANDBOX"] ?? fileURLToPath(new URL("../../../../target/debug/examples/sandbox", import.meta.url));
const MISSING = `${SANDBOX} is missing: run \`cargo build --all-features --example sandbox\`, or set SANDBOX`;

/**
 * Whether tests against the sandbox can run. Where it is missing they are skipped by name, and fail
 * in CI.
 */
export function sandboxIsThere(): boolean {
  if (existsSync(SANDBOX)) return true;
  if (process.env["CI"]) throw new Error(MISSING);
  console.warn(MISSING);
  return false;
}

/** A line of the ledger: something that cannot be taken back. */
export interface Effect {
  key: string | null;
  scope: string;
  attempt: number;
  id: string;
  at: number;
  amount: number;
  currency: string;
  to: string;
  order?: string;
}

/**
 * A sandbox in a process of its own, with a ledger of its own. It can be killed and started again
 * where it was.
 */
export class Sandbox {
  readonly directory = mkdtempSync(join(tmpdir(), "sandbox-"));
  readonly #ledger = join(this.directory, "ledger");
  #process: ChildProcess | undefined;
  #port = 0;

  private constructor(readonly flags: string[]) {}

  /** Starts a sandbox on a free port. `DIRECTORY` in a flag is a directory that goes with it. */
  static async start(...flags: string[]): Promise<Sandbox> {
    const sandbox = new Sandbox(flags);
    await sandbox.again();
    return sandbox;
  }

  /** Starts it again, at the same address and with the same ledger. */
  async again(): Promise<void> {
    if (!existsSync(SANDBOX)) throw new Error(MISSING);
    const flags = this.flags.map((flag) => flag.replace("DIRECTORY", this.directory));
    const args = ["--listen", `127.0.0.1:${this.#port}`, "--ledger", this.#ledger, ...flags];
    const started = spawn(SANDBOX, args, { stdio: ["ignore", "pipe", "inherit"] });
    this.#process = started;
    for await (const line of createInterface({ input: started.stdout })) {
      this.#port = Number(new URL(line.replace("listening on ", "")).port);
      return;
    }
    throw new Error("the sandbox ended without a word");
  }

  /** Ends the process as a crash would, and waits until it is gone. */
  async kill(): Promise<void> {
    const ending = this.#process;
    if (!ending || ending.exitCode !== null || ending.signalCode !== null) return;
    const ended = once(ending, "exit");
    ending.kill("SIGKILL");
    await ended;
  }

  /** Ends it, and drops all that it wrote. */
  async end(): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }

  get port(): number {
    return this.#port;
  }

  get address(): string {
    return `http://127.0.0.1:${this.#port}/`;
  }

  /** Empties the ledger, as a server does that is set up anew. */
  loseLedger(): void {
    truncateSync(this.#ledger);
  }

  /** The effects that really happened, read off the file. */
  effects(): Effect[] {
    const lines = existsSync(this.#ledger) ? readFileSync(this.#ledger, "utf8") : "";
    return lines.split("\n").filter(Boolean).map((line) => JSON.parse(line) as Effect);
  }
}
