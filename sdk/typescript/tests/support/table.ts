import { readFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

export type Before = "nothing" | "limited" | "invalid" | "lost" | "cut" | "failed" | "gateway" | "in_flight" | "restarted";
export type Profile = "default" | "ietf" | "stripe";
export type Is = "final" | "retry" | "unknown";

interface Row {
  what: string;
  before: "any" | "clear" | "doubt";
  status: number[];
  named?: boolean;
  redirected?: boolean;
  profile?: Profile;
  headers?: Record<string, string>;
  code?: string | string[];
  body?: string | null;
  is: Is;
}

interface Table {
  before: { clear: Before[]; doubt: Before[] };
  rows: Row[];
}

/** One combination of a row's lists. */
export interface Case {
  what: string;
  before: Before;
  inDoubt: boolean;
  status: number;
  headers: [string, string][];
  /** `null`: a body that was not read. */
  body: string | null;
  redirected: boolean;
  profile: Profile;
  named: boolean | undefined;
  is: Is;
}

const TABLE_FILE = new URL("../../../../tests/vectors/dispositions.json", import.meta.url);

/** Every row of the table that both clients share, with its combinations. */
export function rows(): [what: string, cases: Case[]][] {
  const { before, rows } = JSON.parse(readFileSync(TABLE_FILE, "utf8")) as Table;
  return rows.map((row) => {
    const befores = row.before === "any" ? [...before.clear, ...before.doubt] : before[row.before];
    const codes = row.code === undefined ? [undefined] : [row.code].flat();
    const cases = row.status.flatMap((status) =>
      codes.flatMap((code) => befores.map((one) => caseOf(row, status, code, one, before.doubt.includes(one)))),
    );
    return [row.what, cases];
  });
}

function caseOf(row: Row, status: number, code: string | undefined, before: Before, inDoubt: boolean): Case {
  const { what, redirected = false, profile = "default", named, is } = row;
  const headers = Object.entries(row.headers ?? {});
  if (code !== undefined) headers.push(["content-type", PROBLEM]);
  const body = code === undefined ? (row.body === undefined ? "" : row.body) : JSON.stringify({ code });
  return { what, before, inDoubt, status, headers, body, redirected, profile, named, is };
}

export const PROBLEM = "application/problem+json";

/** What the server does with one request: a response, a response that breaks off, or none. */
export type Step = Reply | "lost" | "cut";

export interface Reply {
  status: number;
  headers?: [string, string][];
  body?: string;
}

/** One request that arrived. */
export interface Arrived {
  method: string;
  /** The value of each header that can carry a key. */
  keys: Record<string, string>;
  body: string;
}

/** An address of a server. */
export interface Script {
  url: string;
  arrived: Arrived[];
  /** From now on each request of the address takes the next step, and all later ones the last. */
  play(...steps: Step[]): void;
}

/** A server that plays scripts, one for each path, and notes what arrived. */
export interface ScriptedServer {
  script(): Script;
  stop(): Promise<void>;
}

/** Starts a server on raw sockets, because it has to break connections and bodies off. */
export async function scriptedServer(): Promise<ScriptedServer> {
  const scripts = new Map<string, { steps: Step[]; arrived: Arrived[] }>();
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("close", () => open.delete(socket));
    requests(socket, (path, request) => {
      const script = scripts.get(path);
      if (!script) return void socket.write(text({ status: 500, body: `there is no script at ${path}` }));
      script.arrived.push(request);
      const step = (script.steps.length > 1 ? script.steps.shift() : script.steps[0]) ?? { status: 500 };
      if (step === "lost") return void socket.destroy();
      if (step === "cut") return void socket.write(text(CUT).slice(0, -10), () => socket.destroy());
      socket.write(text(step));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    script() {
      const path = `/${scripts.size + 1}`;
      const script = { steps: [] as Step[], arrived: [] as Arrived[] };
      scripts.set(path, script);
      return { url: address + path, arrived: script.arrived, play: (...next) => void (script.steps = next) };
    },
    stop() {
      for (const socket of open) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

const CUT: Reply = { status: 201, body: "this body is not whole" };

/**
 * A response as it goes over the wire. A list in a header goes out as one header for each of its
 * members.
 */
function text({ status, headers = [], body = "" }: Reply): string {
  const bodiless = status === 204 || status === 304;
  const length: [string, string][] = bodiless ? [] : [["content-length", String(Buffer.byteLength(body))]];
  const lines = [...headers, ...length].flatMap(([name, value]) => value.split(", ").map((one) => `${name}: ${one}\r\n`));
  return `HTTP/1.1 ${status} Scripted\r\n${lines.join("")}\r\n${bodiless ? "" : body}`;
}

/** Reads whole requests off a connection. */
function requests(socket: Socket, each: (path: string, request: Arrived) => void): void {
  let read = Buffer.alloc(0);
  socket.on("data", (data) => {
    read = Buffer.concat([read, data]);
    for (;;) {
      const end = read.indexOf("\r\n\r\n");
      if (end === -1) return;
      const head = read.toString("latin1", 0, end);
      const length = end + 4 + Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
      if (read.length < length) return;
      const [, method, path] = /^(\S+) ([^\s?]+)/.exec(head)!;
      const keys = Object.fromEntries(Array.from(head.matchAll(KEY_HEADER), ([, name, value]) => [name!.toLowerCase(), value!]));
      each(path!, { method: method!, keys, body: read.toString("utf8", end + 4, length) });
      read = read.subarray(length);
    }
  });
}

const KEY_HEADER = /^((?:x-)?idempotency-key): *(.*?)\r?$/gim;
