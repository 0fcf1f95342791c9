// Writes the SDK as the one file that the sandbox's page loads. With `--check`, only says whether that file is the current one.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const target = new URL("../../../examples/sandbox/page/tower-idempotency.js", import.meta.url);

const { outputFiles } = await build({
  absWorkingDir: fileURLToPath(new URL("..", import.meta.url)),
  entryPoints: ["src/index.ts"],
  bundle: true,
  write: false,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  banner: { js: "// tower-idempotency for browsers, made from sdk/typescript by `npm run bundle`. Do not edit." },
});
const made = outputFiles[0].text;

if (process.argv.includes("--check")) {
  const present = readFileSync(target, "utf8");
  if (present !== made) {
    console.error("the page's copy of the SDK is stale: run `npm run bundle`");
    process.exit(1);
  }
} else {
  writeFileSync(target, made);
}
