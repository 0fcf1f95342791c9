import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** A response that the server did not send. */
export type Foreign = keyof typeof FOREIGN;

/**
 * A stretch of network before a server. It can lose responses, so that the request arrives and its
 * response does not. It can also respond itself, as load balancers and login pages do, so that the
 * server never hears of the request.
 */
export class Proxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #toLose = 0;
  #inTheMiddle = false;
  #foreign: Foreign[] = [];
  /** How many responses to a POST were lost. */
  lost = 0;
  /** Whether the ledger is hidden behind a response of the proxy's own. */
  hidesLedger = false;

  private constructor(port: number) {
    this.#server = createServer((client) => this.#join(client, connect(port, "127.0.0.1")));
  }

  static async before(port: number): Promise<Proxy> {
    const proxy = new Proxy(port);
    await once(proxy.#server.listen(0, "127.0.0.1"), "listening");
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get address(): string {
    return `http://127.0.0.1:${this.port}/`;
  }

  /** Loses the responses to the next POSTs: not a byte comes through. */
  lose(responses: number): void {
    this.#toLose = responses;
    this.#inTheMiddle = false;
  }

  /** Cuts the responses to the next POSTs short of their last byte. */
  cut(responses: number): void {
    this.#toLose = responses;
    this.#inTheMiddle = true;
  }

  /** Responds itself to the next POSTs, after those whose responses are lost. */
  respond(...foreign: Foreign[]): void {
    this.#foreign = foreign;
  }

  async end(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #join(client: Socket, server: Socket): void {
    const cut = (): void => void [client, server].forEach((socket) => socket.destroy());
    let isPost = false;
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on("error", cut).on("close", cut).on("close", () => this.#sockets.delete(socket));
    }
    client.on("data", (bytes) => {
      const line = bytes.toString("latin1").split("\r\n", 1)[0] ?? "";
      isPost = line.startsWith("POST ");
      const own = this.#ownResponse(line, isPost);
      if (own) client.end(own);
      else server.write(bytes);
    });
    server.on("data", (bytes) => {
      // The server has responded, so the operation is done.
      if (!isPost || this.#toLose === 0) return void client.write(bytes);
      this.#toLose -= 1;
      this.lost += 1;
      if (this.#inTheMiddle) client.write(bytes.subarray(0, -1), cut);
      else cut();
    });
  }

  #ownResponse(line: string, isPost: boolean): string | undefined {
    if (line.startsWith("GET /login ")) return response("200 OK", "<h1>Log in</h1>");
    if (line.startsWith("GET /ledger ") && this.hidesLedger) return FOREIGN["bad gateway"];
    const foreign = isPost && this.#toLose === 0 ? this.#foreign.shift() : undefined;
    return foreign && FOREIGN[foreign];
  }
}

const FOREIGN = {
  "login page": response("302 Found", "", "Location: /login"),
  "not found": response("404 Not Found", "<h1>default backend - 404</h1>"),
  "gone": response("410 Gone", ""),
  "precondition failed": response("412 Precondition Failed", ""),
  "not retained": response("409 Conflict", '{"code":"idempotency_result_not_retained"}', "Content-Type: application/problem+json"),
  "wrong server": response("421 Misdirected Request", ""),
  "bad gateway": response("502 Bad Gateway", "<h1>502 Bad Gateway</h1>"),
  "unprocessable": response("422 Unprocessable Content", '{"error":"the recipient is not known"}', "Content-Type: application/json"),
};

function response(status: string, body: string, header = "Content-Type: text/html"): string {
  return `HTTP/1.1 ${status}\r\n${header}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
}
