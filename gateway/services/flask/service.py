"""Payments with Flask. It does not know of idempotency: it pays whenever it is asked."""

import json, os, time, uuid
from datetime import datetime, timezone

from flask import Flask, Response, jsonify, request

application = Flask(__name__)
LEDGER = os.environ["LEDGER"]


def append(file, line):
    with open(file, "a") as file:
        file.write(json.dumps(line) + "\n")


def hold(knobs, moment, key):
    while knobs.get("hold") == moment and not os.path.exists(f"{LEDGER}.{key}"):
        time.sleep(0.005)


def fail(knobs, moment):
    if knobs.get("exit") == moment:
        os._exit(1)
    if knobs.get("panic") == moment:
        raise RuntimeError(f"the request asked for an error {moment} the effect")


@application.post("/payments")
@application.post("/payments/<payment>/refunds")
def pay(payment=None):
    key = request.headers.get("X-Idempotency-Key")
    attempt = int(request.headers.get("X-Idempotency-Attempt", 0))
    append(LEDGER + ".arrivals", {"key": key, "attempt": attempt})
    asked = json.loads(request.get_data())
    knobs = asked.get("sandbox", {})
    if attempt >= knobs.get("mended_at", attempt + 1):
        knobs = {}
    status = knobs.get("status", 201)
    time.sleep(knobs.get("delay_ms", 0) / 1000)
    hold(knobs, "before", key)
    fail(knobs, "before")
    id, at = uuid.uuid4().hex, datetime.now(timezone.utc).isoformat()
    if status < 400:
        scope = request.headers.get("Authorization", "anonymous").removeprefix("Bearer ")
        append(LEDGER, {"key": key, "scope": scope, "attempt": attempt, "id": id, "at": at})
    time.sleep(knobs.get("after_ms", 0) / 1000)
    hold(knobs, "after", key)
    fail(knobs, "after")
    receipt = {name: asked.get(name) for name in ("amount", "currency", "to")}
    receipt |= {"id": id, "refund_of": payment, "attempt": attempt, "created_at": at}
    receipt["previous"] = request.headers.get("X-Idempotency-Previous")
    receipt["in_doubt"] = request.headers.get("X-Idempotency-In-Doubt")
    receipt["padding"] = "x" * knobs.get("bytes", 0)
    return answer(receipt, status, knobs)


def answer(receipt, status, knobs):
    if status == 204:
        response = Response(status=204)
        del response.headers["Content-Type"]
    else:
        body = pieces(receipt, knobs) if knobs.get("stream") else json.dumps(receipt)
        response = Response(body, status=status, mimetype=media_type(knobs))
    response.headers["Location"] = f"/payments/{receipt['id']}"
    for name, values in knobs.get("headers", {}).items():
        for value in values:
            response.headers.add(name, value)
    if knobs.get("set_cookie"):
        response.set_cookie("session", receipt["id"])
    return response


def media_type(knobs):
    return "text/event-stream" if knobs.get("stream") == "events" else "application/json"


def pieces(receipt, knobs):
    text = json.dumps(receipt)
    yield text[:10].encode()
    if knobs.get("exit"):
        # Another thread of waitress writes it to the socket.
        time.sleep(0.1)
    fail(knobs, "during")
    yield text[10:].encode()


@application.post("/echo")
def echo():
    return Response(request.get_data(), content_type=request.headers.get("Content-Type"))


@application.get("/payments")
def payments():
    lines = open(LEDGER).read().splitlines() if os.path.exists(LEDGER) else []
    return jsonify(count=len(lines), payments=[json.loads(line) for line in lines])


@application.get("/healthz")
def healthz():
    return "ok"
