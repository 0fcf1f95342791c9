import { createServer, request as send, Agent, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Random } from "./walk-random.js";

/** What a gateway does with one request: whether the server gets it, and what the client gets. */
export interface Fate {
  /** `late`: the server gets it after the client has its response, or none. */
  forward: "now" | "late" | "never";
  reply: "pass" | "lost" | "cut-head" | "cut-body" | "login" | number;
  /** Milliseconds before the response. */
  delay: number;
}

/** What happened on the way of one name. */
export interface Passage {
  /** Each key that the requests of the name carried, in order of its first appearance. */
  keys: string[];
  requests: number;
}

/**
 * A gateway between client and server that loses, cuts and delays responses, and responds for the
 * server. After {@link Gateway.mend} it passes everything on.
 */
export class Gateway {
  readonly passages = new Map<string, Passage>();
  readonly fates: Record<string, number> = {};
  readonly #server = createServer((request, response) => void this.#take(request, response));
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 256 });
  readonly #late = new Set<Promise<unknown>>();
  #mended = false;

  private constructor(
    readonly port: number,
    readonly fate: (name: string, number: number) => Fate,
  ) {}

  /** Starts a gateway to a server on a port of this machine. */
  static async start(port: number, fate: (name: string, number: number) => Fate): Promise<Gateway> {
    const gateway = new Gateway(port, fate);
    await new Promise<void>((resolve) => gateway.#server.listen(0, "127.0.0.1", resolve));
    return gateway;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** From now on everything passes; resolves when no late request is on its way any more. */
  async mend(): Promise<void> {
    this.#mended = true;
    while (this.#late.size > 0) await Promise.all(this.#late);
  }

  async stop(): Promise<void> {
    this.#agent.destroy();
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on("error", () => {});
    const body = await whole(request).catch(() => undefined);
    if (body === undefined) return;
    if (request.url === "/login") {
      response.writeHead(200, { "content-type": "text/html" }).end("<title>Log in</title>");
      return;
    }
    const { forward, reply, delay } = this.#note(request, body);
    const pass = (): Promise<Passed> => this.#pass(request, body);
    const passed = forward === "now" ? await pass().catch(() => undefined) : undefined;
    if (delay > 0) await pause(delay);
    respond(response, reply, passed);
    if (forward === "late") this.#later(pause(delay + 50).then(pass));
  }

  #note(request: IncomingMessage, body: Buffer): Fate {
    const name = (JSON.parse(body.toString()) as { to: string }).to;
    const passage = this.passages.get(name) ?? { keys: [], requests: 0 };
    this.passages.set(name, passage);
    passage.requests++;
    const key = String(request.headers["x-idempotency-key"]);
    if (!passage.keys.includes(key)) passage.keys.push(key);
    const fate = this.#mended ? PASS : this.fate(name, passage.requests);
    const label = `${fate.reply}${fate.forward === "now" ? "" : ` (${fate.forward})`}`;
    this.fates[label] = (this.fates[label] ?? 0) + 1;
    return fate;
  }

  #pass({ method, url, headers }: IncomingMessage, body: Buffer): Promise<Passed> {
    const { promise, resolve, reject } = deferred<Passed>();
    const outgoing = send({ host: "127.0.0.1", port: this.port, agent: this.#agent, method, path: url, headers }, (incoming) => {
      whole(incoming).then((bytes) => resolve({ status: incoming.statusCode!, headers: incoming.headers, body: bytes }), reject);
    });
    outgoing.on("error", reject);
    outgoing.end(body);
    return promise;
  }

  #later(work: Promise<unknown>): void {
    const done: Promise<unknown> = work.catch(() => {}).then(() => this.#late.delete(done));
    this.#late.add(done);
  }
}

const PASS: Fate = { forward: "now", reply: "pass", delay: 0 };

interface Passed {
  status: number;
  headers: IncomingMessage["headers"];
  body: Buffer;
}

/**
 * A fate by chance. The gateway never responds with 404, 421 or 429 to a request that the server
 * gets. That would be a lie about the first request of a key, which no client can detect. Node's
 * `fetch` silently sends a request that got 421 a second time, so that a lie there would hide
 * behind the second response.
 */
export function fateOf(random: Random, slow: number): Fate {
  const delay = random.chance(0.1) ? random.below(slow * 2) : random.chance(0.3) ? random.below(20) : 0;
  const forward = random.pick([["now", 65], ["late", 8], ["never", 27]] as const);
  if (forward === "never") return { forward, delay, reply: random.pick(NEVER) };
  return { forward, delay, reply: random.pick(forward === "now" ? NOW : LATE) };
}

type Weighted = readonly (readonly [Fate["reply"], number])[];
const RESPONDED: Weighted = [["login", 6], [502, 3], [503, 4], [504, 4], [520, 4]];
const NOW: Weighted = [["pass", 43], ["lost", 18], ["cut-head", 6], ["cut-body", 12], ...RESPONDED];
const LATE: Weighted = [["lost", 20], ...RESPONDED];
const NEVER: Weighted = [["lost", 20], [404, 22], [421, 6], [429, 6], ...RESPONDED];

function respond(response: ServerResponse, reply: Fate["reply"], passed: Passed | undefined): void {
  const socket = response.socket;
  if (!socket || response.destroyed) return;
  if (reply === "login") return void response.writeHead(302, { location: "/login" }).end();
  if (typeof reply === "number") return void response.writeHead(reply, { "content-type": "text/html" }).end(`<h1>${reply}</h1>`);
  if (reply === "lost" || !passed) return void socket.destroy();
  if (reply === "cut-head") return void socket.write("HTTP/1.1 201 Cre", () => socket.destroy());
  const { "transfer-encoding": _, connection: __, ...headers } = passed.headers;
  response.writeHead(passed.status, { ...headers, "content-length": passed.body.length });
  if (reply === "pass") return void response.end(passed.body);
  response.write(passed.body.subarray(0, passed.body.length >> 1), () => socket.destroy());
}

async function whole(message: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of message) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => ([resolve, reject] = [yes, no]));
  return { promise, resolve, reject };
}
