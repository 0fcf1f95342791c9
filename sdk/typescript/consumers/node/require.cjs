// A program in CommonJS gets the same module as one that imports it: both know the same operations.
const assert = require("node:assert/strict");
const required = require("tower-idempotency");

import("tower-idempotency").then((imported) => assert.equal(required.idempotentFetch, imported.idempotentFetch));
