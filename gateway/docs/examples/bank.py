"""Plays the bank, and the accidents. Each is a file in the folder BANK."""

import json
import os
import pathlib
import signal
import time
import uuid

BANK = pathlib.Path(os.environ["BANK"])
PAYMENTS, ACCIDENT = BANK / "payments", BANK / "accident"


def charge(amount, account, reference=None):
    payment = {"id": f"pay_{uuid.uuid4().hex[:8]}", "amount": amount, "account": account}
    line = json.dumps({"reference": reference, "payment": payment}) + "\n"
    with open(PAYMENTS, "a") as file:
        file.write(line)
    return payment


def find(reference):
    for line in PAYMENTS.read_text().splitlines():
        charged = json.loads(line)
        if charged["reference"] == reference:
            return charged["payment"]
    return None


def accident(moment):
    """The next accident that is planned for this moment. Each happens once."""
    try:
        planned, what = ACCIDENT.read_text().split()
    except FileNotFoundError:
        return
    if planned != moment:
        return
    ACCIDENT.unlink(missing_ok=True)
    if what == "raise":
        raise RuntimeError(f"an accident {moment} the payment")
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(float(what))
