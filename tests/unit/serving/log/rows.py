"""Rows and logs for tests of the prediction log."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tidegate.serving.log.record import Row
from tidegate.serving.log.writer import PredictionLog

NOW = 1_764_000_000_000
SEGMENT = 64 * 1024
HOUR = 3_600_000

PLAIN = Row(
    request_id="0",
    instance="a:8080",
    strategy="demo",
    symbol="BTC/USDT",
    bar_closed_at=NOW - 500,
    received_at=NOW,
    answered_at=NOW + 1,
    version=3,
    bundle_digest="ab" * 32,
    role="production",
    features=[0.1, -2.5e-300, 1 / 3, 5e-324, 1.7976931348623157e308, 0.0],
    input_digest="cd" * 32,
    probability=0.6180339887498949,
    target_position=1,
    abstain_reason=None,
    out_of_distribution=0.0,
    data_age_ms=500,
    status="answered",
)


def row(number: int = 0, **changes: Any) -> Row:  # noqa: ANN401  any field
    """A row; the number is its request id and, in ms, its time."""
    times = {"received_at": NOW + number, "answered_at": NOW + number + 1}
    return msgspec.structs.replace(PLAIN, **{"request_id": str(number), **times, **changes})


def rows(*numbers: int) -> list[Row]:
    return [row(number) for number in numbers]


def log_in(folder: Path, instance: str = "a:8080", **changes: Any) -> PredictionLog:  # noqa: ANN401  any parameter
    """A log with small files."""
    usual: dict[str, Any] = {
        "segment_bytes": SEGMENT,
        "max_bytes": 1 << 30,
        "keep_days": 400,
        "sync": True,
        "now_ms": lambda: NOW,
    }
    return PredictionLog(folder, instance, **{**usual, **changes})


def settled(log: PredictionLog) -> None:
    """Wait until the worker thread has nothing left to do."""
    log._worker.submit(int).result(timeout=30)


def names(folder: Path) -> list[str]:
    """Names of all files of the log but the locks."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.name != ".lock")


class FailingSync:
    """An fdatasync that fails when told to, and remembers the descriptors it was called with."""

    def __init__(self, real: Callable[[int], None]) -> None:
        self.real = real
        self.fails = False
        self.called: list[int] = []

    def __call__(self, descriptor: int) -> None:
        self.called.append(descriptor)
        if self.fails:
            raise OSError(5, "Input/output error")
        self.real(descriptor)
