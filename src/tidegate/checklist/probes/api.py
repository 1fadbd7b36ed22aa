"""The live service's border: strange origins, too many requests, no key, bad inputs, talkative errors. Bounded, and with the probes' own key."""

import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from tidegate.checklist.context import Context
from tidegate.checklist.finding import Finding, NotMeasured, failed, judged
from tidegate.checklist.probe import Probe
from tidegate.checklist.service import Service
from tidegate.checklist.web import Reply
from tidegate.serving.http.routes import ROUTES

ORIGIN: Final = "https://a-foreign-page.invalid"
_PROBLEM: Final = "application/problem+json"
_ACTING: Final = frozenset(("/v1/admin/reload",))
_GUARDED: Final = sorted(
    ((route.path, route.method) for route in ROUTES if route.scope is not None), key=lambda one: one[0] in _ACTING
)
"""Every route that needs a key; those that act come last."""
_UNKNOWN: Final = "an unknown strategy"
_REFUSED: Final = frozenset((400, 411, 413, 415, 422))
"""Of a body that was read and found wrong. 404 is of a path that is not there, 429 of a body that nobody read."""
_BARS: Final = {"opened_at": [0], "open": [1.0], "high": [1.0], "low": [1.0], "close": [1.0], "volume": [1.0]}
BAD_BODIES: Final[Mapping[str, bytes]] = {
    "no JSON": b"{",
    "not UTF-8": b"\xff\xfe{}",
    "a list": b"[]",
    "an unknown field": b'{"items": [], "surprise": 1}',
    "a missing field": b"{}",
    "NaN": b'{"items": [{"symbol": "X", "bars": {"opened_at": [NaN]}}]}',
    "a number beyond all bounds": b'{"items": [{"symbol": "X", "bars": {"opened_at": [1e999]}}]}',
    "a text for a number": b'{"items": [{"symbol": "X", "bars": {"opened_at": ["now"]}}]}',
    _UNKNOWN: json.dumps({"strategy": "../../etc/passwd", "items": [{"symbol": "X", "bars": _BARS}]}).encode(),
    "deep nesting": b"[" * 50_000,
    "no body": b"",
}
LEAKS: Final = re.compile(
    rb"Traceback|File \"|\.py\b|site-packages|/home/|/root/|/usr/|/opt/|/srv/|/tmp/|0x[0-9a-f]{8}|line \d+, in|sqlalchemy|BEGIN [A-Z ]*PRIVATE KEY",
    re.IGNORECASE,
)


def each(context: Context, *, look: Callable[[Context, Service], Finding]) -> Finding:
    """What one look at each serving process comes to: processes may have other settings.

    Args:
        context: what is looked at.
        look: at one of them.
    """
    found, reasons = [], []
    for service in context.services:
        try:
            found.append(look(context, service))
        except NotMeasured as reason:
            reasons.append(str(reason))
    bad = [one for one in found if one.verdict != "pass"]
    if reasons and not bad:
        raise NotMeasured("; ".join(reasons))
    shown = bad or found
    return judged(not bad, "; ".join(one.evidence for one in shown), shown[0].link)


def cors(_context: Context, service: Service) -> Finding:
    """A page of a strange origin is not let in, and `*` is nowhere."""
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-api-key",
    }
    preflight = service.ask("/v1/predict", method="OPTIONS", headers=asked, with_key=False)
    plain = service.ask("/healthz", headers={"Origin": ORIGIN}, with_key=False)
    allowed = [reply.headers.get("access-control-allow-origin") for reply in (preflight, plain)]
    evidence = f"asked from {ORIGIN}: preflight {preflight.status}, Access-Control-Allow-Origin {allowed[0]}; then {allowed[1]}"
    # Some other server that lives there has no such header either.
    is_ours = plain.status == 200 and _json(plain) == {"alive": True}
    return judged(allowed == [None, None] and is_ours, f"{evidence}; /healthz {plain.status}", service.address)


def rate_limit(context: Context, service: Service) -> Finding:
    """A burst with the probes' own key is stopped by 429 with Retry-After."""
    most = context.settings.checklist.burst
    host = urlsplit(service.address).hostname or ""
    if not context.are_configured and host not in {"127.0.0.1", "::1", "localhost"}:
        raise NotMeasured(
            f"a burst goes to no machine that was not named: set checklist.instances to {service.address}"
        )
    began = time.monotonic()
    for sent in range(1, most + 1):
        reply = service.ask("/v1/model")
        if reply.status in {401, 403}:
            raise NotMeasured(f"{service.address} asks for a key with the scope predict: set checklist.api_key_file")
        if reply.status == 429:
            good = reply.headers.get("retry-after", "").isdigit() and reply.headers.get("content-type") == _PROBLEM
            evidence = (
                f"request {sent} of a burst was answered with 429, Retry-After {reply.headers.get('retry-after')}"
            )
            time.sleep(min(2.0, float(reply.headers.get("retry-after", 1) if good else 1)))
            return judged(good, evidence, service.address)
    rate = most / (time.monotonic() - began)
    return failed(f"{most} requests of one key at {rate:.0f} a second, and none was answered with 429", service.address)


