import { spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The program of the sandbox: `SANDBOX`, or what `cargo build --all-features --example sandbox` has made. */
export const SANDBOX = process.env["SANDBOX"] ?? fileURLToPath(new URL("../../../../target/debug/examples/sandbox", import.meta.url));

/** Whether tests against the sandbox can run. Where it is missing they are skipped by name, and fail in CI. */
export function sandboxIsThere(): boolean {
  if (existsSync(SANDBOX)) return true;
  const missing = "the sandbox is missing: run `cargo build --all-features --example sandbox`, or set SANDBOX";
  if (process.env["CI"]) throw new Error(missing);
  console.warn(missing);
  return false;
}

/** A sandbox on a port of its own, and its end. */
export async function startSandbox(...flags: string[]): Promise<{ port: number; url: string; stop(): Promise<void> }> {
  const child: ChildProcess = spawn(SANDBOX, ["--listen", "127.0.0.1:0", ...flags], { stdio: ["ignore", "pipe", "ignore"] });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const line = await new Promise<string>((resolve, reject) => {
    child.stdout!.once("data", (data: Buffer) => resolve(String(data)));
    child.once("exit", (code) => reject(new Error(`the sandbox ended with ${code}`)));
    child.once("error", reject);
  });
  const url = /listening on (\S+)/.exec(line)![1]!;
  const stop = (): Promise<void> => (child.kill("SIGTERM"), ended);
  return { url, port: Number(new URL(url).port), stop };
}
