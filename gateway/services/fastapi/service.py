"""Payments with FastAPI. It does not know of idempotency: it pays whenever it is asked."""

import json, os, uuid
from asyncio import sleep
from datetime import datetime, timezone
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from pydantic import BaseModel

app = FastAPI()
LEDGER = os.environ["LEDGER"]


class Payment(BaseModel):
    amount: int | None = None
    currency: str | None = None
    to: str | None = None
    sandbox: dict[str, Any] = {}


class Told(BaseModel):
    authorization: str = "anonymous"
    x_idempotency_key: str | None = None
    x_idempotency_attempt: int = 0
    x_idempotency_previous: str | None = None
    x_idempotency_in_doubt: str | None = None


def append(file, line):
    with open(file, "a") as file:
        file.write(json.dumps(line) + "\n")


async def hold(knobs, moment, key):
    while knobs.get("hold") == moment and not os.path.exists(f"{LEDGER}.{key}"):
        await sleep(0.005)


def fail(knobs, moment):
    if knobs.get("exit") == moment:
        os._exit(1)
    if knobs.get("panic") == moment:
        raise RuntimeError(f"the request asked for an error {moment} the effect")


@app.post("/payments")
@app.post("/payments/{payment}/refunds")
async def pay(asked: Payment, told: Annotated[Told, Header()], payment: str | None = None):
    key, attempt = told.x_idempotency_key, told.x_idempotency_attempt
    append(LEDGER + ".arrivals", {"key": key, "attempt": attempt})
    knobs = {} if attempt >= asked.sandbox.get("mended_at", attempt + 1) else asked.sandbox
    status = knobs.get("status", 201)
    await sleep(knobs.get("delay_ms", 0) / 1000)
    await hold(knobs, "before", key)
    fail(knobs, "before")
    id, at = uuid.uuid4().hex, datetime.now(timezone.utc).isoformat()
    if status < 400:
        scope = told.authorization.removeprefix("Bearer ")
        append(LEDGER, {"key": key, "scope": scope, "attempt": attempt, "id": id, "at": at})
    await sleep(knobs.get("after_ms", 0) / 1000)
    await hold(knobs, "after", key)
    fail(knobs, "after")
    receipt = asked.model_dump(exclude={"sandbox"})
    receipt |= {"id": id, "refund_of": payment, "attempt": attempt, "created_at": at}
    receipt["previous"] = told.x_idempotency_previous
    receipt["in_doubt"] = told.x_idempotency_in_doubt
    receipt["padding"] = "x" * knobs.get("bytes", 0)
    return answer(receipt, status, knobs)


def answer(receipt, status, knobs):
    if status == 204:
        response = Response(status_code=204)
    elif knobs.get("stream"):
        response = StreamingResponse(pieces(receipt, knobs), status, media_type=media_type(knobs))
    else:
        response = JSONResponse(receipt, status)
    response.headers["Location"] = f"/payments/{receipt['id']}"
    for name, values in knobs.get("headers", {}).items():
        for value in values:
            response.headers.append(name, value)
    if knobs.get("set_cookie"):
        response.set_cookie("session", receipt["id"])
    return response


def media_type(knobs):
    return "text/event-stream" if knobs.get("stream") == "events" else "application/json"


async def pieces(receipt, knobs):
    text = json.dumps(receipt)
    yield text[:10].encode()
    fail(knobs, "during")
    yield text[10:].encode()


@app.post("/echo")
async def echo(request: Request):
    return Response(await request.body(), media_type=request.headers.get("content-type"))


@app.get("/payments")
async def payments():
    lines = open(LEDGER).read().splitlines() if os.path.exists(LEDGER) else []
    return {"count": len(lines), "payments": [json.loads(line) for line in lines]}


@app.get("/healthz", response_class=PlainTextResponse)
async def healthz():
    return "ok"
