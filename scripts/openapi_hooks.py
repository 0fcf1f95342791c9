"""What schemathesis does besides its own checks: see `scripts/openapi`.

Generated keys are never equal, so requests take their keys from a small pool. Some repeat an earlier
request, and some are sent twice at a time. So replays, mismatches, requests in flight and responses
that were not stored are among what is checked.
"""

import atexit
import collections
import copy
import json
import os
import random
import re
import threading

import requests
import schemathesis

# How many keys each operation has. The sandbox forgets a key after its retention.
KEYS = 12
# Header fields that HTTP itself explains.
OF_HTTP = {"allow", "connection", "content-length", "content-type", "date", "transfer-encoding", "vary"}

seed = int(os.environ.get("OPENAPI_SEED", "0")) or random.randrange(1 << 32)
chance = random.Random(seed)
lock = threading.Lock()
sent = collections.defaultdict(list)
met = collections.Counter()


def key_parameters(case):
    parameters = case.operation.definition.raw.get("parameters", [])
    is_key = lambda parameter: parameter.get("name", "").lower().endswith("idempotency-key")
    return [parameter for parameter in parameters if is_key(parameter)]


def tame(body):
    """Bounds the knobs that only take time, and makes some bodies larger than the limit."""
    if not isinstance(body, dict):
        return
    if isinstance(body.get("to"), str) and chance.random() < 0.03:
        body["to"] += "x" * 5000
    knobs = body.get("sandbox")
    if isinstance(knobs, dict):
        for name, most in {"delay_ms": 30, "after_ms": 30, "bytes": 5000}.items():
            if isinstance(knobs.get(name), int) and not isinstance(knobs[name], bool):
                knobs[name] = knobs[name] % most if knobs[name] > 0 else knobs[name]


def with_key(case, names, key):
    for name in names:
        case.headers.pop(name, None)
    case.headers[chance.choice(names)] = f'"{key}"'


def draw(case, names):
    """Repeats an earlier request, or gives this one another key. Returns whether to send it twice."""
    earlier, drawn = sent[case.operation.label], chance.random()
    if earlier and drawn < 0.3:
        repeated = copy.deepcopy(chance.choice(earlier))
        case.headers, case.body, case.media_type, case.path_parameters = repeated
    elif drawn < 0.4:
        with_key(case, names, f"{case.operation.label} {chance.randrange(KEYS)}".replace(" ", "-"))
    elif drawn < 0.8:
        with_key(case, names, f"new-{chance.randrange(1 << 32)}")
    if chance.random() < 0.3:
        case.headers["X-Request-Id"] = f"request-{chance.randrange(1000)}"
    request = (case.headers, case.body, case.media_type, case.path_parameters)
    earlier.append(copy.deepcopy(request))
    del earlier[:-KEYS]
    return 0.4 <= drawn < 0.6


def send_beside(case):
    """Sends the same request at the same time. Only the response of the other one is checked."""
    request = case.as_transport_kwargs()

    def send():
        try:
            requests.request(**request, allow_redirects=False, timeout=10)
        except requests.RequestException:
            pass

    threading.Thread(target=send, daemon=True).start()


# With another value of these the bytes are not a request, and the HTTP server rejects them by itself.
FRAMING = ["transfer-encoding", "content-length", "connection", "expect", "host", "te", "trailer", "upgrade"]


@schemathesis.hook
def before_call(context, case, kwargs):
    kwargs["allow_redirects"] = False
    for name in FRAMING:
        case.headers.pop(name, None)
    parameters = key_parameters(case)
    if not parameters:
        return
    with lock:
        tame(case.body)
        if case.meta.phase.name.value == "fuzzing":
            is_twin = draw(case, [parameter["name"] for parameter in parameters])
        else:
            # The other phases send what they say, for example a request without a required header.
            # Only the key of the example, which all of them share, becomes a new one.
            is_twin = False
            for parameter in parameters:
                if case.headers.get(parameter["name"]) == parameter["example"]:
                    case.headers[parameter["name"]] = f'"example-{chance.randrange(1 << 32)}"'
    if is_twin:
        send_beside(case)


def document_of(response):
    try:
        return json.loads(response.content)
    except ValueError:
        return None


@schemathesis.hook
def after_call(context, case, response):
    replayed = response.headers.get("x-idempotent-result")
    is_problem = "application/problem+json" in response.headers.get("content-type", [])
    document = document_of(response) if is_problem else None
    code = document.get("code") if isinstance(document, dict) else None
    kind = code or ("a replay" if replayed else "of the handler")
    with lock:
        met[kind] += 1


def described(case, status):
    """The Response Object. None for a method that the document does not have at this path."""
    if case.method.upper() != case.operation.method.upper():
        return None
    document = case.operation.schema.raw_schema
    operation = document["paths"][case.operation.path][case.operation.method.lower()]
    responses = operation["responses"]
    for name in (str(status), f"{status // 100}XX", "default"):
        if name in responses:
            response = responses[name]
            if "$ref" in response:
                response = document["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
            return response
    return None


@schemathesis.check
def every_header_is_described(ctx, response, case):
    definition = described(case, response.status_code)
    if definition is None:
        return
    names = {name.lower() for name in definition.get("headers", {})}
    unknown = {name.lower() for name in response.headers} - names - OF_HTTP
    assert not unknown, f"{response.status_code} has headers that are not described: {sorted(unknown)}"


@schemathesis.check
def every_code_is_described(ctx, response, case):
    definition = described(case, response.status_code)
    if definition is None or "application/problem+json" not in response.headers.get("content-type", []):
        return
    media = definition["content"]["application/problem+json"]
    schemas = media["schema"].get("anyOf", [media["schema"]])
    codes = {code for schema in schemas for code in schema["allOf"][1]["properties"]["code"]["enum"]}
    code = document_of(response)["code"]
    assert code in codes, f"{response.status_code} with `{code}` is not described"
    assert code in media["examples"], f"`{code}` has no example"


@schemathesis.check
def the_pattern_is_what_the_layer_accepts(ctx, response, case):
    """Both ways, for a request with one key header."""
    described = {parameter["name"].lower(): parameter for parameter in key_parameters(case)}
    keys = [(name, value) for name, value in response.request.headers.items() if name.lower() in described]
    if len(keys) != 1 or case.method.upper() != case.operation.method.upper():
        return
    [(name, value)] = keys
    value = value if isinstance(value, bytes) else value.encode("latin-1", "replace")
    pattern = described[name.lower()]["schema"]["pattern"].encode()
    is_key = re.fullmatch(pattern, value.strip(b" \t")) is not None
    document = document_of(response)
    code = document.get("code") if isinstance(document, dict) else None
    is_rejected = response.status_code == 400 and code == "idempotency_key_invalid"
    assert is_key != is_rejected, f"{value!r} is {'' if is_key else 'not '}of the form of a key"


@atexit.register
def report():
    file = os.environ.get("OPENAPI_MET")
    if file:
        with open(file, "w", encoding="utf-8") as out:
            json.dump({"seed": seed, "met": dict(sorted(met.items()))}, out)
