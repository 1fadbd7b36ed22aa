"""Looks at real HTTP servers that answer well, wrongly, slowly or not at all; and at the real application of the service."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.servers import free_port

from tidegate.watch.scrape import BotSeen, Counts, Scraper, Target, told_of

METRICS = """\
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1700000000.25
# TYPE tidegate_ready gauge
tidegate_ready 1.0
# TYPE tidegate_model_version gauge
tidegate_model_version{role="production",strategy="s"} 3.0
tidegate_model_version{role="shadow",strategy="s"} 4.0
tidegate_model_version{role="production",strategy="t"} 0.0
# TYPE tidegate_halted gauge
tidegate_halted{strategy="s"} 0.0
tidegate_halted{strategy="t"} 1.0
# TYPE tidegate_requests counter
tidegate_requests_total{route="/v1/predict",status="200"} 90.0
tidegate_requests_total{route="/v1/predict",status="422"} 1000.0
tidegate_requests_total{route="/v1/predict",status="500"} 4.0
tidegate_requests_total{route="/v1/predict",status="503"} 6.0
tidegate_requests_total{route="/metrics",status="500"} 50.0
# TYPE tidegate_request_seconds histogram
tidegate_request_seconds_bucket{le="0.01",route="/v1/predict"} 1090.0
tidegate_request_seconds_bucket{le="+Inf",route="/v1/predict"} 1100.0
tidegate_request_seconds_bucket{le="+Inf",route="/metrics"} 7.0
tidegate_request_seconds_sum{route="/v1/predict"} 2.5
tidegate_request_seconds_sum{route="/metrics"} 9.0
"""
BOTS = b'[{"bot":"b","strategy":"s","key_id":"k","breaker":"open","received_at":5,"age_s":1.0,"decisions":{}}]'
Answers = dict[str, tuple[int, bytes]]
GOOD: Answers = {"/readyz": (200, b"{}"), "/metrics": (200, METRICS.encode()), "/v1/bots": (200, BOTS)}


@contextmanager
def serving(answers: Answers, seen: list[tuple[str, str | None]] | None = None) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if seen is not None:
                seen.append((self.path, self.headers.get("X-API-Key")))
            status, body = answers[self.path]
            self.send_response(status)
            if status == 302:
                self.send_header("Location", body.decode())
                body = b""
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):  # who has read enough closes the line
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    with server(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def server(made: ThreadingHTTPServer) -> Iterator[int]:
    made.daemon_threads = True
    thread = threading.Thread(target=made.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield made.server_address[1]
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


def scraper(timeout_s: float = 5.0, key: str | None = None) -> Scraper:
    return Scraper(timeout_s, lambda: key, lambda: 42)


def test_a_good_answer_is_read_whole() -> None:
    seen: list[tuple[str, str | None]] = []
    with serving(GOOD, seen) as address:
        look = scraper(key="secret").look(Target("one", address + "/", started_at=7))
    assert (look.instance, look.at, look.reachable, look.ready) == ("one", 42, True, True)
    assert look.started_at == 1_700_000_000_250
    assert look.versions == {"s": 3, "t": None}
    assert look.halted == {"t"}
    assert look.counts == Counts(100.0, 10.0, ((0.01, 1090.0), (float("inf"), 1100.0)), 2.5)
    assert look.bots == (BotSeen("b", "s", "k", "open", 5),)
    assert look.missing == {}
    assert seen == [("/readyz", None), ("/metrics", "secret"), ("/v1/bots", "secret")]


@pytest.mark.parametrize(
    ("path", "answer", "missing"),
    [
        ("/metrics", (401, b""), "status 401"),
        ("/metrics", (200, b"tidegate_ready nonsense\n"), "not what was expected: ValueError"),
        ("/metrics", (200, b"other_service 1\n"), "not what was expected: ValueError"),
        ("/metrics", (200, b"\xff\xfe"), "not what was expected: UnicodeDecodeError"),
        (
            "/metrics",
            (200, METRICS.replace('status="503"} 6.0', 'status="503"} NaN').encode()),
            "not what was expected: ValueError",
        ),
        ("/metrics", (200, b"tidegate_ready 1\n" * 1_000_000), "more than 8000000 bytes"),
        ("/v1/bots", (403, b""), "status 403"),
        ("/v1/bots", (200, b'{"error": 1}'), "not what was expected: TypeError"),
        ("/v1/bots", (200, b'[{"bot": "b"}]'), "not what was expected: KeyError"),
        ("/v1/bots", (200, b"[" * 100_000), "not what was expected: RecursionError"),
        ("/v1/bots", (302, b"http://127.0.0.1:1/"), "status 302"),
    ],
)
def test_what_cannot_be_read_is_missing_and_the_rest_is_there(
    path: str, answer: tuple[int, bytes], missing: str
) -> None:
    with serving(GOOD | {path: answer}) as address:
        look = scraper().look(Target("one", address, started_at=7))
    assert look.reachable
    assert look.missing == {path: missing}
    assert (look.counts is None, look.versions is None, look.started_at is None) == (path == "/metrics",) * 3
    assert (look.bots is None) == (path == "/v1/bots")


def test_the_registered_start_stands_in_for_one_that_metrics_lack() -> None:
    text = METRICS.replace("process_start_time_seconds 1700000000.25\n", "")
    with serving(GOOD | {"/metrics": (200, text.encode())}) as address:
        assert scraper().look(Target("one", address, started_at=7)).started_at == 7


def test_not_ready_is_reachable() -> None:
    with serving(GOOD | {"/readyz": (503, b"{}")}) as address:
        look = scraper().look(Target("one", address))
    assert (look.reachable, look.ready) == (True, False)


def test_nobody_there_is_not_reachable() -> None:
    look = scraper().look(Target("one", f"http://127.0.0.1:{free_port()}"))
    assert (look.reachable, look.ready, look.counts) == (False, False, None)
    assert list(look.missing) == ["/readyz"]


@pytest.mark.parametrize("address", ["", "nonsense", "http://", "http://127.0.0.1:99999", "ftp://127.0.0.1"])
def test_an_address_that_is_none_is_not_reachable(address: str) -> None:
    assert not scraper().look(Target("one", address)).reachable


def _silent(_: socket.socket) -> None:
    time.sleep(3)


def _trickling(near: socket.socket) -> None:
    near.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(30):
        near.sendall(b"x")
        time.sleep(0.1)


def _garbage(near: socket.socket) -> None:
    near.sendall(b"\x00\x01\x02 nothing like HTTP\r\n\r\n")


@pytest.mark.parametrize("behave", [_silent, _trickling, _garbage])
def test_whatever_answers_a_look_ends_in_time(behave: Callable[[socket.socket], None]) -> None:
    def accept() -> None:
        near, _ = listener.accept()
        with near:
            near.recv(65_536)
            try:
                behave(near)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        began = time.monotonic()
        look = scraper(timeout_s=0.5).look(Target("one", f"http://127.0.0.1:{listener.getsockname()[1]}"))
        took_s = time.monotonic() - began
    assert not look.reachable
    assert took_s < 2.5, "it waited for a server that lets it wait for 3 s"


def test_the_services_own_metrics_are_what_is_read() -> None:
    from prometheus_client.exposition import generate_latest

    from tidegate.serving.http.counts import RequestCounts
    from tidegate.serving.metrics import Metrics

    metrics = Metrics()
    counts = RequestCounts(metrics)
    for status, seconds in ((200, 0.004), (200, 0.3), (500, 0.001), (404, 0.001)):
        counts.count("/v1/predict", status, seconds)
    counts.count("/metrics", 200, 9.0)
    for outcome, times in (("ok", 5), ("failed", 2), ("fallback", 3)):
        metrics.outcomes.labels("a", "2", outcome).inc(times)
    metrics.outcomes.labels("b", "0", "failed").inc()
    found = told_of(generate_latest(metrics.registry)).counts
    assert found.by_version == {("a", 2): (10.0, 5.0), ("b", 0): (1.0, 1.0)}, (
        "an answer of the model before is a failure"
    )
    assert told_of(generate_latest(Metrics().registry)).counts.by_version == {}
    for value, orderly in ((-1, None), (0, False), (1, True)):
        metrics.start_after_sign_off.set(value)
        assert told_of(generate_latest(metrics.registry)).orderly is orderly
    assert (found.answered, found.failed) == (3.0, 1.0)
    assert found.seconds == pytest.approx(0.306)
    assert dict(found.buckets)[0.005] == 3.0
    assert dict(found.buckets)[float("inf")] == 4.0
