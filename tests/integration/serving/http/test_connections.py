"""What clients do to connections, by mistake or on purpose, against a real process over real sockets."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.serving.http.running import Answer, Connection, Running, ask, request, serving

TIMEOUT_S = 0.6


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("connections")
    with serving(folder, body_timeout_s=TIMEOUT_S, max_body_kb=64, rate_limit_rps=1e6) as found:
        yield found


def slug(answer: Answer) -> str:
    return str(answer.json()["type"]).removeprefix("urn:tidegate:problem:")


def drip(connection: Connection, piece: bytes, pause_s: float = 0.05) -> bool:
    """Send a piece again and again; whether the server ends the connection before the two hundredth."""
    try:
        for _ in range(200):
            connection.send(piece)
            time.sleep(pause_s)
    except ConnectionError:
        return True
    return False


def predict(**content: object) -> bytes:
    return request("POST", "/v1/predict", json.dumps(content).encode())


def test_eight_pipelined_requests_are_answered_in_order(running: Running) -> None:
    with Connection(running.port) as connection:
        connection.send(b"".join(request("POST", "/v1/predict", b"{}" + b" " * at) for at in range(8)))
        assert [connection.answer().json()["bytes"] for _ in range(8)] == list(range(2, 10))


def test_a_request_byte_by_byte_is_a_request(running: Running) -> None:
    with Connection(running.port) as connection:
        for byte in request("POST", "/v1/predict", b"{}"):
            connection.send(bytes([byte]))
        assert connection.answer().status == 200
        assert connection.ask("POST", "/v1/predict", b"{}").status == 200


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"", None),
        (b"\r\n\r\n", 408),
        (b"GET /healthz HTTP/1.1\r\nhost: x\r\n", 408),
        (b"GE", 408),
    ],
    ids=["nothing", "empty lines", "half of the headers", "two letters"],
)
def test_headers_that_do_not_come_end_the_connection(running: Running, sent: bytes, answered: int | None) -> None:
    with Connection(running.port) as connection:
        connection.send(sent)
        began = time.monotonic()
        if answered is not None:
            assert connection.answer().status == answered
        assert connection.is_closed()
        assert time.monotonic() - began > TIMEOUT_S / 2


def test_headers_that_drip_end_the_connection(running: Running) -> None:
    with Connection(running.port) as connection:
        connection.send(b"GET /healthz HTTP/1.1\r\n")
        began = time.monotonic()
        assert drip(connection, b"x-a: y\r\n")
        assert time.monotonic() - began < 5


def test_empty_lines_between_requests_keep_no_connection(running: Running) -> None:
    with Connection(running.port) as connection:
        assert connection.ask("GET", "/healthz").status == 200
        connection.send(b"\r\n")
        assert connection.is_closed()


def test_a_body_that_does_not_come_is_told_so(running: Running) -> None:
    with Connection(running.port) as connection:
        connection.send(request("POST", "/v1/predict", b"", content_length="100") + b'{"a"')
        answer = connection.answer()
        assert (answer.status, slug(answer), answer.headers["connection"]) == (408, "request_timeout", "close")
        assert connection.is_closed()


def test_a_body_that_drips_after_its_refusal_keeps_no_connection(running: Running) -> None:
    with Connection(running.port) as connection:
        connection.send(request("POST", "/nothing", b"", content_length="1000"))
        assert connection.answer().status == 404
        assert drip(connection, b"x")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /healthz HTTP/1.1\r\nx-long: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"".join(b"x-%d: y\r\n" % at for at in range(3000)) + b"\r\n",
    ],
    ids=["one header", "the path", "many headers"],
)
def test_headers_that_are_too_large_are_refused(running: Running, sent: bytes) -> None:
    with Connection(running.port) as connection:
        connection.send(sent)
        answer = connection.answer()
        assert (answer.status, slug(answer)) == (431, "headers_too_large")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-frame-options"] == "DENY"
        assert connection.is_closed()


def test_a_header_without_end_is_refused_before_it_fills_the_memory(running: Running) -> None:
    with Connection(running.port) as connection:
        connection.send(b"GET /healthz HTTP/1.1\r\nx-long: ")
        assert drip(connection, b"x" * 65_536, pause_s=0)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"G@T / HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /v1/predict HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/predict HTTP/1.1\r\ncontent-length: 1x\r\n\r\nx",
        b"POST /v1/predict HTTP/1.1\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        b"POST /v1/predict HTTP/1.1\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
        b"POST /v1/predict HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"CONNECT other:443 HTTP/1.1\r\nhost: other\r\n\r\n",
    ],
    ids=["TLS", "version", "method", "path", "negative", "letters", "two", "two kinds", "chunk", "connect"],
)
def test_what_is_no_request_is_refused_and_the_connection_ends(running: Running, sent: bytes) -> None:
    with Connection(running.port) as connection:
        connection.send(sent)
        answer = connection.answer()
        assert answer.status == 400
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["connection"] == "close"
        assert connection.is_closed()


def test_requests_before_a_broken_one_are_answered(running: Running) -> None:
    with Connection(running.port) as connection:
        connection.send(predict(sleep_s=0.05) + b"\x00\x00")
        assert connection.answer().status == 200
        assert connection.is_closed()


def test_another_protocol_is_not_spoken(running: Running) -> None:
    with Connection(running.port) as connection:
        answer = connection.ask("GET", "/healthz", connection="Upgrade", upgrade="websocket", sec_websocket_key="x")
        assert answer.status == 200
        assert connection.is_closed()


def test_a_hundred_megabytes_are_refused_by_their_length(running: Running) -> None:
    with Connection(running.port) as connection:
        connection.send(request("POST", "/v1/predict", b"", content_length=str(100 * 1024 * 1024)))
        answer = connection.answer()
        assert (answer.status, slug(answer)) == (413, "body_too_large")
        connection.send(b"x" * 10_000_000)


def test_a_hundred_megabytes_without_a_length_are_refused_while_they_come(running: Running) -> None:
    before = memory_kb(running)
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    with Connection(running.port) as connection:
        connection.send(
            request("POST", "/v1/predict", b"", transfer_encoding="chunked").replace(b"content-length: 0\r\n", b"")
        )
        with contextlib.suppress(ConnectionError):  # it ends when its time is over
            for _ in range(1600):
                connection.send(chunk)
        answer = connection.answer()
        assert (answer.status, slug(answer)) == (413, "body_too_large")
    assert memory_kb(running) - before < 20_000


def test_an_expected_refusal_comes_before_the_body(running: Running) -> None:
    with Connection(running.port) as connection:
        connection.send(request("POST", "/v1/predict", b"", content_length="999999", expect="100-continue"))
        assert connection.answer().status == 413
    with Connection(running.port) as connection:
        connection.send(request("POST", "/v1/predict", b"", content_length="2", expect="100-continue"))
        assert connection.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(b"{}")
        assert connection.answer().status == 200


def test_a_client_that_leaves_harms_nobody(running: Running) -> None:
    for content in (predict(sleep_s=0.1), predict()[:-1]):
        with Connection(running.port) as connection:
            connection.send(content)
    assert ask(running, "POST", "/v1/predict", b"{}").status == 200


def test_a_client_that_does_not_read_loses_its_connection(running: Running) -> None:
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.connect(("127.0.0.1", running.port))
    with plain:
        plain.sendall(request("GET", "/docs/swagger-ui-bundle.js") * 8)
        time.sleep(TIMEOUT_S + 0.6)
        plain.settimeout(10)
        received = 0
        with contextlib.suppress(ConnectionError):
            while part := plain.recv(65_536):
                received += len(part)
        assert received < 8_000_000


def test_connections_beyond_the_limit_are_told_to_come_back(tmp_path: Path) -> None:
    with serving(tmp_path, max_connections=3, body_timeout_s=60) as running:
        kept = [Connection(running.port) for _ in range(3)]
        assert [one.ask("POST", "/v1/predict", b"{}").status for one in kept] == [200] * 3
        with Connection(running.port) as further:
            answer = further.ask("POST", "/v1/predict", b"{}")
            assert (answer.status, slug(answer), answer.headers["retry-after"]) == (503, "overloaded", "1")
            assert further.is_closed()
        with Connection(running.port) as further:
            assert further.ask("GET", "/healthz").status == 200
        many = [Connection(running.port) for _ in range(8)]
        assert sum(one.is_closed() for one in many[4:]) == 4
        assert kept[0].ask("POST", "/v1/predict", b"{}").status == 200
        for one in (*kept, *many):
            one.socket.close()


def memory_kb(running: Running) -> int:
    status = Path(f"/proc/{running.process.pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0])
