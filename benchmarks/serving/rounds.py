"""Interleaved rounds: every contender is asked in every round, so that a slow minute of the machine falls on all of them."""

import time
from collections.abc import Iterator, Sequence

from benchmarks.serving.client import Connection, Measured, Question, measure
from benchmarks.serving.contender import Contender, Failed
from benchmarks.serving.crowd import crowd
from benchmarks.serving.figures import Round

CLIENTS = 8
_WARM_UP = 20


def until(questions: Iterator[Question], seconds: float) -> Iterator[Question]:
    """The questions of so many seconds, at least one."""
    end = time.perf_counter() + seconds
    for question in questions:
        yield question
        if time.perf_counter() >= end:
            return


def warm_up(contenders: Sequence[Contender]) -> None:
    """Ask each some questions that are not counted but must be answered."""
    for contender in contenders:
        questions = contender.questions(0)
        with Connection(contender.running.port) as connection:
            _require(contender, measure(connection, (next(questions) for _ in range(_WARM_UP))))


def one_client(contenders: Sequence[Contender], rounds: int, seconds: float) -> dict[str, list[Round]]:
    """Latencies with one client.

    Args:
        contenders: asked in this order in each round.
        rounds: how many.
        seconds: of each contender in each round.
    Returns:
        each contender's rounds.
    Raises:
        Failed: an answer was missing or not XGBoost's own.
    """
    found: dict[str, list[Round]] = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            # A new connection each round, as servers close idle ones; opening it is not counted.
            questions = contender.questions(0)
            with Connection(contender.running.port) as connection:
                _require(contender, measure(connection, (next(questions) for _ in range(_WARM_UP))))
                measured = measure(connection, until(questions, seconds))
            _require(contender, measured)
            found[contender.name].append(Round.of(measured.latencies_ms, measured.failures))
    return found


def many_clients(contenders: Sequence[Contender], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Answers per second with eight clients, each round of each contender.

    Raises:
        Failed: an answer was missing or not XGBoost's own.
    """
    found: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            sequences = [contender.questions(client) for client in range(CLIENTS)]
            measured = crowd(contender.running.port, sequences, seconds)
            _require(contender, measured)
            found[contender.name].append(len(measured.latencies_ms) / measured.seconds)
    return found


def _require(contender: Contender, measured: Measured) -> None:
    if measured.failures or not measured.latencies_ms:
        log = contender.running.log_end()
        raise Failed(f"{contender.name}: {measured.failures} failures, {measured.first_failure}; its log ends: {log}")
