"""The OpenAPI description of the whole service, made from the message types and the table of problems.

Version 3.0 of OpenAPI, since generators of clients and the Swagger UI that is served read it, and not all of them read 3.1.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import msgspec

from tidegate import __version__
from tidegate.serving.http.answers import Alive, Bot, Looked, Ready, Served
from tidegate.serving.http.examples import ANSWERED, HEARTBEAT, NEW_BAR, WHOLE_WINDOW
from tidegate.serving.http.routes import ROUTES, Route
from tidegate.serving.messages import Heartbeat, PredictAnswer, PredictRequest, ProblemBody
from tidegate.serving.problems import PROBLEMS, Problem

_TYPES: Final = (PredictRequest, PredictAnswer, Heartbeat, ProblemBody, Alive, Ready, Served, Bot, Looked)
_ALWAYS: Final = ("internal", "overloaded")
_WITH_KEY: Final = ("unauthorised", "forbidden", "rate_limited")
_WITH_BODY: Final = ("malformed", "request_timeout", "body_too_large", "unsupported_media_type")
_OWN: Final[Mapping[str, tuple[str, ...]]] = {
    "/v1/predict": (
        "unknown_strategy",
        "window_unknown",
        "window_gapped",
        "window_conflict",
        "bars_refused",
        "window_too_short",
        "unknown_symbol",
        "position_refused",
        "too_many",
        "log_unavailable",
        "model_failed",
        "not_ready",
    ),
    "/v1/bots/heartbeat": ("unknown_strategy", "too_many"),
    "/v1/admin/check": (
        "unknown_strategy",
        "bars_refused",
        "window_too_short",
        "unknown_symbol",
        "position_refused",
        "too_many",
        "model_failed",
        "not_ready",
    ),
}
_PREDICT_TEXT: Final = """\
Send a whole window of bars, or with `after` only the new ones; the service keeps the window of each symbol and API key. A problem with one
symbol of several stands in its answer; a problem with the only symbol is the whole answer. Every answer is durable in the prediction log
before it is sent, unless `logged` is false."""
_CHECK_TEXT: Final = """\
Whole windows, answered as `/v1/predict` would by the model in production, without a trace: nothing is logged, kept or counted, and `logged` is
false. A golden window is old, so its answer abstains for `stale_data`; its probability is there all the same."""
# What each path is for, in few words and in more.
_TEXTS: Final[Mapping[str, tuple[str, str]]] = {
    "/v1/predict": (
        "Ask for signals",
        _PREDICT_TEXT,
    ),
    "/v1/model": ("What is served", "One entry a strategy."),
    "/v1/bots/heartbeat": (
        "A bot's sign of life",
        "Deploying and rolling back wait until a bot names the new version.",
    ),
    "/v1/bots": ("The bots' last signs of life", "A restart forgets them until the next ones."),
    "/v1/admin/reload": ("Look at the registry now", "One result a strategy; a body is not read."),
    "/v1/admin/check": ("Answer without a trace", _CHECK_TEXT),
    "/healthz": (
        "Whether the process answers",
        "Says nothing about models; restart the process when it does not answer.",
    ),
    "/readyz": ("Whether requests should be sent here", "503 with the reasons when not; also while the process stops."),
    "/metrics": ("Metrics for Prometheus", "Text, or OpenMetrics when the Accept header asks for it."),
}
_RESULTS: Final[Mapping[str, dict[str, Any]]] = {
    "/v1/predict": {"$ref": "#/components/schemas/PredictAnswer"},
    "/v1/model": {"type": "array", "items": {"$ref": "#/components/schemas/Served"}},
    "/v1/bots": {"type": "array", "items": {"$ref": "#/components/schemas/Bot"}},
    "/v1/admin/reload": {"type": "array", "items": {"$ref": "#/components/schemas/Looked"}},
    "/v1/admin/check": {"$ref": "#/components/schemas/PredictAnswer"},
    "/healthz": {"$ref": "#/components/schemas/Alive"},
    "/readyz": {"$ref": "#/components/schemas/Ready"},
}
_REQUESTS: Final[Mapping[str, dict[str, Any]]] = {
    "/v1/predict": {
        "schema": {"$ref": "#/components/schemas/PredictRequest"},
        "examples": {"whole_window": {"value": WHOLE_WINDOW}, "new_bar": {"value": NEW_BAR}},
    },
    "/v1/bots/heartbeat": {
        "schema": {"$ref": "#/components/schemas/Heartbeat"},
        "examples": {"heartbeat": {"value": HEARTBEAT}},
    },
    "/v1/admin/check": {
        "schema": {"$ref": "#/components/schemas/PredictRequest"},
        "examples": {"whole_window": {"value": WHOLE_WINDOW}},
    },
}
_ABOUT: Final = """\
Serves the production model of each strategy. Numbers are JSON numbers that hold a float64 exactly; NaN and infinity are refused. Times are
UTC milliseconds.

