// Payments with Express. It does not know of idempotency: it pays whenever it is asked.

const { randomUUID } = require("node:crypto");
const { appendFileSync, existsSync, readFileSync } = require("node:fs");
const { setTimeout: sleep } = require("node:timers/promises");
const express = require("express");

const { LEDGER, PORT } = process.env;
const app = express();

const append = (file, line) => appendFileSync(file, JSON.stringify(line) + "\n");

async function hold(knobs, moment, key) {
  while (knobs.hold === moment && !existsSync(`${LEDGER}.${key}`)) await sleep(5);
}

function fail(knobs, moment) {
  if (knobs.exit === moment) process.kill(process.pid, "SIGKILL");
  if (knobs.panic === moment) throw new Error(`the request asked for an error: ${moment}`);
}

async function pay(request, response) {
  const key = request.get("X-Idempotency-Key") ?? null;
  const attempt = Number(request.get("X-Idempotency-Attempt") ?? 0);
  append(LEDGER + ".arrivals", { key, attempt });
  const { amount, currency, to, sandbox = {} } = request.body;
  const knobs = attempt >= sandbox.mended_at ? {} : sandbox;
  const { status = 201, delay_ms = 0, after_ms = 0 } = knobs;
  await sleep(delay_ms);
  await hold(knobs, "before", key);
  fail(knobs, "before");
  const [id, at] = [randomUUID(), new Date().toISOString()];
  if (status < 400) {
    const scope = (request.get("Authorization") ?? "anonymous").replace(/^Bearer /, "");
    append(LEDGER, { key, scope, attempt, id, at });
  }
  await sleep(after_ms);
  await hold(knobs, "after", key);
  fail(knobs, "after");
  const previous = request.get("X-Idempotency-Previous") ?? null;
  const in_doubt = request.get("X-Idempotency-In-Doubt") ?? null;
  const padding = "x".repeat(knobs.bytes ?? 0);
  const refund_of = request.params.payment ?? null;
  const told = { attempt, previous, in_doubt };
  const receipt = { id, amount, currency, to, refund_of, created_at: at, padding, ...told };
  response.status(status).location(`/payments/${id}`);
  for (const [name, values] of Object.entries(knobs.headers ?? {})) response.append(name, values);
  if (knobs.set_cookie) response.cookie("session", id);
  if (status === 204) return response.end();
  if (!knobs.stream) return response.json(receipt);
  const text = JSON.stringify(receipt);
  response.type(knobs.stream === "events" ? "text/event-stream" : "json");
  await new Promise((written) => response.write(text.slice(0, 10), written));
  fail(knobs, "during");
  response.end(text.slice(10));
}

app.post(["/payments", "/payments/:payment/refunds"], express.json({ limit: "64mb" }), pay);

app.post("/echo", express.raw({ type: () => true, limit: "64mb" }), (request, response) => {
  const type = request.get("Content-Type");
  if (type) response.setHeader("Content-Type", type);
  response.end(request.body);
});

app.get("/payments", (request, response) => {
  const lines = existsSync(LEDGER) ? readFileSync(LEDGER, "utf8").trim().split("\n") : [];
  response.json({ count: lines.length, payments: lines.map((line) => JSON.parse(line)) });
});

app.get("/healthz", (request, response) => response.type("text").send("ok"));

app.listen(PORT, "127.0.0.1");