def authentication(context: Context) -> Finding:
    """Every route but health and documentation refuses a request without a key, and one with a wrong key.

    Raises:
        NotMeasured: too many requests had come before, so that a route said nothing of keys.
    """
    told, good, silent = [], True, False
    for service in context.services:
        for path, method in _GUARDED:
            if path in _ACTING and not good:
                continue  # a service that lets everybody in would do what it is asked
            body = b"{}" if method == "POST" else None
            without = service.ask(path, method=method, body=body, with_key=False).status
            wrong = service.ask(path, method=method, body=body, with_key=False, headers={"X-API-Key": "tg_nobody_" + secrets.token_hex(16)}).status  # fmt: skip
            good = good and (without, wrong) in {(401, 401), (401, 429), (429, 429)}
            silent = silent or (without, wrong) == (429, 429)
            told.append(f"{path} {without}/{wrong}")
    if good and silent:
        raise NotMeasured(
            f"without a key / with a wrong one: {', '.join(told)}: look again when the limit lets through"
        )
    return judged(good, f"without a key / with a wrong one: {', '.join(told)}", context.service.address)


def validation(_context: Context, service: Service) -> Finding:
    """Bad requests are answered with 4xx as problem+json, never with 500, on both routes that take bars and the one that takes heartbeats."""
    wrong, asked = [], 0
    for what, reply in _bad_answers(service):
        asked += 1
        if (
            reply.status not in ({*_REFUSED, 404} if what.endswith(_UNKNOWN) else _REFUSED)
            or reply.headers.get("content-type") != _PROBLEM
            or "title" not in _json(reply)
        ):
            wrong.append(f"{what}: {reply.status} {reply.headers.get('content-type')}")
    evidence = f"{asked} bad requests, {asked - len(wrong)} of them refused as they should be"
    return judged(not wrong, evidence + (f"; not: {'; '.join(wrong)[:300]}" if wrong else ""), service.address)


def errors(_context: Context, service: Service) -> Finding:
    """Errors are problems as they are documented; none names a file, a line, a library or the key, and no header the server's software."""
    leaks, asked = list[str](), 0
    answers = [*_bad_answers(service), ("unknown path", service.ask("/../../etc/passwd")), ("wrong method", service.ask("/v1/predict", method="DELETE"))]  # fmt: skip
    for what, reply in answers:
        asked += 1
        if reply.headers.get("content-type") != _PROBLEM:
            leaks.append(f"{what}: {reply.status} is no problem")
        found = LEAKS.search(reply.body)
        if found is not None:
            leaks.append(f"{what}: {found[0].decode(errors='replace')}")
        if service.key is not None and service.key.encode() in reply.body:
            leaks.append(f"{what}: the key")
        leaks += [f"{what}: header {name}" for name in ("server", "x-powered-by") if name in reply.headers]
    told = f"{asked} refused requests, {len(leaks)} tell something of the inside"
    return judged(not leaks, told + (f": {'; '.join(leaks)[:300]}" if leaks else ""), service.address)


def _bad_answers(service: Service) -> list[tuple[str, Reply]]:
    """Answers to bad requests.

    Raises:
        NotMeasured: it asks for a key, and the probes have none with the scope predict; or too many requests had come before, so that none of these was read.
    """
    found = []
    for path in ("/v1/predict", "/v1/bots/heartbeat"):
        for what, body in BAD_BODIES.items():
            reply = _let_through(service, path, body)
            if reply.status in {401, 403}:
                raise NotMeasured(
                    f"{service.address} asks for a key with the scope predict: set checklist.api_key_file"
                )
            found.append((f"{path} {what}", reply))
    plain = _let_through(service, "/v1/predict", b"{}", {"Content-Type": "text/plain"})
    return [*found, ("/v1/predict as text", plain)]


def _let_through(service: Service, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> Reply:
    """The answer to a request, which is sent once more where the limit of the key stopped it."""
    for wait_s in (1.1, 0.0):
        reply = service.ask(path, method="POST", body=body, headers=headers)
        if reply.status != 429:
            return reply
        time.sleep(wait_s)
    raise NotMeasured(
        f"{service.address} answers with 429, so nothing was read: look again when the limit lets through"
    )


def _json(reply: Reply) -> Any:  # noqa: ANN401  any JSON
    try:
        return json.loads(reply.body)
    except ValueError:
        return {}


PROBES: Final[Mapping[str, Probe]] = {
    "api.cors": partial(each, look=cors),
    "api.rate_limit": partial(each, look=rate_limit),
    "api.authentication": authentication,
    "api.validation": partial(each, look=validation),
    "api.errors": partial(each, look=errors),
}
