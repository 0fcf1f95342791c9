"""Payments with Django. It does not know of idempotency: it pays whenever it is asked."""

import json, os, time, uuid
from datetime import datetime, timezone

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.http import require_GET, require_POST

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="of a test",
    # It sets Content-Length. `startproject` has it too.
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)
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


@require_POST
def pay(request, payment=None):
    key = request.headers.get("X-Idempotency-Key")
    attempt = int(request.headers.get("X-Idempotency-Attempt", 0))
    append(LEDGER + ".arrivals", {"key": key, "attempt": attempt})
    asked = json.loads(request.body)
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
        response = HttpResponse(status=204)
        del response.headers["Content-Type"]
    elif knobs.get("stream"):
        response = StreamingHttpResponse(pieces(receipt, knobs), status=status)
        response.headers["Content-Type"] = media_type(knobs)
    else:
        response = JsonResponse(receipt, status=status)
    response.headers["Location"] = f"/payments/{receipt['id']}"
    # Django has one value for each name.
    for name, values in knobs.get("headers", {}).items():
        response.headers[name] = ", ".join(values)
    if knobs.get("set_cookie"):
        response.set_cookie("session", receipt["id"])
    return response


def media_type(knobs):
    return "text/event-stream" if knobs.get("stream") == "events" else "application/json"


def pieces(receipt, knobs):
    text = json.dumps(receipt)
    yield text[:10].encode()
    fail(knobs, "during")
    yield text[10:].encode()


@require_POST
def echo(request):
    return HttpResponse(request.body, content_type=request.headers.get("Content-Type"))


@require_GET
def payments(request):
    lines = open(LEDGER).read().splitlines() if os.path.exists(LEDGER) else []
    return JsonResponse({"count": len(lines), "payments": [json.loads(line) for line in lines]})


def route(request):
    return payments(request) if request.method == "GET" else pay(request)


urlpatterns = [
    path("payments", route),
    path("payments/<payment>/refunds", pay),
    path("echo", echo),
    path("healthz", lambda request: HttpResponse("ok")),
]
application = get_wsgi_application()
