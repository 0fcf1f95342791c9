// Runs a command beside a shop with a bad network.
//
//     node shop.mjs ORDERS COMMAND…
//
// The command finds the shop's address in SHOP. The shop serves the files of the folder STATIC, if
// that is set. It remembers keys, and loses the first two responses to each: one breaks off in its
// body, one is lost whole. The run fails unless the command succeeds and ORDERS orders were paid,
// each with one effect.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join } from "node:path";

const [orders, command, ...args] = process.argv.slice(2);
const TYPES = { ".html": "text/html", ".js": "text/javascript" };
const LOST = 2;

/** How many requests came under each key. */
const requests = new Map();
/** The order of each effect. */
const effects = [];

const server = createServer(async (request, response) => {
  if (request.method !== "POST") return serve(request.url, response);
  if (request.url !== "/payments") return response.writeHead(404).end();
  let text = "";
  for await (const chunk of request) text += chunk;
  const { order } = JSON.parse(text);
  const key = request.headers["x-idempotency-key"] ?? request.headers["idempotency-key"];
  const seen = requests.get(key) ?? 0;
  if (key !== undefined) requests.set(key, seen + 1);
  if (seen === 0) effects.push(order);

  const body = JSON.stringify({ order, paid: true });
  response.writeHead(201, {
    "content-type": "application/json",
    "content-length": body.length,
    ...(seen > 0 && { "x-idempotent-result": "true" }),
  });
  if (seen === 0) return response.write(body.slice(0, 5), () => response.destroy());
  if (seen < LOST) return response.destroy();
  response.end(body);
});

async function serve(url, response) {
  const path = url === "/" ? "index.html" : url.slice(1);
  try {
    const bytes = await readFile(join(process.env.STATIC ?? "", path));
    response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream" }).end(bytes);
  } catch {
    response.writeHead(404).end();
  }
}

server.listen(0, "127.0.0.1");
await once(server, "listening");
const env = { ...process.env, SHOP: `http://127.0.0.1:${server.address().port}` };
const [code] = await once(spawn(command, args, { stdio: "inherit", env }), "exit");
server.close();
server.closeAllConnections();

const sent = [...requests.values()];
console.log(`shop: ${effects.length} effects of ${orders} orders, by ${sent.join(" + ")} requests`);
const onceEach = effects.length === Number(orders) && new Set(effects).size === effects.length;
const lossy = sent.length === Number(orders) && sent.every((count) => count > LOST);
if (code !== 0 || !onceEach || !lossy) {
  console.error("shop: some order was not paid, or not once");
  process.exit(1);
}
