"""From raw rows to rows that satisfy the constraint table: what breaks it is set aside, the rest is sorted and made unique."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegate.bars.bars import COLUMNS, Bars
from tidegate.settings.settings import SET_ASIDE, Validation
from tidegate.validation.constraints import FLOAT_COLUMNS, constraints
from tidegate.validation.finding import (
    Finding,
    Rows,
    effective_severity,
    flagged,
    percent,
)
from tidegate.validation.units import time_mixup

Mask = NDArray[np.bool_]

REASONS: Final = (
    "non_finite",
    "non_positive_price",
    "negative_volume",
    "high_low",
    "off_grid",
    "future",
    "unfinished",
    "duplicate_identical",
    "duplicate_conflicting",
    "unit_mixup",
    "jumps",
    "zero_volume",
    "flat",
    "outside_calendar",
)
"""Rules that can set a row aside."""


class SetAside:
    """Which raw rows were set aside, and by which rules."""

    def __init__(self, n: int) -> None:
        self._codes = np.zeros(n, np.int32)

    def add(self, rule: str, rows: Rows | Mask) -> None:
        """Set rows aside for one more reason."""
        self._codes[rows] |= 1 << REASONS.index(rule)

    @property
    def mask(self) -> Mask:
        """(n,) bool, the rows set aside."""
        return np.asarray(self._codes != 0)

    @property
    def counted(self) -> Mask:
        """(n,) bool, those that speak against the source: a candle that is still open does not."""
        return np.asarray((self._codes & ~(1 << REASONS.index("unfinished"))) != 0)

    def reasons(self, rows: Rows) -> tuple[str, ...]:
        """Each row's rules, joined by `+`."""
        codes = self._codes[rows].tolist()
        names = {
            code: "+".join(rule for bit, rule in enumerate(REASONS) if code & (1 << bit)) for code in frozenset(codes)
        }
        return tuple(names[code] for code in codes)


@dataclass(frozen=True, slots=True, eq=False)
class Cleaned:
    """Raw row numbers that survived, in ascending order of time, and what was found on the way."""

    rows: Rows
    findings: tuple[Finding, ...]


def clean(bars: Bars, rules: Validation, as_of_ms: int, aside: SetAside) -> Cleaned:
    """Set aside what breaks a row constraint, then sort, then drop doubles.

    Args:
        bars: n raw bars in any state.
        rules: severities.
        as_of_ms: the time of validation, UTC ms.
        aside: takes the rows that are set aside, with their reasons.
    """
    findings = [
        *_empty_columns(bars, rules),
        *_order(bars, rules),
        *_time_units(bars, rules, aside),
        *_row_constraints(bars, rules, as_of_ms, aside),
    ]
    rows = np.flatnonzero(~aside.mask)
    times = bars.opened_at[rows]
    if (times[1:] < times[:-1]).any():
        rows = rows[np.argsort(times, kind="stable")]
    rows, doubles = _duplicates(bars, rows, rules, aside)
    return Cleaned(rows, (*findings, *doubles))


def _empty_columns(bars: Bars, rules: Validation) -> list[Finding]:
    severity = effective_severity("columns", rules)
    if severity == "off" or not len(bars):
        return []
    empty = [name for name in FLOAT_COLUMNS if not np.isfinite(getattr(bars, name)).any()]
    if not empty:
        return []
    message = f"no number in column {', '.join(empty)}: the source has no such column, or another type of it"
    return [Finding("columns", severity, len(bars), 1.0, message, flagged(bars, np.arange(len(bars)), tuple(empty)))]


def _order(bars: Bars, rules: Validation) -> list[Finding]:
    severity = effective_severity("order", rules)
    rows = np.flatnonzero(bars.opened_at[1:] < bars.opened_at[:-1]) + 1
    if not len(rows):
        return []
    share = len(rows) / (len(bars) - 1)
    how = "the input runs newest first" if share == 1 else f"{len(rows)} rows open before the row above them"
    return [Finding("order", severity, len(rows), share, f"{how}; sorted", flagged(bars, rows, ()))]


def _time_units(bars: Bars, rules: Validation, aside: SetAside) -> list[Finding]:
    severity = effective_severity("unit_mixup", rules)
    mixup = None if severity == "off" else time_mixup(bars)
    if mixup is None:
        return []
    if severity in {"quarantine", "fatal"}:
        aside.add("unit_mixup", mixup.rows)
    return [_rows_finding(bars, "unit_mixup", rules, mixup.rows, mixup.message)]


def _row_constraints(bars: Bars, rules: Validation, as_of_ms: int, aside: SetAside) -> list[Finding]:
    broken: dict[str, Mask] = {}
    details: dict[str, list[str]] = {}
    for constraint in constraints(bars.interval, as_of_ms):
        if constraint.name == "ascending" or effective_severity(constraint.rule, rules) == "off":
            continue
        mask = constraint.broken(bars)
        if constraint.rule == "unfinished":
            mask &= ~broken.get("future", np.False_)
        if not mask.any():
            continue
        broken[constraint.rule] = mask | broken.get(constraint.rule, np.False_)
        details.setdefault(constraint.rule, []).append(f"{constraint.description} ({mask.sum()})")
    for rule, mask in broken.items():
        if rule in SET_ASIDE or effective_severity(rule, rules) in {"quarantine", "fatal"}:
            aside.add(rule, mask)
    return [
        _rows_finding(bars, rule, rules, np.flatnonzero(mask), f"rows against: {', '.join(details[rule])}")
        for rule, mask in broken.items()
    ]


def _duplicates(bars: Bars, rows: Rows, rules: Validation, aside: SetAside) -> tuple[Rows, list[Finding]]:
    """Drop what shares its time with another row: all of them if they contradict, all but one if not.

    Rows that contradict cannot be told apart, so none is kept, whatever their order in the input.
    """
    times = bars.opened_at[rows]
    repeats = np.zeros(len(rows), np.bool_)
    repeats[1:] = times[1:] == times[:-1]
    if not repeats.any():
        return rows, []
    group = np.cumsum(~repeats) - 1
    differs = np.zeros(len(rows), np.bool_)
    differs[1:] = repeats[1:] & ~_same_bits(bars, rows[1:], rows[:-1])
    conflicting = (np.bincount(group, weights=differs) > 0)[group]
    surplus = repeats & ~conflicting
    findings = []
    if conflicting.any():
        aside.add("duplicate_conflicting", rows[conflicting])
        text = f"{int((conflicting & ~repeats).sum())} times with bars that contradict each other; none of them is kept"
        findings.append(_rows_finding(bars, "duplicate_conflicting", rules, np.sort(rows[conflicting]), text))
    if surplus.any():
        if effective_severity("duplicate_identical", rules) in {"quarantine", "fatal"}:
            aside.add("duplicate_identical", rows[surplus])
        text = f"{int(surplus.sum())} rows repeat a bar; one of each is kept"
        findings.append(_rows_finding(bars, "duplicate_identical", rules, np.sort(rows[surplus]), text))
    return rows[~(conflicting | surplus)], findings


def _same_bits(bars: Bars, left: Rows, right: Rows) -> Mask:
    same = np.ones(len(left), np.bool_)
    for name in COLUMNS:
        bits = getattr(bars, name).view(np.int64)
        same &= bits[left] == bits[right]
    return same


def _rows_finding(bars: Bars, rule: str, rules: Validation, rows: Rows, text: str) -> Finding:
    share = len(rows) / len(bars)
    message = f"{text}; {len(rows)} of {len(bars)} rows ({percent(share)})"
    return Finding(rule, effective_severity(rule, rules), len(rows), share, message, flagged(bars, rows))
