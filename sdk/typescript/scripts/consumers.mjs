// Packs the SDK, installs it into the programs of the folder `consumers`, and runs them. Each is
// copied to a temporary folder, so that it finds only what is installed there.
//
//     node scripts/consumers.mjs [NAME…]
//
// A program gets the examples of README.md and integrations.md that its package.json lists: what
// the pages show is what runs.
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const sdk = fileURLToPath(new URL("..", import.meta.url));
const source = join(sdk, "consumers");
const named = process.argv.slice(2);
const folders = readdirSync(source, { withFileTypes: true }).filter((entry) => entry.isDirectory());
const programs = folders.map(({ name }) => name);

/** The examples of both pages, by the file that each names in its first line. */
const pages = ["README.md", "integrations.md"].map((page) => readFileSync(join(sdk, page), "utf8"));
const blocks = pages.join("\n").matchAll(/```tsx?\n(\/\/ (\S+)\n[^]*?)```/g);
const examples = new Map([...blocks].map(([, code, file]) => [file, code]));

const work = mkdtempSync(join(tmpdir(), "tower-idempotency-"));
const npm = (cwd, ...args) => execFileSync("npm", args, { cwd, stdio: ["ignore", "inherit", "inherit"] });
const used = new Set();

try {
  npm(sdk, "run", "--silent", "build");
  npm(sdk, "pack", "--ignore-scripts", "--silent", "--pack-destination", work);
  const packed = join(work, readdirSync(work).find((name) => name.endsWith(".tgz")));
  for (const program of programs) {
    const folder = join(work, program);
    cpSync(join(source, program), folder, { recursive: true, filter: (path) => !path.includes("node_modules") });
    cpSync(join(source, "shop.mjs"), join(folder, "shop.mjs"));
    const { examples: shown = [] } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    for (const file of shown) {
      writeFileSync(join(folder, file), examples.get(file));
      used.add(file);
    }
    if (named.length > 0 && !named.includes(program)) continue;
    console.log(`\n== ${program}`);
    const begun = performance.now();
    npm(folder, "install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error", packed);
    npm(folder, "run", "--silent", "check");
    console.log(`${program}: ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}

const unused = [...examples.keys()].filter((file) => !used.has(file));
if (unused.length > 0) throw new Error(`no program runs these examples: ${unused.join(", ")}`);
