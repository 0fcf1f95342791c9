// Measures the package's main entry as `npm run bundle` makes it, minified by terser and gzipped.
// Fails over the limit, or if README.md has another figure.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { minify } from "terser";

const LIMIT = 8_192;

const bundle = new URL("../../../examples/sandbox/page/tower-idempotency.js", import.meta.url);
const { code } = await minify(readFileSync(bundle, "utf8"), { module: true });
const bytes = gzipSync(code, { level: 9 }).byteLength;
const figure = (bytes / 1024).toFixed(1);
console.log(`${bytes} bytes of ${LIMIT}, minified and gzipped: ${figure} KiB`);

if (bytes > LIMIT) {
  console.error("the package is too large");
  process.exitCode = 1;
}
const page = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const shown = page.match(/(\d+\.\d)\s+KiB,\s+minified\s+and\s+gzipped/)?.[1];
if (shown !== figure) {
  console.error(`README.md says ${shown} kB: change it to ${figure} KiB`);
  process.exitCode = 1;
}
