#!/usr/bin/env python3
"""A shop that takes a payment for each request that it gets. It knows nothing of idempotency.

    python3 gateway/examples/shop.py [PORT]

The port is 8000 by default, and 0 chooses a free one. Python's standard library is enough.
"""

import json
import pathlib
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = pathlib.Path(__file__).with_name("shop.html").read_bytes()
payments, lock = [], threading.Lock()


class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        order = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        if self.path != "/payments":
            return self.respond(404, {"title": "There is nothing here"})
        time.sleep(1)  # The bank takes its time.
        with lock:
            payment = {"id": f"pay_{len(payments) + 1}", "amount": order["amount"]}
            payments.append({**payment, "key": self.headers.get("Idempotency-Key", "none")})
        self.respond(201, payment)

    def do_GET(self):
        if self.path == "/payments":
            guarded = "tower-idempotency-gateway" in self.headers.get("Via", "")
            self.respond(200, {"payments": payments, "guarded": guarded})
        elif self.path == "/":
            self.respond(200, PAGE, "text/html; charset=utf-8")
        else:
            self.respond(404, {"title": "There is nothing here"})

    def respond(self, status, body, kind="application/json"):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *values):
        print(format % values, flush=True)


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Shop)
    except OSError as error:
        sys.exit(f"shop.py: port {port}: {error}")
    print(f"the shop is on http://127.0.0.1:{server.server_port}, and unguarded", flush=True)
    server.serve_forever()
