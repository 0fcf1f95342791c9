import assert from "node:assert/strict";
import { ask } from "./ask.js";
import { pay } from "./pay.js";

const shop = process.env["SHOP"]!;
assert.equal(await pay(shop, "in Node"), true);
assert.match(await ask(shop, "asked"), /^final, key \S+, after 3 attempts$/);
assert.match(await ask(shop, "asked"), /^final, key \S+, after 1 attempts$/);
