import assert from "node:assert/strict";
import { stripe } from "./for-stripe.js";
import { payWithAxios } from "./with-axios.js";
import { payWithKy } from "./with-ky.js";
import { payWithOpenapiFetch } from "./with-openapi-fetch.js";

const shop = process.env["SHOP"]!;
assert.equal(await payWithAxios(shop, "by axios"), true);
assert.equal(await payWithKy(shop, "by ky"), true);
assert.equal(await payWithOpenapiFetch(shop, "by openapi-fetch"), true);

const body = JSON.stringify({ order: "as Stripe" });
const response = await stripe(`${shop}/payments`, { method: "POST", body, operation: "pay order as Stripe" });
assert.equal(response.status, 201);
