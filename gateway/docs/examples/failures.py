#!/usr/bin/env python3
"""Runs the view of `naive.py` through nine failures, with its decorator and behind the gateway.

    gateway/docs/examples/failures.py [--gateway PROGRAM]

It needs redis-server, the packages of requirements.txt, and a build of the gateway:
cargo build -p tower-idempotency-gateway

It prints the payments that the bank has seen and the responses that the client got, and fails if
the gateway did not do what the guide says.
"""

import argparse
import concurrent.futures
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE.parents[2] / "target"))
LOCK, LEASE = 2, 1  # Seconds. In production it is a minute, and 10 s.

GATEWAY = """
listen = "127.0.0.1:{port}"
upstream = "http://127.0.0.1:{upstream}"
store = "redis://127.0.0.1:{redis}"
[defaults]
lease = "{lease}s"
on_failed = "{policy}"
on_abandoned = "{policy}"
[[route]]
path = "/payments"
require_key = true
scope = {{ header = "x-account" }}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Site:
    """Redis, the service and perhaps the gateway."""

    def __init__(self, name, app, policy=None, gateway=None):
        self.name, self.policy = name, policy
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="failures-"))
        self.running = []
        self.redis_port, service = free_port(), free_port()
        self.port = service
        self.start_redis()
        (self.folder / "payments").touch()
        variables = {
            "BANK": str(self.folder),
            "LOCK_SECONDS": str(LOCK),
            "REDIS_URL": f"redis://127.0.0.1:{self.redis_port}",
        }
        gunicorn = [sys.executable, "-m", "gunicorn", "--workers", "2", "--threads", "8"]
        self.start([*gunicorn, "--bind", f"127.0.0.1:{service}", f"naive:{app}"], service, variables)
        if policy:
            self.port = free_port()
            file = self.folder / "gateway.toml"
            ports = {"port": self.port, "upstream": service, "redis": self.redis_port}
            file.write_text(GATEWAY.format(**ports, policy=policy, lease=LEASE))
            self.start([gateway, "--config", file], self.port)

    def start(self, arguments, port, variables=None):
        log = open(self.folder / f"{len(self.running)}.log", "wb")
        environment = {**os.environ, **(variables or {})}
        arguments = [str(argument) for argument in arguments]
        process = subprocess.Popen(arguments, cwd=HERE, env=environment, stdout=log, stderr=log)
        self.running.append(process)
        for _ in range(500):
            if process.poll() is not None:
                sys.exit(f"failures.py: {arguments[0]} ended: see {log.name}")
            try:
                return socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                time.sleep(0.02)
        sys.exit(f"failures.py: {arguments[0]} does not listen: see {log.name}")

    def start_redis(self):
        options = ["--appendonly", "yes", "--appendfsync", "always", "--dir", self.folder]
        self.start(["redis-server", "--port", self.redis_port, *options], self.redis_port)
        self.redis = self.running[-1]

    def kill_redis(self):
        self.redis.kill()
        self.redis.wait()

    def plan(self, accident):
        (self.folder / "accident").write_text(accident)

    def wait_for_accident(self):
        while (self.folder / "accident").exists():
            time.sleep(0.02)

    def payments(self):
        return len((self.folder / "payments").read_text().splitlines())

    def pay(self, key, amount=450, account="ana", timeout=20):
        """The status of a response with its `code`, and its body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        headers = {"Content-Type": "application/json", "Idempotency-Key": key, "X-Account": account}
        try:
            connection.request("POST", "/payments", json.dumps({"amount": amount}), headers)
            response = connection.getresponse()
            text = response.read()
        except TimeoutError:
            return "no response in time", {}
        except OSError:
            return "connection closed", {}
        finally:
            connection.close()
        body = json.loads(text) if "json" in response.headers.get("Content-Type", "") else {}
        return f"{response.status} {body.get('code', '')}".strip(), body

    def pay_until_final(self, key, patience=10, **how):
        """Retries as a client does: until a response is final, or its patience ends."""
        seen, end = [], time.monotonic() + patience
        while time.monotonic() < end:
            said, _ = self.pay(key, **how)
            seen.append(said)
            if said.startswith("201") or said.endswith(("_failed", "_unknown")):
                break
            time.sleep(0.25)
        return seen

    def end(self):
        for process in reversed(self.running):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.running:
            process.wait(60)
        shutil.rmtree(self.folder)


