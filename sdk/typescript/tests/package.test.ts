import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";

const cwd = fileURLToPath(new URL("..", import.meta.url));
const run = (command: string, ...args: string[]): string => execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

describe("the package", () => {
  beforeAll(() => void run("npm", "run", "-s", "build"));

  test("contains what users need, and nothing else", () => {
    const [report] = Object.values(JSON.parse(run("npm", "pack", "--dry-run", "--ignore-scripts", "--json")) as Record<string, { files: { path: string }[] }>);
    const sources = (readdirSync(`${cwd}/src`, { recursive: true }) as string[]).filter((path) => path.endsWith(".ts")).map((path) => path.replace(/\.ts$/, ""));
    const built = sources.flatMap((path) => [`dist/${path}.js`, `dist/${path}.d.ts`]);
    expect(report!.files.map(({ path }) => path).sort()).toEqual([...built, "LICENSE-APACHE", "LICENSE-MIT", "README.md", "integrations.md", "package.json"].sort());
  });

  test("needs no other package, and exports what it promises", async () => {
    const { dependencies, peerDependencies, exports } = JSON.parse(readFileSync(`${cwd}/package.json`, "utf8")) as Record<string, Record<string, Record<string, string>>>;
    expect([dependencies, peerDependencies]).toEqual([undefined, undefined]);
    for (const path of [exports!["."]!, exports!["./derive"]!].flatMap((entry) => Object.values(entry))) expect(existsSync(`${cwd}/${path}`), path).toBe(true);
    const built = (await import(`${cwd}/dist/index.js`)) as object;
    expect(Object.keys(built).sort()).toEqual([
      "IdempotencyError", "KeyExpiredError", "KeyNotUnderstoodError", "KeyStorageError", "OperationMismatchError", "OutcomeUnknownError", "RequestTooLargeError",
      "createIdempotentFetch", "defaultStorage", "dispositionOf", "idempotentFetch", "indexedDbStorage", "isNetworkError", "isReplay",
      "memoryStorage", "outcomeOf", "retryBudget",
    ]);
  });

  test("has the licences of the crate", () => {
    for (const name of ["LICENSE-APACHE", "LICENSE-MIT"]) expect(readFileSync(`${cwd}/${name}`, "utf8")).toBe(readFileSync(`${cwd}/../../${name}`, "utf8"));
  });

  test("names no registry in its lock files", () => {
    const consumers = readdirSync(`${cwd}/consumers`, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    for (const folder of [".", ...consumers.map(({ name }) => `consumers/${name}`)]) {
      expect(readFileSync(`${cwd}/${folder}/package-lock.json`, "utf8")).not.toMatch(/"resolved"|registry/);
    }
  });

  test("is what the page of the sandbox loads", () => {
    expect(() => run("node", "scripts/bundle.mjs", "--check")).not.toThrow();
  });
});
