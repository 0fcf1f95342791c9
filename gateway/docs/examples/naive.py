"""A payments view, and the decorator that people write for it. `failures.py` shows what it misses.

    gunicorn --workers 2 --threads 8 naive:decorated
"""

import functools
import json
import os

import bank
import redis
from flask import Flask, request

cache = redis.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379"))
# Long enough for the view, and short enough for a customer who waits after a crash.
LOCK = int(os.environ.get("LOCK_SECONDS", 60))
DAY = 24 * 60 * 60


def once_per_key(view):
    """Runs the view once for each Idempotency-Key. Most of the time."""

    @functools.wraps(view)
    def wrapper():
        name = f"idempotency:{request.headers['Idempotency-Key']}"
        if not cache.set(name, "running", nx=True, ex=LOCK):
            stored = cache.get(name)
            if stored in (None, b"running"):
                return {"error": "this request is being processed"}, 409
            return json.loads(stored), 201
        try:
            result = view()
        except Exception:
            cache.delete(name)
            raise
        cache.set(name, json.dumps(result), ex=DAY)
        return result, 201

    return wrapper


def pay():
    bank.accident("before")
    payment = bank.charge(request.get_json()["amount"], request.headers["X-Account"])
    bank.accident("after")
    return payment


def pay_once():
    """The same view behind the gateway. If an earlier attempt may have charged, it asks the bank."""
    reference = request.headers["X-Idempotency-Downstream-Key"]
    if request.headers["X-Idempotency-In-Doubt"] == "true" and (known := bank.find(reference)):
        return known, 201
    bank.accident("before")
    payment = bank.charge(request.get_json()["amount"], request.headers["X-Account"], reference)
    bank.accident("after")
    return payment, 201


def service(view):
    app = Flask(view.__name__)
    app.post("/payments")(view)
    return app


decorated = service(once_per_key(pay))
plain = service(functools.wraps(pay)(lambda: (pay(), 201)))
asking = service(pay_once)
