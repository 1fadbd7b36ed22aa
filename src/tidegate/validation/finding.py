"""What a rule says about bars: how many rows it found, the first of them, and how bad that is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tidegate.bars.bars import COLUMNS, Bars, iso
from tidegate.settings.settings import SET_ASIDE, WHOLE_SERIES, Severity, Validation

Rows = NDArray[np.intp]

SHOWN_ROWS: Final = 20
ALWAYS_FATAL: Final = ("no_bars", "expectations")
"""Rules without a setting: nothing left to use, and a second opinion that contradicts or is missing."""
_LAST_TIME_MS: Final = 253_402_300_799_999  # the year 9999, the last that can be written out


@dataclass(frozen=True, slots=True)
class FlaggedRow:
    """One row that a rule found.

    Attributes:
        row: its number in the raw input, counted from 0.
        opened_at_ms: its opening time, UTC ms, as it came.
        values: the bar's columns, or what else the rule measured there.
    """

    row: int
    opened_at_ms: int
    values: Mapping[str, float | int | str]

    def __str__(self) -> str:
        values = ", ".join(f"{name}={value}" for name, value in self.values.items())
        return f"row {self.row} ({readable_time(self.opened_at_ms)}{': ' if values else ''}{values})"

    def summary(self) -> dict[str, Any]:
        """As JSON: a NaN or an infinity becomes its name, since JSON knows neither."""
        values = {name: _json_number(value) for name, value in self.values.items()}
        return {"row": self.row, "opened_at": readable_time(self.opened_at_ms), "values": values}


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule's result, kept only if it found something.

    Attributes:
        rule: the setting under `validation` that decides, or one of `ALWAYS_FATAL`.
        severity: `fatal`, `quarantine` or `warn`, as it took effect.
        count: rows found; for gaps the gaps, for missing_share the missing bars.
        share: count over what was looked at, 0 to 1.
        rows: the first of them, at most 20.
        message: one sentence.
    """

    rule: str
    severity: Severity
    count: int
    share: float
    message: str
    rows: tuple[FlaggedRow, ...] = field(default=())

    @property
    def setting(self) -> str | None:
        """The setting that decides, if there is one."""
        return None if self.rule in ALWAYS_FATAL else f"validation.{self.rule}"

    def summary(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "count": self.count,
            "share": self.share,
            "message": self.message,
            "rows": [row.summary() for row in self.rows],
        }


def effective_severity(rule: str, rules: Validation) -> Severity:
    """The severity a rule has in fact.

    `quarantine` is `fatal` to rules that have no rows to set aside, and rules that always set rows aside are never silent.
    """
    if rule in ALWAYS_FATAL:
        return "fatal"
    severity: Severity = getattr(rules, rule)
    if rule in WHOLE_SERIES and severity == "quarantine":
        return "fatal"
    return "warn" if rule in SET_ASIDE and severity == "off" else severity


def flagged(bars: Bars, rows: Rows, columns: tuple[str, ...] = COLUMNS[1:]) -> tuple[FlaggedRow, ...]:
    """The first of the raw rows with their times and values.

    Args:
        bars: the raw input.
        rows: (m,) raw row numbers.
        columns: the columns to show.
    """
    return tuple(
        FlaggedRow(row, int(bars.opened_at[row]), {name: getattr(bars, name)[row].item() for name in columns})
        for row in rows[:SHOWN_ROWS].tolist()
    )


def readable_time(time_ms: int) -> str:
    """UTC milliseconds as text, whatever they are: a time that no calendar can hold is shown as its number."""
    return iso(time_ms) if 0 <= time_ms <= _LAST_TIME_MS else f"{time_ms} ms"


def percent(share: float) -> str:
    """A share for people.

    >>> percent(0.0123), percent(0.00001)
    ('1.23 %', '0.001 %')
    """
    return f"{100 * share:.3g} %"


def _json_number(value: float | str) -> float | int | str:
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value
