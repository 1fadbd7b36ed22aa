"""What takes part in the comparison: how it is asked, and how its answer is read."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.serving.client import Question
from benchmarks.serving.process import Running

TOLERANCE = 1e-6
Read = Callable[[bytes], float | None]


class Failed(Exception):
    """A contender gave a wrong answer or none: what it was measured at would mean nothing."""


def agrees(read: Read, expected: float) -> Callable[[bytes], bool]:
    """Whether a body holds the expected probability; a body that cannot be read does not."""

    def accept(body: bytes) -> bool:
        try:
            found = read(body)
        except (ValueError, KeyError, IndexError, TypeError):
            return False
        return found is not None and abs(found - expected) <= TOLERANCE

    return accept


def at(*path: str | int) -> Read:
    """Read a probability at a place of a JSON body."""

    def read(body: bytes) -> float | None:
        found = json.loads(body)
        for step in path:
            found = found[step]
        return None if found is None else float(found)

    return read


@dataclass(frozen=True, slots=True)
class Contender:
    """A server that runs, and one way to ask it.

    Attributes:
        name: as it is printed.
        running: the server; several contenders may ask the same one in different ways.
        questions: an endless sequence for client number `client`, 0..7; every answer is compared with XGBoost's own.
        compared: whether it gives the model's probability at all; an empty route does not, and is a floor only.
    """

    name: str
    running: Running
    questions: Callable[[int], Iterator[Question]]
    compared: bool = True
