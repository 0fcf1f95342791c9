import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { fateOf, Gateway } from "./gateway.js";
import type { Sandbox } from "./sandbox.js";
import type { Errand, Note } from "./walk-messages.js";
import { Random } from "./walk-random.js";

export interface WalkOptions {
  seed: number;
  operations: number;
  sandbox: Sandbox;
}

/** What a walk came to. All lists are empty if the client is right. */
export interface Walked {
  /** More than one effect. */
  double: string[];
  /** No effect, after the network and the storage work again. */
  lost: string[];
  /** Said to be done, but with another key than the one that the effect has. */
  misled: string[];
  /** A result whose outcome the client cannot tell. */
  mute: string[];
  /** How processes ended that were not killed, and should have ended well. */
  crashed: string[];
  /** Pending, as the client says, although their outcome was final. */
  pending: string[];
  /** Records of names that the storage still contains after `finish` was called for each. */
  left: string[];
  /** How it went, for people. */
  figures: Record<string, unknown>;
}

/**
 * Walks named operations: processes that are killed go on with them through a gateway and a storage
 * that fail, until each is done or was tried often enough. Then all is mended, and one more process
 * brings each to its end.
 */
export async function walkNamed({ seed, operations, sandbox }: WalkOptions): Promise<Walked> {
  const walk = await Walk.start(seed, sandbox, "process");
  const names = Array.from({ length: operations }, (_, index) => `${seed} order ${index}`);
  // Every fifth name is walked by two processes at a time, as by two tabs. These let go of no key
  // before the end.
  const shared = names.filter((_, index) => index % 5 === 0);
  const own = names.filter((_, index) => index % 5 !== 0);
  const [one, other] = [own.filter((_, index) => index % 2 === 0), own.filter((_, index) => index % 2 === 1)];
  await Promise.all([walk.chaos(one, true), walk.chaos(other, true)]);
  await Promise.all([walk.chaos(shared, false), walk.chaos(shared, false)]);
  return walk.end(names);
}

/**
 * Walks operations that have no name, in one process that has a document. They cannot be told from
 * one another after a restart, so that it lives on.
 */
export async function walkUnnamed({ seed, operations, sandbox }: WalkOptions): Promise<Walked> {
  const walk = await Walk.start(seed, sandbox, "page");
  return walk.page(Array.from({ length: operations }, (_, index) => `${seed} click ${index}`));
}

class Walk {
  readonly #directory = mkdtempSync(join(tmpdir(), "walk-"));
  readonly #begun = performance.now();
  readonly #done = new Map<string, { key: string; replayed: boolean }>();
  readonly #finishing = new Set<string>();
  readonly #mute = new Map<string, string>();
  readonly #open: Record<string, number> = {};
  readonly #counts = { lives: 0, kills: 0, calls: 0, rejected: 0, replayed: 0, finishedOnTheWay: 0 };
  #gateway!: Gateway;
  readonly #crashed: string[] = [];
  #pending: string[] = [];
  #left: string[] = ["the last process did not say"];
  #chaos = 0;

  private constructor(
    readonly seed: number,
    readonly sandbox: Sandbox,
    readonly kind: "process" | "page",
    readonly effectsBefore: number,
  ) {}

