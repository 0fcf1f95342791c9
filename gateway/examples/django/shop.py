"""The shop of `gateway/examples/shop.py` as a Django project in one file, for gunicorn.

    gunicorn --bind 127.0.0.1:8000 --workers 2 --threads 8 shop:application

It knows nothing of idempotency.
"""

import json
import os
import pathlib
import time

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

PAGE = pathlib.Path(__file__).resolve().parents[1] / "shop.html"

settings.configure(
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ.get("SHOP_DATABASE", "/tmp/shop.sqlite3"),
            "OPTIONS": {"timeout": 20},
        }
    },
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.environ.get("SHOP_SECRET_KEY", "this demo signs nothing"),
)


def page(request):
    return HttpResponse(PAGE.read_bytes())


@csrf_exempt  # The demo has no sessions, and so no cookies that another page could use.
def payments(request):
    return take(request) if request.method == "POST" else listed(request)


def take(request):
    order = json.loads(request.body)
    time.sleep(1)  # The bank takes its time.
    key = request.headers.get("Idempotency-Key", "none")
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO payments (amount, key) VALUES (%s, %s)", [order["amount"], key])
        payment = {"id": f"pay_{cursor.lastrowid}", "amount": order["amount"]}
    return JsonResponse(payment, status=201)


def listed(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, amount, key FROM payments ORDER BY id")
        rows = cursor.fetchall()
    guarded = "tower-idempotency-gateway" in request.headers.get("Via", "")
    made = [{"id": f"pay_{id}", "amount": amount, "key": key} for id, amount, key in rows]
    return JsonResponse({"payments": made, "guarded": guarded})


urlpatterns = [path("", page), path("payments", payments)]
application = get_wsgi_application()

with connection.cursor() as first:
    first.execute(
        "CREATE TABLE IF NOT EXISTS payments"
        " (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL, key TEXT NOT NULL)"
    )
connection.close()
