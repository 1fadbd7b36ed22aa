"""Who may come in, how much, and what is told about it."""

import asyncio
import logging
from pathlib import Path

import pytest
from tests.unit.serving.http.calling import JSON, Border, key_file

from tidegate.serving.http.keyring import KeyRing


@pytest.fixture
def texts(tmp_path: Path) -> dict[str, str]:
    return key_file(tmp_path, bot=["predict"], boss=["admin"], graph=["metrics"])[1]


@pytest.fixture
def guarded(texts: dict[str, str], tmp_path: Path) -> Border:
    assert texts
    return Border(keys=KeyRing(tmp_path / "keys.yaml"))


def test_a_prediction_passes_with_id_and_key(guarded: Border, texts: dict[str, str]) -> None:
    answered = guarded.predict({"a": 1}, authorization=f"Bearer {texts['bot']}", x_request_id="bot-7.A_b")
    assert answered.status == 200
    assert answered.body == b'{"request_id": "bot-7.A_b", "key": "bot", "bytes": 8}'
    assert answered.headers["x-request-id"] == "bot-7.A_b"
    assert answered.headers["content-type"] == "application/json"


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "é", 'a"b', "a/b", "a\tb"])
def test_an_id_that_could_do_harm_in_a_log_is_replaced(given: str) -> None:
    border = Border()
    first, second = (border.predict({}, x_request_id=given).headers["x-request-id"] for _ in range(2))
    assert first != second
    assert given not in {first, second}


SCOPES: dict[tuple[str, str], set[str | None]] = {
    ("POST", "/v1/predict"): {"bot"},
    ("POST", "/v1/bots/heartbeat"): {"bot"},
    ("GET", "/v1/model"): {"bot"},
    ("GET", "/metrics"): {"graph"},
    ("POST", "/v1/admin/reload"): {"boss"},
    ("POST", "/v1/admin/check"): {"boss"},
    ("GET", "/v1/bots"): {"boss"},
    ("GET", "/healthz"): {"bot", "boss", "graph", None},
    ("GET", "/readyz"): {"bot", "boss", "graph", None},
    ("GET", "/docs"): {"bot", "boss", "graph", None},
    ("GET", "/docs/swagger-ui.css"): {"bot", "boss", "graph", None},
    ("GET", "/openapi.json"): {"bot", "boss", "graph", None},
}


@pytest.mark.parametrize("route", SCOPES, ids=" ".join)
@pytest.mark.parametrize("who", ["bot", "boss", "graph", None])
def test_each_route_opens_to_its_scope_only(
    guarded: Border, texts: dict[str, str], route: tuple[str, str], who: str | None
) -> None:
    headers = JSON if who is None else JSON | {"x-api-key": texts[who]}
    answered = guarded.ask(*route, b"{}", headers)
    if who in SCOPES[route]:
        assert answered.status in {200, 400}
    elif who is None:
        assert (answered.status, answered.slug) == (401, "unauthorised")
        assert answered.headers["www-authenticate"].startswith("Bearer")
    else:
        assert (answered.status, answered.slug) == (403, "forbidden")


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer {}x"},
        {"authorization": "Bearer  "},
        {"authorization": "Basic {}"},
        {"authorization": "{}"},
        {"authorization": "Bearer é"},
        {"x-api-key": "{} "},
        {"authorization": "Bearer {}", "x-api-key": "tg_other_key"},
        {"cookie": "key={}"},
    ],
    ids=str,
)
def test_anything_but_one_whole_key_is_nobody(guarded: Border, texts: dict[str, str], headers: dict[str, str]) -> None:
    filled = {name: value.format(texts["bot"]) for name, value in headers.items()}
    answered = guarded.predict({}, **filled)
    assert answered.status == 401
    assert texts["bot"].encode() not in answered.body


def test_the_same_key_in_both_headers_is_that_key(guarded: Border, texts: dict[str, str]) -> None:
    assert guarded.predict({}, authorization=f"bearer {texts['bot']}", x_api_key=texts["bot"]).status == 200


def test_a_key_in_the_query_is_no_key(guarded: Border, texts: dict[str, str]) -> None:
    assert guarded.ask("POST", f"/v1/predict?key={texts['bot']}", b"{}", JSON).status == 401


def test_a_key_over_its_rate_waits_and_others_do_not(texts: dict[str, str], tmp_path: Path) -> None:
    border = Border(keys=KeyRing(tmp_path / "keys.yaml"), rate_limit_rps=10)
    statuses = [border.predict({}, x_api_key=texts["bot"]).status for _ in range(11)]
    assert statuses == [200] * 10 + [429]
    refused = border.predict({}, x_api_key=texts["bot"])
    assert refused.slug == "rate_limited"
    assert refused.headers["retry-after"] == "1"
    assert border.ask("GET", "/metrics", headers={"x-api-key": texts["graph"]}).status == 200
    assert (
        'tidegate_rate_limited_total{key="bot"} 2.0'
        in border.ask("GET", "/metrics", headers={"x-api-key": texts["graph"]}).body.decode()
    )


def test_an_address_without_a_valid_key_is_slowed_down_and_a_valid_key_from_there_is_not(
    guarded: Border, texts: dict[str, str]
) -> None:
    statuses = [guarded.predict({}, x_api_key="tg_bot_wrong").status for _ in range(31)]
    assert statuses == [401] * 30 + [429]
    assert guarded.predict({}, x_api_key=texts["bot"]).status == 200
    assert guarded.ask("POST", "/v1/predict", b"{}", JSON, client="192.0.2.2").status == 401