Every answer carries `X-Request-ID`: the client's own one, if it has 1 to 64 of `A-Z a-z 0-9 . _ -`, else a new one. Every error is
`application/problem+json`; its `type` is `urn:tidegate:problem:` and one of the names below. What is no HTTP/1.1 is answered with 400
(`malformed_request`), headers of more than 16384 bytes with 431 (`headers_too_large`), headers that do not come in time with 408, an unknown
path with 404 (`not_found`), another method with 405 (`method_not_allowed`)."""


def openapi() -> dict[str, Any]:
    """The description as plain JSON values."""
    _, components = msgspec.json.schema_components(_TYPES, ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        if not route.docs:
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.0.3",
        "info": {"title": "tidegate serving API, version 1", "version": __version__, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {name: _plain(schema) for name, schema in sorted(components.items())},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer KEY"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def openapi_text() -> str:
    """The description as the file in docs/contracts holds it."""
    return json.dumps(openapi(), indent=1, ensure_ascii=False) + "\n"


@cache
def openapi_bytes() -> bytes:
    """The description as it is served."""
    return msgspec.json.encode(openapi())


def _operation(route: Route) -> dict[str, Any]:
    summary, description = _TEXTS[route.path]
    name = "_".join(part for part in route.path.split("/") if part and part != "v1")
    tag = "bots" if "/bots" in route.path else "predictions" if route.scope == "predict" else "operation"
    operation: dict[str, Any] = {"operationId": name, "tags": [tag], "summary": summary, "description": description}
    problems: tuple[str, ...] = _ALWAYS + _OWN.get(route.path, ())
    if route.scope is not None:
        operation["description"] += f" Needs a key with the scope `{route.scope}`."
        operation["security"] = [{"bearer": []}, {"header": []}]
        problems += _WITH_KEY
    if route.path in _REQUESTS:
        operation["requestBody"] = {"required": True, "content": {"application/json": _REQUESTS[route.path]}}
        problems += _WITH_BODY
    elif route.method == "POST":
        problems += ("request_timeout", "body_too_large")
    operation["responses"] = {**_success(route), **_problems(problems)}
    if route.path == "/readyz":
        operation["responses"]["503"] = {
            "description": "It is not ready, or has too many connections.",
            "headers": _headers("503"),
            "content": {
                "application/json": {"schema": _RESULTS["/readyz"]},
                "application/problem+json": operation["responses"]["503"]["content"]["application/problem+json"],
            },
        }
    return operation


def _success(route: Route) -> dict[str, Any]:
    if route.path == "/v1/bots/heartbeat":
        return {"204": {"description": "It is kept.", "headers": _headers("204")}}
    content: dict[str, Any] = {"application/json": {"schema": _RESULTS.get(route.path, {})}}
    if route.path == "/v1/predict":
        content["application/json"]["example"] = ANSWERED
    if route.path == "/metrics":
        content = {kind: {"schema": {"type": "string"}} for kind in ("text/plain", "application/openmetrics-text")}
    return {"200": {"description": "The answer.", "headers": _headers("200"), "content": content}}


def _problems(slugs: Sequence[str]) -> dict[str, Any]:
    """Problems by status, each with an example."""
    by_status: dict[str, list[str]] = {}
    for slug in slugs:
        by_status.setdefault(str(PROBLEMS[slug][0]), []).append(slug)
    return {status: _problem_response(status, by_status[status]) for status in sorted(by_status)}


def _problem_response(status: str, slugs: Sequence[str]) -> dict[str, Any]:
    examples = {
        slug: {"value": msgspec.to_builtins(Problem(slug, "what to do about it").body("5e884898da28-1"))}
        for slug in slugs
    }
    return {
        "description": "; ".join(f"`{slug}`: {PROBLEMS[slug][1]}" for slug in slugs),
        "headers": _headers(status),
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemBody"}, "examples": examples}
        },
    }


def _headers(status: str) -> dict[str, Any]:
    headers: dict[str, Any] = {"X-Request-ID": {"schema": {"type": "string"}}}
    if status == "429":
        headers["Retry-After"] = {"schema": {"type": "integer"}, "description": "Seconds to wait."}
    return headers


def _plain(schema: Any) -> Any:  # noqa: ANN401  a part of a JSON Schema
    """A JSON Schema as OpenAPI 3.0 has it: no type null, docstrings without line breaks."""
    if isinstance(schema, list):
        return [_plain(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _plain(part) for key, part in schema.items() if key not in {"anyOf", "const"}}
    if isinstance(plain.get("description"), str):
        plain["description"] = re.sub(r"\s+", " ", plain["description"])
    if "const" in schema:
        plain["enum"] = [schema["const"]]
    options = [_plain(option) for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    if not options:
        return plain
    only = options[0] if len(options) == 1 else {"anyOf": options}
    if "$ref" in only:
        only = {"allOf": [only]}
    if "enum" in only:
        only["enum"].append(None)
    return {**plain, **only, "nullable": True}
