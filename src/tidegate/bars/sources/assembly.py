"""Puts the parts of a source together: order of the files, direction, the interval's check, the asked-for span."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tidegate.bars.bars import Bars
from tidegate.bars.interval import Interval
from tidegate.bars.sources.source import RawBars
from tidegate.errors import SourceError


@dataclass(frozen=True, slots=True)
class Part:
    """What one file gave: its bars as found and what was detected in it."""

    bars: Bars
    notes: tuple[str, ...]
    where: str


def assemble(parts: Sequence[Part], origin: str, start_at: int | None, end_at: int | None) -> RawBars:
    """Join parts into raw bars.

    Args:
        parts: at least one, all of one symbol and interval.
        origin: for the record.
        start_at: UTC ms of the first opening, or None.
        end_at: UTC ms of the last closing, or None.
    Raises:
        SourceError: the bars are of another interval.
    """
    turned = [_ascending(part) for part in parts]
    # A stable sort: files without bars keep their place, and equal first bars stay in the order of names.
    turned.sort(key=lambda part: int(part.bars.opened_at.min()) if len(part.bars) else -1)
    bars = Bars.concatenate(part.bars for part in turned)
    check_interval(bars, origin)
    wanted = np.ones(len(bars), bool)
    if start_at is not None:
        wanted &= bars.opened_at >= start_at
    if end_at is not None:
        wanted &= bars.closed_at <= end_at
    if not wanted.all():
        bars = bars.take(wanted)
    return RawBars(bars, _merged_notes(turned), origin)


def _ascending(part: Part) -> Part:
    steps = np.diff(part.bars.opened_at)
    if len(steps) and (steps <= 0).all() and (steps < 0).any():
        return Part(part.bars.take(slice(None, None, -1)), (*part.notes, "newest first"), part.where)
    return part


def check_interval(bars: Bars, origin: str) -> None:
    """Refuse bars whose most frequent distance is not their interval.

    Raises:
        SourceError: it is another.
    """
    times = bars.opened_at
    steps = np.diff(times)
    if len(steps) < 2 or 2 * np.count_nonzero(steps == bars.interval.milliseconds) >= len(steps):
        return
    steps = np.diff(np.sort(times))
    steps = steps[steps > 0]
    if not len(steps):
        return
    values, counts = np.unique(steps, return_counts=True)
    if bars.interval.milliseconds in values[counts == counts.max()]:
        return
    raise SourceError(
        f"the bars of {bars.symbol} in {origin} have another interval",
        expected=bars.interval,
        actual=span(int(values[counts.argmax()])),
        setting="interval",
        next_step="set the strategy's interval to that of the file",
    )


def span(milliseconds: int) -> str:
    """A span of time as text, in the largest unit that divides it.

    >>> span(300_000), span(1_500)
    ('5m', '1500ms')
    """
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def _merged_notes(parts: Sequence[Part]) -> tuple[str, ...]:
    where: dict[str, list[str]] = {}
    for part in parts:
        for note in part.notes:
            where.setdefault(note, []).append(part.where)
    merged = []
    for note, places in where.items():
        everywhere = len(places) == len(parts)
        named = places[0] if len(places) == 1 else f"{len(places)} of {len(parts)} files"
        merged.append(note if everywhere else f"{note} ({named})")
    return tuple(merged)


def bars_from(symbol: str, interval: Interval, opened_at: object, prices: Sequence[object]) -> Bars:
    """Bars from a time array and the five arrays open, high, low, close, volume."""
    names = ("open", "high", "low", "close", "volume")
    return Bars.of(
        symbol, interval, opened_at=np.asarray(opened_at), **dict(zip(names, map(np.asarray, prices), strict=True))
    )
