import { connect, createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

/**
 * What becomes of one response: passed on after a time (milliseconds), lost whole, or cut off in
 * the middle.
 */
export type Fate = { delay: number } | "lost" | "cut";

/**
 * A proxy that passes every request on and decides over every response. It reads requests whole,
 * and destroys both sockets when a response is lost: the server has done its part, and the client
 * cannot know.
 */
export async function lossyProxy(port: number, fate: () => Fate): Promise<{ url: string; counts: Record<string, number>; stop(): Promise<void> }> {
  const counts = { passed: 0, lost: 0, cut: 0 };
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(port, "127.0.0.1");
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => {});
      socket.on("close", () => (open.delete(socket), client.destroy(), upstream.destroy()));
    }
    messages(client, (request) => upstream.write(request));
    messages(upstream, (response) => {
      const end = fate();
      if (end === "lost" || end === "cut") {
        counts[end]++;
        if (end === "lost") return client.destroy();
        return client.write(response.subarray(0, response.length - 20), () => client.destroy());
      }
      counts.passed++;
      setTimeout(() => client.write(response), end.delay);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const stop = (): Promise<void> => {
    for (const socket of open) socket.destroy();
    return new Promise((resolve) => server.close(() => resolve()));
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, counts, stop };
}

/**
 * Gives every whole message on a connection: headers, and as much body as `Content-Length` says.
 */
function messages(socket: Socket, each: (message: Buffer) => void): void {
  let read = Buffer.alloc(0);
  socket.on("data", (data) => {
    read = Buffer.concat([read, data]);
    for (;;) {
      const end = read.indexOf("\r\n\r\n");
      if (end === -1) return;
      const length = end + 4 + Number(/\r\ncontent-length: *(\d+)/i.exec(read.toString("latin1", 0, end))?.[1] ?? 0);
      if (read.length < length) return;
      each(read.subarray(0, length));
      read = read.subarray(length);
    }
  });
}
