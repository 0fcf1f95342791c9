import assert from "node:assert/strict";
import axios from "axios";
import ky from "ky";
import createClient from "openapi-fetch";
import { createIdempotentFetch, outcomeOf } from "tower-idempotency";
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

// What integrations.md says of each library's own results: here of a rejection.
const client = createIdempotentFetch();
const paths = createClient<Record<"/nowhere", { post: { responses: { 404: { content: { "text/plain": string } } } } }>>;
const byOpenapi = { fetch: client.named("openapi-fetch"), parseAs: "text" } as const;
const rejected = await paths({ baseUrl: shop }).POST("/nowhere", byOpenapi);
assert.equal(outcomeOf(rejected)?.disposition, "final");
const byKy = { fetch: client.named("ky"), retry: 0, timeout: false } as const;
await assert.rejects(ky.post(`${shop}/nowhere`, byKy), (error) => outcomeOf(error)?.disposition === "final");
const byAxios = { adapter: "fetch", env: { fetch: client.named("axios") } } as const;
await assert.rejects(axios.post(`${shop}/nowhere`, {}, byAxios), { status: 404 });
assert.equal(await client.finish("axios"), true);