def at_once(site):
    with concurrent.futures.ThreadPoolExecutor(10) as clicks:
        site.plan("before 0.5")
        list(clicks.map(lambda _: site.pay("k"), range(10)))
    return site.pay_until_final("k")


def raises_before(site):
    site.plan("before raise")
    return site.pay_until_final("k")


def raises_after(site):
    site.plan("after raise")
    return site.pay_until_final("k")


def killed(site):
    site.plan("after kill")
    return site.pay_until_final("k")


def slow(site):
    site.plan(f"before {LOCK + 1.5}")
    seen = site.pay_until_final("k", timeout=LOCK + 0.5)
    time.sleep(1.5)  # The first view charges now, if it has not yet.
    return seen


def other_amount(site):
    first, _ = site.pay("k")
    said, body = site.pay("k", amount=9900)
    return [first, f"{said}: asked for 9900, got {body.get('amount', 'nothing')}"]


def other_account(site):
    first, _ = site.pay("k", account="ana")
    said, body = site.pay("k", account="ben")
    return [first, f"{said}: ben got the payment of {body.get('account', 'nobody')}"]


def redis_down_before(site):
    site.kill_redis()
    first, _ = site.pay("k")
    site.start_redis()
    return [first, *site.pay_until_final("k")]


def redis_down_after(site):
    site.plan("before 1")
    with concurrent.futures.ThreadPoolExecutor(1) as client:
        first = client.submit(site.pay, "k")
        site.wait_for_accident()
        site.kill_redis()
        first = first.result()[0]
    site.start_redis()
    return [first, *site.pay_until_final("k")]


# What happens, and the payments with the decorator, behind the gateway with `reject`, and with a
# view that asks.
CASES = [
    ("ten requests at once", at_once, (1, 1, 1)),
    ("the view raises before it charges", raises_before, (1, 0, 1)),
    ("the view raises after it has charged", raises_after, (2, 1, 1)),
    ("the process is killed after it has charged", killed, (2, 1, 1)),
    ("the view takes longer than the lock, and the client retries", slow, (2, 1, 1)),
    ("another amount under the same key", other_amount, (1, 1, 1)),
    ("another account with the same key", other_account, (1, 2, 2)),
    ("Redis is down when the request comes", redis_down_before, (1, 1, 1)),
    ("Redis goes down while the view runs", redis_down_after, (2, 1, 1)),
]

SITES = [
    ("decorator", "decorated", None),
    ("gateway, reject", "plain", "reject"),
    ("gateway, asks", "asking", "rerun"),
]


def shown(seen):
    """Equal responses in a row once, with their number."""
    runs = []
    for said in seen:
        if runs and runs[-1][0] == said:
            runs[-1][1] += 1
        else:
            runs.append([said, 1])
    return ", ".join(said if times == 1 else f"{said} (…)" for said, times in runs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gateway", type=pathlib.Path, default=TARGET / "debug" / "tower-idempotency-gateway")
    gateway = parser.parse_args().gateway
    if shutil.which("redis-server") is None:
        sys.exit("failures.py: redis-server is missing")
    if not gateway.exists():
        sys.exit("failures.py: first run cargo build -p tower-idempotency-gateway, or use --gateway")
    wrong = 0
    for title, case, expected in CASES:
        print(f"\n{title}")
        for (name, app, policy), payments in zip(SITES, expected):
            site = Site(name, app, policy, gateway)
            try:
                seen = case(site)
                found = site.payments()
            finally:
                site.end()
            note = "" if found == payments else f"   EXPECTED {payments}"
            wrong += found != payments
            print(f"  {name:16} payments: {found}   responses: {shown(seen)}{note}", flush=True)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
