"""What runs beside decisions: looks at the service, signs of life, the client's own metrics, and the end of it all."""

import contextlib
import gc
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from tests.integration.client.scripted import Act, Scripted, refuse, reply, reset, signal, silent
from tests.servers import free_port
from tests.unit.client.records import DIGEST, bars, config, model, served

from tidegate.client import Client
from tidegate.client.metrics_server import MetricsServer
from tidegate.errors import ConfigurationError

PREDICT, MODEL, READY, HEARTBEAT = "/v1/predict", "/v1/model", "/readyz", "/v1/bots/heartbeat"


@pytest.fixture
def connect(service: Scripted) -> Iterator[Callable[..., Client]]:
    opened: list[Client] = []

    def make(**changes: object) -> Client:
        opened.append(Client(config(**{"url": service.url, **changes})))
        return opened[-1]

    yield make
    for client in opened:
        client.close()


def until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def test_a_look_tells_health_and_model(service: Scripted, connect: Callable[..., Client]) -> None:
    client = connect()
    assert client.state().health == "unknown"
    assert client.poll_now() == "ready"
    assert [asked.path for asked in service.asked] == [READY, MODEL]
    described = client.model()
    assert described is not None
    assert described.production is not None
    assert (described.production.version, described.production.bundle_digest) == (7, DIGEST)
    assert len(service.asked) == 2, "what is known is not asked for"
    service.always(READY, refuse(503, "not_ready"))
    assert client.poll_now() == "not_ready"
    service.always(READY, reset)
    assert (client.poll_now(), client.state().health) == ("unreachable", "unreachable")


@pytest.mark.parametrize("act", [silent, reset])
def test_a_look_without_an_answer_counts_for_the_breaker(
    service: Scripted, connect: Callable[..., Client], act: Act
) -> None:
    service.always(READY, act)
    client = connect(breaker={"failures": 2, "open_ms": 60_000}, health={"poll_ms": 0, "timeout_ms": 50})
    for state in ("closed", "open"):
        client.poll_now()
        assert client.state().breaker == state
    service.always(READY, None)
    assert client.poll_now() == "ready"
    assert client.state().breaker == "half_open"
    assert client.decide("SIM/USD", bars()).source == "model"
    assert client.state().breaker == "closed"


def test_model_asks_where_nothing_is_known(service: Scripted, connect: Callable[..., Client]) -> None:
    client = connect()
    assert client.model() is not None
    service.always(MODEL, reply(200, "nonsense"))
    other = connect()
    assert other.model() is None


def test_looks_go_on_in_the_background_and_follow_the_service(
    service: Scripted, connect: Callable[..., Client]
) -> None:
    client = connect(health={"poll_ms": 50})
    until(lambda: client.state().health == "ready")
    service.always(MODEL, reply(200, [served(production=model(8, "d" * 64))]))
    until(lambda: (client.model() or pytest.fail("no model is known")).production.version == 8)  # type: ignore[union-attr]
    service.always(READY, silent)
    service.always(PREDICT, signal(version=8, bundle_digest="d" * 64))
    assert client.decide("SIM/USD", bars()).version == 8
    service.always(READY, None)
    until(lambda: client.state().health == "ready")


def test_a_sign_of_life_says_what_the_client_did(service: Scripted, connect: Callable[..., Client]) -> None:
    client = connect(dry_run=False)
    client.decide("SIM/USD", bars())
    client.decide("SIM/USD", None)
    assert client.heartbeat_now()
    (asked,) = service.of(HEARTBEAT)
    sent_at = asked.body.pop("sent_at")
    assert abs(sent_at - time.time() * 1000) < 10_000
    assert asked.body == {
        "bot": "bot-1",
        "strategy": "sim",
        "last_version": 7,
        "last_bundle_digest": DIGEST,
        "breaker": "closed",
        "decisions": {"model": 1, "fallback": 1},
        "dry_run": False,
    }
    service.always(HEARTBEAT, refuse(401, "unauthorised"))
    assert not client.heartbeat_now()
    service.always(HEARTBEAT, reset)
    assert not client.heartbeat_now()
    text = client.metrics_text()
    assert 'heartbeats_total{result="sent"} 1' in text
    assert 'heartbeats_total{result="failed"} 2' in text


