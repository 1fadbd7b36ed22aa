"""Several clients at once in one thread: as fast as the server allows, or at a given pace."""

import gc
import math
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from benchmarks.serving.client import Accept, BadAnswer, Measured, Question, complete, read

_LATE_S: Final = 0.25
"""How long after the end what was due before it may still be sent, late as it is."""


class _Client:
    """One connection with its own sequence of questions."""

    def __init__(self, port: int, questions: Iterator[Question]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10.0)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.questions = questions
        self.buffer = b""
        self.asked_at = 0.0
        self.accept: Accept = bool

    def ask(self, asked_at: float) -> bool:
        """Send the next question; False when there is none."""
        question = next(self.questions, None)
        if question is None:
            return False
        self.buffer, self.asked_at, self.accept = b"", asked_at, question.accept
        self.socket.sendall(question.request)
        return True

    def read(self) -> tuple[int, bytes] | None:
        """Status and body once the answer is whole."""
        self.buffer += read(self.socket)
        return complete(self.buffer)


def crowd(
    port: int,
    sequences: Sequence[Iterator[Question]],
    seconds: float,
    *,
    rate_rps: float | None = None,
    each_second: Callable[[], None] | None = None,
) -> Measured:
    """Ask over one connection per sequence for some seconds, or until a sequence ends.

    Args:
        port: of a server on the loopback address.
        sequences: each client's questions, asked in order.
        seconds: how long to ask; answers under way are waited for.
        rate_rps: questions per second over all clients. Each is due at a fixed time and its latency counts from then, so a server
            that falls behind cannot slow the questions down and look good. None: each client asks at once when it has its answer.
        each_second: called about every second, such as to read the server's memory.
    Returns:
        latencies, failures and the seconds it took. A client whose connection breaks, or that gets no answer within ten seconds
        after the end, counts a failure and asks no more. At a pace, what was due and could not be sent counts as well.
    """
    load = _Load([_Client(port, questions) for questions in sequences], rate_rps)
    gc.collect()
    gc.disable()
    try:
        load.run(seconds, each_second)
    finally:
        gc.enable()
        load.close()
    return load.measured


class _Load:
    def __init__(self, clients: Sequence[_Client], rate_rps: float | None) -> None:
        self.measured = Measured()
        self._by_file = {client.socket.fileno(): client for client in clients}
        self._idle: deque[_Client] = deque(clients)
        self._poll = select.epoll()
        for number in self._by_file:
            self._poll.register(number, select.EPOLLIN)
        self._gap_s = None if rate_rps is None else 1.0 / rate_rps
        self._ended = False
        self._ended_at = math.inf

    def run(self, seconds: float, each_second: Callable[[], None] | None) -> None:
        clock = time.perf_counter
        start = self._due = clock()
        end, tick = start + seconds, start + 1.0
        while True:
            now = clock()
            if now >= end and (self._gap_s is None or self._due > end or now >= end + _LATE_S):
                self._ended = True
            if not self._ended:
                self._send(min(now, end))
            if self._ended and len(self._idle) == len(self._by_file):
                break
            if now >= end + 10.0:
                for _ in range(len(self._by_file) - len(self._idle)):
                    self.measured.fail("no answer within ten seconds after the end")
                break
            if each_second is not None and now >= tick:
                each_second()
                tick += 1.0
            self._receive(now, min(end, tick))
        self.measured.seconds = clock() - start
        if self._gap_s is not None and self._due <= min(end, self._ended_at):
            unsent = math.ceil((min(end, self._ended_at) - self._due) / self._gap_s)
            for _ in range(unsent):
                self.measured.fail("was due, and was never sent as every client still waited")

    def close(self) -> None:
        for client in self._by_file.values():
            client.socket.close()
        self._poll.close()

    def _send(self, now: float) -> None:
        while self._idle and not self._ended:
            if self._gap_s is not None:
                if self._due > now:
                    return
                asked_at, self._due = self._due, self._due + self._gap_s
            else:
                asked_at = time.perf_counter()
            client = self._idle.popleft()
            try:
                more = client.ask(asked_at)
            except OSError as error:
                self._lose(client, error)
                continue
            if not more:
                self._idle.append(client)
                self._end()

    def _receive(self, now: float, wake_at: float) -> None:
        if self._gap_s is not None and self._idle and not self._ended:
            wake_at = min(wake_at, self._due)
        for number, _ in self._poll.poll(max(0.0, min(wake_at - now, 1.0))):
            client = self._by_file[number]
            try:
                answer = client.read()
            except (OSError, BadAnswer) as error:
                self._lose(client, error)
                continue
            if answer is None:
                continue
            status, body = answer
            if status == 200 and client.accept(body):
                self.measured.latencies_ms.append((time.perf_counter() - client.asked_at) * 1000.0)
            else:
                self.measured.fail(f"{status} {body[:240]!r}")
            self._idle.append(client)

    def _lose(self, client: _Client, error: Exception) -> None:
        self.measured.fail(f"{type(error).__name__}: {error}")
        self._poll.unregister(client.socket.fileno())
        del self._by_file[client.socket.fileno()]
        client.socket.close()
        if not self._by_file:
            self._end()

    def _end(self) -> None:
        """Ask no more before the time is over: a sequence ran out, or nobody is left."""
        self._ended, self._ended_at = True, time.perf_counter()
