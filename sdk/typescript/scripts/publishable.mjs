// npm runs this before it publishes. A package without these fields shows its users no way to its
// source or to an issue.
import { readFileSync } from "node:fs";

const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
const missing = ["repository", "homepage", "bugs"].filter((field) => !manifest[field]);
if (missing.length > 0) {
  console.error(`package.json lacks ${missing.join(" and ")}: set it to the repository's public address`);
  process.exit(1);
}
