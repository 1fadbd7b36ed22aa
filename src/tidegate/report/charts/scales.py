"""From values to places on a chart, and where to put the marks of an axis."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from tidegate.bars.bars import Floats

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
_FIXED_STEPS_MS: Final = tuple(_HOUR_MS * hours for hours in (1, 3, 6, 12, 24, 48, 24 * 7, 24 * 14))
_MONTH_STEPS: Final = (1, 2, 3, 6, 12, 24, 60)
_MONTH_MS: Final = 30.4 * _DAY_MS


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear scale from `[low, high]` to `[start, end]` in pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, values: Floats | float) -> Floats:
        """Places of values, in pixels."""
        places: Floats = self.start + (np.asarray(values) - self.low) / (self.high - self.low) * (self.end - self.start)
        return places

    def at(self, value: float) -> float:
        """The place of one value."""
        return float(self(value))


def domain(*parts: Floats | float, pad: float = 0.05) -> tuple[float, float]:
    """Lowest and highest finite value of all parts, with a margin; (0, 1) where there is none."""
    joined = np.concatenate([np.atleast_1d(np.asarray(part, dtype=np.float64)) for part in parts])
    joined = joined[np.isfinite(joined)]
    if len(joined) == 0:
        return 0.0, 1.0
    low, high = float(joined.min()), float(joined.max())
    room = (high - low) * pad if high > low else max(abs(high) * 0.05, 1e-9)
    return low - room, high + room


def nice_step(reach: float, wanted: int) -> float:
    """The step of 1, 2, 2.5 or 5 times a power of ten that gives about `wanted` marks over `reach`."""
    if not reach > 0:
        return 1.0
    raw = reach / max(wanted, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    return float(min((1.0, 2.0, 2.5, 5.0, 10.0), key=lambda factor: abs(factor * power - raw))) * power


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round values inside `[low, high]`."""
    step = nice_step(high - low, wanted)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def time_ticks(start_ms: float, end_ms: float, wanted: int = 6) -> list[tuple[int, str]]:
    """Round UTC times inside a span, with labels: hours, days or months, the year where it begins.

    >>> time_ticks(0, 4 * 86_400_000, wanted=4)
    [(0, '1 Jan 1970'), (86400000, '2 Jan'), (172800000, '3 Jan'), (259200000, '4 Jan'), (345600000, '5 Jan')]
    """
    raw = (end_ms - start_ms) / max(wanted, 1)
    step = next((step for step in _FIXED_STEPS_MS if step >= raw), None)
    if step is not None:
        first = math.ceil(start_ms / step) * step
        times = list(range(first, int(end_ms) + 1, step))
        return [(time, _label(time, times[at - 1] if at else None, step)) for at, time in enumerate(times)]
    months = next((months for months in _MONTH_STEPS if months * _MONTH_MS >= raw), _MONTH_STEPS[-1])
    times = _month_starts(start_ms, end_ms, months)
    return [(time, _month_label(time, first=at == 0)) for at, time in enumerate(times)]


def _month_starts(start_ms: float, end_ms: float, step: int) -> list[int]:
    at = datetime.fromtimestamp(start_ms / 1000, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    found = []
    while (time := int(at.timestamp() * 1000)) <= end_ms:
        if time >= start_ms and (at.year * 12 + at.month - 1) % step == 0:
            found.append(time)
        at = (at + timedelta(days=32)).replace(day=1)
    return found


def _label(time_ms: int, previous_ms: int | None, step: int) -> str:
    at = datetime.fromtimestamp(time_ms / 1000, UTC)
    before = None if previous_ms is None else datetime.fromtimestamp(previous_ms / 1000, UTC)
    if step < _DAY_MS and before is not None and before.date() == at.date():
        return f"{at:%H:%M}"
    text = f"{at.day} {at:%b}"
    return f"{text} {at.year}" if before is None or before.year != at.year else text


def _month_label(time_ms: int, *, first: bool) -> str:
    at = datetime.fromtimestamp(time_ms / 1000, UTC)
    return f"{at:%b} {at.year}" if first or at.month == 1 else f"{at:%b}"
