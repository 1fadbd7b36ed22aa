import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from benchmarks.serving.client import BadAnswer, Connection, Measured, Question, complete, measure, post
from benchmarks.serving.contender import agrees, at
from benchmarks.serving.crowd import crowd

ASK = post("/v1/predict", b'{"n":1}', {"Authorization": "Bearer key"})
Serve = Callable[[socket.socket, int], None]


def answer(body: bytes, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d Some\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body)


@contextmanager
def server(serve: Serve) -> Iterator[int]:
    """A server that calls `serve(connection, number)` for each request; numbers count over all connections."""
    numbers, lock = itertools.count(), threading.Lock()
    listener = socket.create_server(("127.0.0.1", 0))

    def talk(connection: socket.socket) -> None:
        with connection:
            while request := connection.recv(65536):
                if not request.startswith(b"POST /v1/predict HTTP/1.1\r\n") or not request.endswith(b'{"n":1}'):
                    return
                with lock:
                    number = next(numbers)
                try:
                    serve(connection, number)
                except OSError:
                    return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def ok(connection: socket.socket, _number: int) -> None:
    connection.sendall(answer(b'{"p":0.5}'))


def every_third(fault: Callable[[socket.socket], None]) -> Serve:
    def serve(connection: socket.socket, number: int) -> None:
        if number % 3 == 2:
            fault(connection)
        else:
            ok(connection, number)

    return serve


def close(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def halve(connection: socket.socket) -> None:
    connection.sendall(answer(b'{"p":0.5}')[:-3])
    close(connection)


def asked(port: int, count: int, timeout_s: float = 10.0) -> Measured:
    with Connection(port, timeout_s) as connection:
        return measure(connection, [QUESTION] * count)


FAULTS = {
    "a refusal": lambda connection: connection.sendall(answer(b'{"p":0.5}', 503)),
    "a wrong probability": lambda connection: connection.sendall(answer(b'{"p":0.51}')),
    "no probability": lambda connection: connection.sendall(answer(b'{"p":null}')),
    "not JSON": lambda connection: connection.sendall(answer(b"<html>")),
    "a closed connection": close,
    "half an answer": halve,
    "no HTTP": lambda connection: connection.sendall(b"hello\r\n\r\n"),
    "no length": lambda connection: connection.sendall(b'HTTP/1.1 200 OK\r\n\r\n{"p":0.5}'),
    "two answers": lambda connection: connection.sendall(answer(b'{"p":0.5}') * 2),
}
QUESTION = Question(ASK, agrees(at("p"), 0.5))


@pytest.mark.parametrize("fault", FAULTS)
def test_every_failure_is_counted(fault: str) -> None:
    with server(every_third(FAULTS[fault])) as port:
        measured = asked(port, 9)
    assert (len(measured.latencies_ms), measured.failures) == (6, 3)
    assert measured.first_failure


def test_sound_answers_are_timed_and_none_fails() -> None:
    with server(ok) as port:
        measured = asked(port, 20)
    assert (len(measured.latencies_ms), measured.failures, measured.first_failure) == (20, 0, None)
    assert 0.0 < sum(measured.latencies_ms) / 1000.0 <= measured.seconds


def test_an_answer_in_pieces_is_put_together() -> None:
    def pieces(connection: socket.socket, _number: int) -> None:
        for byte in answer(b'{"p":0.5}'):
            connection.sendall(bytes([byte]))

    with server(pieces) as port:
        assert asked(port, 3).failures == 0


def test_no_answer_in_time_is_a_failure() -> None:
    with server(every_third(lambda _: None)) as port:
        measured = asked(port, 4, 0.2)
    assert (len(measured.latencies_ms), measured.failures) == (3, 1)


def test_nobody_there_is_a_failure() -> None:
    with server(ok) as port:
        pass
    assert asked(port, 1).failures == 1


@pytest.mark.parametrize("fault", ["a refusal", "a wrong probability", "no probability", "not JSON"])
def test_a_crowd_counts_every_failure_and_goes_on(fault: str) -> None:
    with server(every_third(FAULTS[fault])) as port:
        measured = crowd(port, [iter([QUESTION] * 30) for _ in range(4)], 5.0)
    total = len(measured.latencies_ms) + measured.failures
    assert measured.failures == total // 3 > 0


@pytest.mark.parametrize("fault", ["a closed connection", "half an answer", "no HTTP", "two answers"])
def test_a_client_whose_connection_breaks_counts_and_the_others_go_on(fault: str) -> None:
    def serve(connection: socket.socket, number: int) -> None:
        (FAULTS[fault] if number == 5 else lambda each: ok(each, number))(connection)

    with server(serve) as port:
        measured = crowd(port, [iter([QUESTION] * 30) for _ in range(4)], 5.0)
    assert measured.failures == 1
    assert len(measured.latencies_ms) > 30


def test_a_crowd_without_anybody_left_ends() -> None:
    with server(lambda connection, _: close(connection)) as port:
        measured = crowd(port, [iter([QUESTION] * 30) for _ in range(4)], 30.0)
    assert (measured.failures, measured.latencies_ms) == (4, [])
    assert measured.seconds < 20.0


def test_a_paced_crowd_keeps_its_rate_and_calls_each_second() -> None:
    calls: list[None] = []
    with server(ok) as port:
        sequences = [itertools.repeat(QUESTION) for _ in range(3)]
        measured = crowd(port, sequences, 1.2, rate_rps=100.0, each_second=lambda: calls.append(None))
    assert len(measured.latencies_ms) + measured.failures >= 115
    assert len(measured.latencies_ms) <= 121
    assert calls


def test_a_server_that_stalls_does_not_look_good_at_a_given_pace() -> None:
    stalled = threading.Event()

    def serve(connection: socket.socket, number: int) -> None:
        if number == 10:
            stalled.wait(0.5)
        ok(connection, number)

    with server(serve) as port:
        measured = crowd(port, [itertools.repeat(QUESTION)], 1.0, rate_rps=100.0)
    # Some 50 questions were due while it stalled. Counted from when they were sent, one alone would look slow.
    assert sum(latency > 100.0 for latency in measured.latencies_ms) >= 30


def test_what_was_due_and_never_sent_counts() -> None:
    over = threading.Event()

    def serve(connection: socket.socket, number: int) -> None:
        if number == 10:
            over.wait(1.0)
        ok(connection, number)

    with server(serve) as port:
        measured = crowd(port, [itertools.repeat(QUESTION)], 0.5, rate_rps=100.0)
    assert measured.failures >= 30
    assert len(measured.latencies_ms) + measured.failures >= 45


@pytest.mark.parametrize(
    ("buffer", "expected"),
    [
        (b"", None),
        (b"HTTP/1.1 200 OK\r\nContent-Le", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", (200, b"{}")),
        (b"HTTP/1.1 404 No\r\nX: 1\r\ncontent-length:0\r\n\r\n", (404, b"")),
    ],
)
def test_an_answer_is_complete_or_not(buffer: bytes, expected: tuple[int, bytes] | None) -> None:
    assert complete(buffer) == expected


@pytest.mark.parametrize("head", [b"HTTP/1.1 2x0 OK\r\nContent-Length: 2", b"HTTP/1.1 200 OK\r\nContent-Length: two"])
def test_numbers_that_are_none_are_refused(head: bytes) -> None:
    with pytest.raises(BadAnswer):
        complete(head + b"\r\n\r\n{}")


def test_chunked_answers_are_refused_not_misread() -> None:
    with pytest.raises(BadAnswer):
        complete(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
