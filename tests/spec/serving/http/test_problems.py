"""Every problem as a client meets it: how to cause it, its status, and that its answer has the one form.

Problems of the border are caused for real; those that the service raises come from a service that raises what it is asked to.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.unit.serving.http.calling import JSON, Answered, Border, key_file

from tidegate.serving.http.keyring import KeyRing
from tidegate.serving.problems import PROBLEMS

# slug: (status, method, path, body, headers, settings). {} in a header is a key with the scope predict.
BORDER: dict[str, tuple[int, str, str, bytes | None, dict[str, str], dict[str, Any]]] = {
    "unauthorised": (401, "POST", "/v1/predict", b"{}", {"authorization": "Bearer tg_bot_no"}, {}),
    "forbidden": (403, "POST", "/v1/admin/reload", b"", {"authorization": "Bearer {}"}, {}),
    "not_found": (404, "GET", "/v2/predict", b"", {}, {}),
    "method_not_allowed": (405, "GET", "/v1/predict", b"", {"authorization": "Bearer {}"}, {}),
    "request_timeout": (408, "POST", "/v1/predict", None, {"authorization": "Bearer {}"}, {"body_timeout_s": 0.02}),
    "body_too_large": (413, "POST", "/v1/predict", b"x" * 1025, {"x-api-key": "{}"}, {"max_body_kb": 1}),
    "unsupported_media_type": (415, "POST", "/v1/predict", b"{}", {"x-api-key": "{}", "content-type": "text/xml"}, {}),
    "malformed": (400, "POST", "/v1/bots/heartbeat", b"{", {"x-api-key": "{}"}, {}),
    "too_many": (422, "POST", "/v1/predict", b"[" * 9999, {"x-api-key": "{}"}, {}),
    "internal": (500, "POST", "/v1/predict", b'{"fail": 1}', {"x-api-key": "{}"}, {}),
}
ALLOWED_ELSEWHERE = {"rate_limited", "overloaded"}  # they need many requests or connections
FURTHER: Mapping[str, Mapping[str, str]] = {
    "unauthorised": {"www-authenticate": 'Bearer realm="tidegate"'},
    "method_not_allowed": {"allow": "POST"},
    "request_timeout": {"connection": "close"},
}
SERVICE = {slug: status for slug, (status, _) in PROBLEMS.items() if slug not in BORDER}


def require_form(answered: Answered, slug: str, status: int) -> None:
    assert answered.status == status == PROBLEMS[slug][0]
    assert answered.headers["content-type"] == "application/problem+json"
    content = json.loads(answered.body)
    assert content["type"] == f"urn:tidegate:problem:{slug}"
    assert content["title"] == PROBLEMS[slug][1]
    assert content["status"] == status
    assert content["request_id"] == answered.headers["x-request-id"]
    assert len(content["detail"]) > 5
    assert set(content) <= {"type", "title", "status", "detail", "request_id", "errors"}


@pytest.mark.parametrize("slug", BORDER)
def test_the_border_refuses(slug: str, tmp_path: Path) -> None:
    status, method, path, body, headers, settings = BORDER[slug]
    keys, texts = key_file(tmp_path, bot=["predict"])
    border = Border(keys=KeyRing(keys), **settings)
    sent = JSON | {name: value.format(texts["bot"]) for name, value in headers.items()}
    unfinished = [] if body is not None else [{"type": "http.request", "body": b"", "more_body": True}]
    answered = border.ask(method, path, body or b"", sent, more=unfinished)
    require_form(answered, slug, status)
    for name, value in FURTHER.get(slug, {}).items():
        assert answered.headers[name] == value
    assert texts["bot"].encode() not in answered.body
    assert border.metrics.problems.labels(slug)._value.get() == 1.0


@pytest.mark.parametrize("slug", SERVICE)
def test_what_the_service_refuses_reaches_the_client(slug: str) -> None:
    border = Border()
    require_form(border.predict({"problem": slug}), slug, SERVICE[slug])
    assert border.metrics.problems.labels(slug)._value.get() == 1.0


def test_too_many_requests_are_told_when_to_come_back() -> None:
    border = Border(rate_limit_rps=1)
    answered = [border.predict({}) for _ in range(11)][-1]
    require_form(answered, "rate_limited", 429)
    assert 1 <= int(answered.headers["retry-after"]) <= 10


def test_the_table_is_whole() -> None:
    assert set(BORDER) | set(SERVICE) == set(PROBLEMS)
    assert set(SERVICE) >= ALLOWED_ELSEWHERE