def test_without_keys_each_address_has_the_rate_for_itself() -> None:
    border = Border(rate_limit_rps=10)
    assert [border.predict({}).status for _ in range(11)][-1] == 429
    assert border.ask("POST", "/v1/predict", b"{}", JSON, client="192.0.2.2").status == 200


def test_a_line_tells_everything_but_secrets(guarded: Border, texts: dict[str, str]) -> None:
    guarded.ask("POST", "/v1/predict?q=secret", b'{"a": 1}', JSON | {"x-api-key": texts["bot"], "x-request-id": "r-1"})
    (line,) = guarded.log.lines
    assert (line.request_id, line.key, line.method, line.route, line.status) == (
        "r-1",
        "bot",
        "POST",
        "/v1/predict",
        200,
    )
    assert line.bytes == len(b'{"request_id": "r-1", "key": "bot", "bytes": 8}')
    assert 0 < line.seconds < 10
    assert line.at > 1_600_000_000_000
    assert "secret" not in repr(line)
    assert texts["bot"] not in repr(line)


def test_unknown_paths_share_one_label() -> None:
    border = Border()
    assert border.ask("GET", "/v1/admin/../secret").slug == "not_found"
    assert border.ask("GET", "/\x00").slug == "not_found"
    assert {line.route for line in border.log.lines} == {"unknown"}
    text = border.ask("GET", "/metrics").body.decode()
    assert 'tidegate_requests_total{route="unknown",status="404"} 2.0' in text
    assert 'tidegate_problems_total{kind="not_found"} 2.0' in text


def test_requests_are_counted_and_timed() -> None:
    border = Border()
    for _ in range(3):
        border.predict({})
    border.predict({"problem": "bars_refused"})
    text = border.ask("GET", "/metrics").body.decode()
    assert 'tidegate_requests_total{route="/v1/predict",status="200"} 3.0' in text
    assert 'tidegate_requests_total{route="/v1/predict",status="422"} 1.0' in text
    assert 'tidegate_request_seconds_count{route="/v1/predict"} 4.0' in text


def test_a_failure_inside_is_told_to_the_log_and_not_to_the_client(caplog: pytest.LogCaptureFixture) -> None:
    border = Border()
    with caplog.at_level(logging.ERROR):
        answered = border.predict({"fail": 1}, x_request_id="r-2")
    assert (answered.status, answered.slug) == (500, "internal")
    assert b"secret" not in answered.body
    (record,) = caplog.records
    assert record.getMessage() == "request r-2 failed"
    assert record.exc_info is not None
    assert border.log.lines[0].status == 500


def test_a_failure_inside_the_app_is_told_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    border = Border()
    monkeypatch.setattr(border.service, "model", lambda: 1 / 0)
    with caplog.at_level(logging.ERROR):
        answered = border.ask("GET", "/v1/model")
    assert (answered.status, answered.slug) == (500, "internal")
    assert b"division" not in answered.body
    assert len(caplog.records) == 1


def test_a_body_in_parts_is_one_body() -> None:
    answered = Border().ask("POST", "/v1/predict", [b'{"a"', b": ", b"1}"], JSON)
    assert b'"bytes": 8' in answered.body


def test_a_client_that_leaves_is_noted() -> None:
    border = Border()
    answered = border.ask("POST", "/v1/predict", b"{", JSON, more=[{"type": "http.disconnect"}])
    assert answered.status == 0
    assert border.log.lines[0].status == 499


def test_a_body_that_does_not_come_is_refused_and_the_connection_ends() -> None:
    unfinished = [{"type": "http.request", "body": b"", "more_body": True}]
    answered = Border(body_timeout_s=0.05).ask("POST", "/v1/predict", b"{", JSON, more=unfinished)
    assert (answered.status, answered.slug) == (408, "request_timeout")
    assert answered.headers["connection"] == "close"


def test_while_draining_every_answer_ends_its_connection() -> None:
    border = Border()
    border.front.draining = True
    for answered in (border.predict({}), border.ask("GET", "/healthz"), border.ask("GET", "/nothing")):
        assert answered.headers["connection"] == "close"


def test_beyond_the_limit_of_connections_only_life_is_told() -> None:
    async def overloaded(path: str) -> int:
        sent: list[dict[str, int]] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, int]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": path, "headers": [], "client": ("192.0.2.1", 1)}
        scope |= {"query_string": b"", "raw_path": path.encode(), "scheme": "http", "root_path": ""}
        await Border().front.overloaded(scope, receive, send)  # type: ignore[arg-type]
        return sent[0]["status"]

    assert asyncio.run(overloaded("/readyz")) == 503
    assert asyncio.run(overloaded("/healthz")) == 200


def test_other_kinds_of_connections_are_not_answered() -> None:
    async def nobody() -> dict[str, object]:
        raise AssertionError

    async def send(_message: object) -> None:
        raise AssertionError

    asyncio.run(Border().front({"type": "websocket"}, nobody, send))


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text;version=abc", "application/openmetrics-text;version=", "a/b"]
)
def test_metrics_are_told_whatever_form_a_client_names(accept: str) -> None:
    told = Border().ask("GET", "/metrics", headers={"accept": accept})
    assert (told.status, b"tidegate_ready" in told.body) == (200, True)


def test_docs_are_sent_whole_whatever_range_a_client_names() -> None:
    told = Border().ask("GET", "/docs/swagger-ui.css", headers={"range": "bytes=nonsense"})
    assert (told.status, len(told.body) > 10_000) == (200, True)