  static async start(seed: number, sandbox: Sandbox, kind: "process" | "page"): Promise<Walk> {
    const walk = new Walk(seed, sandbox, kind, sandbox.effects().length);
    const entryPoints = [fileURLToPath(new URL("walk-process.ts", import.meta.url))];
    // A page has a document. The client looks whether there is one, and at nothing else of it.
    const banner = kind === "page" ? { js: "globalThis.document = {};" } : {};
    await build({ entryPoints, outfile: walk.#program, banner, bundle: true, platform: "node", format: "esm", target: "node20", logLevel: "error" });
    walk.#gateway = await Gateway.start(sandbox.port, (name, number) => fateOf(new Random(seed, `${name} request ${number}`), 400));
    return walk;
  }

  get #program(): string {
    return join(this.#directory, "walk.mjs");
  }

  /**
   * Lives of processes that are killed, one after the other, until all names are done or enough
   * lives were lived.
   */
  async chaos(names: string[], finishes: boolean): Promise<void> {
    const random = new Random(this.seed, `kills ${names[0]} ${this.#counts.lives}`);
    for (let lives = 0; lives < 400; lives++) {
      const left = names.filter((name) => !this.#done.has(name));
      if (left.length === 0) return;
      const process = this.#live({ names: left, finishes, mended: false });
      await Promise.race([once(process, "message"), once(process, "exit")]);
      const killing = setTimeout(() => {
        this.#counts.kills++;
        process.kill("SIGKILL");
      }, 100 + random.below(2_000));
      await this.#over(process);
      clearTimeout(killing);
    }
  }

  /** Mends all, brings each name to its end, and counts. */
  async end(names: string[]): Promise<Walked> {
    await this.#mendGateway();
    this.#counts.finishedOnTheWay = this.#finishing.size;
    const left = names.filter((name) => !this.#finishing.has(name));
    const last = this.#live({ names: left, letGo: [...this.#finishing], finishes: true, mended: true });
    await this.#over(last);
    return this.#count(names);
  }

  /**
   * One process that goes through all names, and sees the gateway and the storage mended at last.
   */
  async page(names: string[]): Promise<Walked> {
    const process = this.#live({ names, finishes: false, mended: false });
    const mending = setTimeout(() => void this.#mendGateway().then(() => process.send("mend", () => {})), 45_000);
    await this.#over(process);
    clearTimeout(mending);
    await this.#mendGateway();
    return this.#count(names);
  }

  /** Waits for the end of a process. One that was not killed has to end by itself, and well. */
  async #over(process: ChildProcess): Promise<void> {
    if (process.exitCode === null && process.signalCode === null) await once(process, "exit");
    if (process.signalCode !== "SIGKILL" && process.exitCode !== 0) this.#crashed.push(`${process.exitCode} ${process.signalCode}`);
  }

  async #mendGateway(): Promise<void> {
    if (this.#chaos === 0) this.#chaos = performance.now() - this.#begun;
    await this.#gateway.mend();
  }

  #live(part: Pick<Errand, "names" | "finishes" | "mended"> & Partial<Errand>): ChildProcess {
    const process = fork(this.#program, { execArgv: ["--enable-source-maps"] });
    const errand: Errand = {
      type: "errand",
      seed: this.seed,
      life: ++this.#counts.lives,
      url: this.#gateway.url,
      directory: join(this.#directory, "keys"),
      named: this.kind === "process",
      letGo: [],
      ...part,
    };
    process.on("message", (message: Note) => {
      this.#take(message);
      // A process that was killed meanwhile takes no message any more.
      if (process.connected) process.send("acknowledged", () => {});
    });
    process.send(errand, () => {});
    return process;
  }

  #take(note: Note): void {
    if (note.type === "done") {
      this.#done.set(note.name, note);
      if (note.replayed) this.#counts.replayed++;
    }
    if (note.type === "finishing") this.#finishing.add(note.name);
    if (note.type === "left") this.#left = note.records;
    if (note.type === "rejected") this.#counts.rejected++;
    if (note.type === "mute") this.#mute.set(note.name, note.result);
    if (note.type === "open") this.#open[note.result.slice(0, 60)] = (this.#open[note.result.slice(0, 60)] ?? 0) + 1;
    if (note.type === "pending") this.#pending = note.names;
    if (["done", "rejected", "open", "mute"].includes(note.type)) this.#counts.calls++;
  }

  async #count(names: string[]): Promise<Walked> {
    const { passages, fates } = this.#gateway;
    const nameOf = new Map(Array.from(passages, ([name, { keys }]) => keys.map((key) => [key, name] as const)).flat());
    const effects = new Map<string, string[]>();
    for (const { key } of this.sandbox.effects().slice(this.effectsBefore)) {
      const name = nameOf.get(String(key)) ?? `a key that no name has: ${key}`;
      effects.set(name, [...(effects.get(name) ?? []), String(key)]);
    }
    await this.#gateway.stop();
    rmSync(this.#directory, { recursive: true, force: true });
    const requests = Array.from(passages.values()).reduce((sum, { requests }) => sum + requests, 0);
    return {
      double: Array.from(effects).filter(([, keys]) => keys.length > 1).map(([name, keys]) => `${name}: ${keys.join(" ")}`),
      lost: names.filter((name) => !effects.has(name) || !this.#done.has(name)),
      misled: names.filter((name) => this.#done.has(name) && effects.has(name) && !effects.get(name)!.includes(this.#done.get(name)!.key)),
      mute: Array.from(this.#mute, ([name, result]) => `${name}: ${result}`),
      crashed: this.#crashed,
      pending: this.#pending,
      left: this.#left.filter((operation) => operation.startsWith("named:")),
      figures: {
        seed: this.seed,
        operations: names.length,
        effects: this.sandbox.effects().length - this.effectsBefore,
        requests,
        ...this.#counts,
        seconds: Number(((performance.now() - this.#begun) / 1_000).toFixed(1)),
        secondsUntilMended: Number((this.#chaos / 1_000).toFixed(1)),
        fates,
        open: this.#open,
      },
    };
  }
}