def test_another_version_is_told_at_once_and_the_end_too(service: Scripted, connect: Callable[..., Client]) -> None:
    client = connect(heartbeat={"every_ms": 60_000})
    until(lambda: len(service.of(HEARTBEAT)) == 1)
    client.decide("SIM/USD", bars())
    until(lambda: len(service.of(HEARTBEAT)) == 2)
    assert service.of(HEARTBEAT)[-1].body["last_version"] == 7
    client.decide("SIM/USD", bars(start=1))
    time.sleep(0.1)
    assert len(service.of(HEARTBEAT)) == 2
    client.close()
    assert len(service.of(HEARTBEAT)) == 3
    assert service.of(HEARTBEAT)[-1].body["decisions"] == {"model": 2}


def test_signs_of_life_go_on_whatever_becomes_of_them(service: Scripted, connect: Callable[..., Client]) -> None:
    service.always(HEARTBEAT, reset)
    connect(heartbeat={"every_ms": 100})
    until(lambda: len(service.of(HEARTBEAT)) >= 3)


def test_a_service_that_was_away_is_found_again_by_itself(service: Scripted, connect: Callable[..., Client]) -> None:
    service.always(PREDICT, reset)
    service.always(READY, reset)
    quick = {"retry": {"attempts": 1}, "breaker": {"failures": 1, "open_ms": 600_000, "open_max_ms": 600_000}}
    client = connect(health={"poll_ms": 50}, **quick)
    assert client.decide("SIM/USD", bars()).source == "fallback"
    until(lambda: client.decide("SIM/USD", bars()).reason == "breaker_open")
    service.always(PREDICT, None)
    service.always(READY, None)
    until(lambda: client.state().breaker == "half_open")
    assert client.decide("SIM/USD", bars()).source == "model"


def test_metrics_are_served(connect: Callable[..., Client]) -> None:
    client = connect(metrics={"address": "127.0.0.1:0"})
    client.decide("SIM/USD", bars())
    url = f"http://127.0.0.1:{client.metrics_port}"
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert answer.read().decode() == client.metrics_text()
    with pytest.raises(urllib.error.HTTPError) as told:
        urllib.request.urlopen(url, timeout=5)
    assert told.value.code == 404
    told.value.close()


def scraped(port: int, timeout_s: float) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=timeout_s) as answer:
        return str(answer.read().decode())


def test_those_that_ask_nothing_take_so_many_places_and_no_more() -> None:
    server = MetricsServer("127.0.0.1:0", lambda: "here")
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(16)]
    with pytest.raises(TimeoutError):
        scraped(server.port, 0.5)
    silent.pop().close()
    assert scraped(server.port, 10) == "here"
    silent.append(socket.create_connection(("127.0.0.1", server.port)))
    server.close()
    for one in silent:
        one.close()


def test_one_that_asks_a_byte_at_a_time_is_left() -> None:
    server = MetricsServer("127.0.0.1:0", lambda: "here", patience_s=0.2)
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.settimeout(0.05)
        came: bytes | None = None
        for _ in range(100):
            with contextlib.suppress(TimeoutError):
                slow.sendall(b"G")
                came = slow.recv(1)
                break
    assert came == b""
    assert scraped(server.port, 10) == "here"
    server.close()


def test_a_port_that_is_taken_is_refused(service: Scripted, connect: Callable[..., Client]) -> None:
    taken = service.url.removeprefix("http://")
    with pytest.raises(ConfigurationError) as told:
        connect(metrics={"address": taken})
    assert told.value.setting == "metrics.address"


def test_what_cannot_be_opened_leaves_nothing_open(connect: Callable[..., Client]) -> None:
    before, port = threading.active_count(), free_port()
    with pytest.raises(ConfigurationError) as told:
        connect(metrics={"address": f"127.0.0.1:{port}"}, decisions={"file": "/nowhere/decisions.jsonl"})
    assert told.value.setting == "decisions.file"
    assert threading.active_count() == before


def test_a_client_that_nobody_has_ends_with_its_threads(service: Scripted) -> None:
    before = threading.active_count()
    client = Client(config(url=service.url, heartbeat={"every_ms": 60_000}, metrics={"address": "127.0.0.1:0"}))
    client.decide("SIM/USD", bars())
    del client
    gc.collect()
    until(lambda: threading.active_count() <= before + service.connections)
    assert {thread.name for thread in threading.enumerate()} & {"tidegate-client", "tidegate-metrics"} == set()


def test_an_end_while_nobody_answers_does_not_wait_for_long(service: Scripted, connect: Callable[..., Client]) -> None:
    service.always(HEARTBEAT, silent)
    client = connect(heartbeat={"every_ms": 60_000}, health={"poll_ms": 0, "timeout_ms": 100})
    started = time.monotonic()
    client.close()
    assert time.monotonic() - started < 2
