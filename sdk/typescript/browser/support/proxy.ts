import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** A stretch of network before a server, which can lose answers: the request arrives, the answer does not. */
export class Proxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #toLose = 0;
  #inTheMiddle = false;
  /** How many answers to a POST were lost. */
  lost = 0;

  private constructor(port: number) {
    this.#server = createServer((client) => this.#join(client, connect(port, "127.0.0.1")));
  }

  static async before(port: number): Promise<Proxy> {
    const proxy = new Proxy(port);
    await once(proxy.#server.listen(0, "127.0.0.1"), "listening");
    return proxy;
  }

  get address(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  /** Loses the answers to the next POSTs, of which not a byte comes through. */
  lose(answers: number): void {
    this.#toLose = answers;
    this.#inTheMiddle = false;
  }

  /** Cuts the answers to the next POSTs short of their last byte. */
  cut(answers: number): void {
    this.#toLose = answers;
    this.#inTheMiddle = true;
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
      isPost = bytes.toString("latin1").startsWith("POST ");
      server.write(bytes);
    });
    server.on("data", (bytes) => {
      // The server has answered, so what it was asked for is done.
      if (!isPost || this.#toLose === 0) return void client.write(bytes);
      this.#toLose -= 1;
      this.lost += 1;
      if (this.#inTheMiddle) client.write(bytes.subarray(0, -1), cut);
      else cut();
    });
  }
}
