"""What is refused before any parser sees it."""

import json

import pytest
from tests.unit.serving.http.calling import JSON, Border

from tidegate.serving.http.body import Bounds
from tidegate.serving.http.examples import NEW_BAR, WHOLE_WINDOW
from tidegate.serving.problems import Problem
from tidegate.settings.serving import Serving

KB = 1024


@pytest.mark.parametrize("size", [KB - 1, KB])
def test_a_body_within_the_size_passes(size: int) -> None:
    body = b'{"a": "' + b"x" * (size - 9) + b'"}'
    assert Border(max_body_kb=1).ask("POST", "/v1/predict", body, JSON).status == 200


@pytest.mark.parametrize(
    ("parts", "length"),
    [
        ([b"x" * (KB + 1)], None),
        ([b"x" * 600, b"x" * 600], None),
        ([b""], str(KB + 1)),
        ([b"{}"], "-1"),
        ([b"{}"], "1_0"),
        ([b"{}"], "9" * 5000),
        ([b"{}"], "0x10"),
        ([b"{}"], ""),
    ],
)
def test_a_body_beyond_it_or_of_no_size_is_refused(parts: list[bytes], length: str | None) -> None:
    headers = JSON if length is None else JSON | {"content-length": length}
    answered = Border(max_body_kb=1).ask("POST", "/v1/predict", parts, headers)
    assert (answered.status, answered.slug) == (413, "body_too_large")


def test_a_declared_size_is_refused_before_a_byte_is_read() -> None:
    border = Border(body_timeout_s=0.05)
    headers = JSON | {"content-length": str(100 * KB * KB)}
    answered = border.ask("POST", "/v1/predict", [], headers)
    assert answered.slug == "body_too_large"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": ""},
        {"content-type": "text/plain"},
        {"content-type": "application/jsonp"},
        {"content-type": "multipart/form-data; boundary=application/json"},
        JSON | {"content-encoding": "gzip"},
    ],
    ids=str,
)
def test_another_type_is_refused(headers: dict[str, str]) -> None:
    for path in ("/v1/predict", "/v1/bots/heartbeat"):
        answered = Border().ask("POST", path, b"{}", headers)
        assert (answered.status, answered.slug) == (415, "unsupported_media_type")


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON ;x=y"])
def test_json_in_other_words_passes(kind: str) -> None:
    assert Border().ask("POST", "/v1/predict", b"{}", {"content-type": kind}).status == 200


def test_heartbeats_and_reloads_take_small_bodies() -> None:
    assert Border().ask("POST", "/v1/bots/heartbeat", b" " * 16_385, JSON).slug == "body_too_large"
    assert Border().ask("POST", "/v1/admin/reload", b" " * 1025, JSON).slug == "body_too_large"
    assert Border().ask("POST", "/v1/admin/reload", b"anything").status == 200


@pytest.mark.parametrize("body", [b"[" * 500, b'{"a":' * 500, b"[" + b"1," * 300_000 + b"1]"], ids=["[", "{", ","])
def test_more_structure_than_any_request_has_is_refused(body: bytes) -> None:
    border = Border(max_symbols=10, max_bars=100)
    answered = border.ask("POST", "/v1/predict", body, JSON)
    assert (answered.status, answered.slug) == (422, "too_many")


def test_the_largest_request_is_within_its_bounds() -> None:
    settings = Serving(max_symbols=7, max_bars=40)
    columns = {name: [1.5] * 40 for name in WHOLE_WINDOW["items"][0]["bars"]}
    item = NEW_BAR["items"][0] | {"symbol": "A,[{B", "bars": columns}
    body = json.dumps(NEW_BAR | {"strategy": "a,b,c", "items": [item] * 7}).encode()
    bounds = Bounds(settings)
    bounds.require_within(body)
    twice = json.dumps(NEW_BAR | {"items": [item] * 25}).encode()
    with pytest.raises(Problem, match="too_many"):
        bounds.require_within(twice)
