"""A steady load for a minute: no error, and memory that does not grow."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.serving.client import Question
from benchmarks.serving.crowd import crowd
from benchmarks.serving.figures import growth, percentile
from benchmarks.serving.process import Running
from benchmarks.serving.rounds import CLIENTS


@dataclass(frozen=True, slots=True)
class Soak:
    """What a soak gave.

    Attributes:
        rate_rps: what was asked for.
        answered_rps: what was answered.
        failures: questions without a right answer.
        first_failure: what the first of them looked like.
        p50_ms, p99_ms: from the time a question was due.
        rss_mb: about every second.
        growth_mb: of the last third over the second.
    """

    rate_rps: float
    answered_rps: float
    failures: int
    first_failure: str | None
    p50_ms: float
    p99_ms: float
    rss_mb: tuple[float, ...]
    growth_mb: float


def soak(running: Running, questions: Callable[[int], Iterator[Question]], rate_rps: float, seconds: float) -> Soak:
    """Ask at a rate over eight connections, and watch the server's memory."""
    memory: list[float] = []
    measured = crowd(
        running.port,
        [questions(client) for client in range(CLIENTS)],
        seconds,
        rate_rps=rate_rps,
        each_second=lambda: memory.append(running.rss_mb()),
    )
    return Soak(
        rate_rps=rate_rps,
        answered_rps=len(measured.latencies_ms) / measured.seconds,
        failures=measured.failures,
        first_failure=measured.first_failure,
        p50_ms=percentile(measured.latencies_ms, 0.5),
        p99_ms=percentile(measured.latencies_ms, 0.99),
        rss_mb=tuple(memory),
        growth_mb=growth(memory),
    )
