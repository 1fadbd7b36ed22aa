"""Raw bars in; clean bars, the rows set aside and the findings out."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tidegate.bars.bars import Bars, iso
from tidegate.errors import ValidationFailed
from tidegate.settings.settings import Validation
from tidegate.validation.calendar import Gap, expected_count, missing
from tidegate.validation.cleaning import SetAside, clean
from tidegate.validation.constraints import violations
from tidegate.validation.expectations import ExpectationOutcome, expect, expected_constraints
from tidegate.validation.finding import (
    SHOWN_ROWS,
    Finding,
    FlaggedRow,
    effective_severity,
    flagged,
    percent,
    readable_time,
)
from tidegate.validation.rules import ROW_RULES, SERIES_RULES, Context, Flag

_LOUDNESS: Final = {"fatal": 0, "quarantine": 1, "warn": 2, "off": 3}


@dataclass(frozen=True, slots=True, eq=False)
class Quarantined:
    """The m rows set aside.

    Attributes:
        bars: the rows as they came, in their original order.
        rows: (m,) int64, their numbers in the raw input, counted from 0.
        reasons: for each row the rules that set it aside, joined by `+`.
    """

    bars: Bars
    rows: NDArray[np.int64]
    reasons: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class Validated:
    """Bars and what is known about their quality.

    Attributes:
        bars: clean: ascending, unique, and free of what the rules set aside.
        quarantined: the rows set aside.
        findings: what the rules found, the worst first.
        gaps: bars that the calendar has and the clean bars have not.
        expected_bars: how many the calendar has from the first to the last clean bar.
        rows_in: rows of the raw input.
        calendar: `24/7` or `fx`.
        as_of_ms: the time of validation, UTC ms.
        expectations: Great Expectations' results over the raw input; None if it was not asked.
    """

    bars: Bars
    quarantined: Quarantined
    findings: tuple[Finding, ...]
    gaps: tuple[Gap, ...]
    expected_bars: int
    rows_in: int
    calendar: str
    as_of_ms: int
    expectations: ExpectationOutcome | None = None

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The fatal findings."""
        return tuple(finding for finding in self.findings if finding.severity == "fatal")

    @property
    def passed(self) -> bool:
        """Whether nothing fatal was found."""
        return not self.failures

    @property
    def missing_bars(self) -> int:
        """How many of the expected bars are missing."""
        return sum(gap.bars for gap in self.gaps)

    def summary(self) -> dict[str, Any]:
        """As JSON, for the run's records."""
        times = self.bars.opened_at
        return {
            "schema_version": 1,
            "symbol": self.bars.symbol,
            "interval": str(self.bars.interval),
            "calendar": self.calendar,
            "as_of": readable_time(self.as_of_ms),
            "passed": self.passed,
            "rows_in": self.rows_in,
            "rows_clean": len(self.bars),
            "rows_quarantined": len(self.quarantined),
            "first_opened_at": iso(int(times[0])) if len(times) else None,
            "last_opened_at": iso(int(times[-1])) if len(times) else None,
            "expected_bars": self.expected_bars,
            "missing_bars": self.missing_bars,
            "gaps": len(self.gaps),
            "findings": [finding.summary() for finding in self.findings],
            "expectations": None if self.expectations is None else self.expectations.summary(),
        }


def validate(
    bars: Bars, *, rules: Validation, calendar: str, as_of_ms: int, docs_folder: Path | None = None
) -> Validated:
    """Judge bars by all rules, and by Great Expectations, whose disagreement is fatal.

    Args:
        bars: n raw bars in any state; n may be 0.
        rules: what each rule means and its thresholds.
        calendar: `24/7` or `fx`.
        as_of_ms: the time of validation, UTC ms: later bars are the future, and the bar it falls into is unfinished.
        docs_folder: where to write the data docs; None for none.
    Returns:
        the verdict; bad data never raise, see `require`.
    Raises:
        ConfigurationError: no such calendar, or the system has no time zone data.
    """
    judged = judge(bars, rules=rules, calendar=calendar, as_of_ms=as_of_ms)
    outcome = expect(bars, rules, as_of_ms, docs_folder)
    differences = disagreements(bars, rules, as_of_ms, outcome)
    findings = judged.findings
    if differences:
        message = f"Great Expectations and the constraint table disagree: {'; '.join(differences)}"
        share = len(differences) / max(len(outcome.results), 1)
        findings = _worst_first((*findings, Finding("expectations", "fatal", len(differences), share, message)))
    return Validated(
        judged.bars,
        judged.quarantined,
        findings,
        judged.gaps,
        judged.expected_bars,
        judged.rows_in,
        calendar,
        as_of_ms,
        outcome,
    )


def judge(bars: Bars, *, rules: Validation, calendar: str, as_of_ms: int) -> Validated:
    """The part of `validate` that is numpy alone: all rules, no second opinion. Arguments and errors are the same."""
    aside = SetAside(len(bars))
    cleaned = clean(bars, rules, as_of_ms, aside)
    context = Context(rules, calendar, as_of_ms)
    findings = list(cleaned.findings)
    rows = cleaned.rows
    sound = bars.take(rows)
    for name, rule in ROW_RULES.items():
        severity = effective_severity(name, rules)
        flag = None if severity == "off" else rule(sound, context)
        if flag is not None:
            findings.append(_finding(name, rules, flag, bars, rows))
            if severity == "quarantine":
                aside.add(name, rows[flag.rows])
    rows = rows[~aside.mask[rows]]
    kept = bars.take(rows)
    for name, rule in SERIES_RULES.items():
        flag = None if effective_severity(name, rules) == "off" else rule(kept, context)
        if flag is not None:
            findings.append(_finding(name, rules, flag, bars, rows))
    findings += _quarantined_share(bars, rules, aside)
    if not len(kept):
        message = "there are no bars" if not len(bars) else f"none of the {len(bars)} rows is left"
        findings.append(Finding("no_bars", "fatal", 1, 1.0, message))
    set_aside = np.flatnonzero(aside.mask)
    return Validated(
        bars=kept,
        quarantined=Quarantined(bars.take(set_aside), set_aside.astype(np.int64), aside.reasons(set_aside)),
        findings=_worst_first(findings),
        gaps=missing(kept, calendar),
        expected_bars=expected_count(kept, calendar),
        rows_in=len(bars),
        calendar=calendar,
        as_of_ms=as_of_ms,
    )


def disagreements(bars: Bars, rules: Validation, as_of_ms: int, outcome: ExpectationOutcome) -> list[str]:
    """Where Great Expectations rejects other raw rows than the constraint table, or could not say; empty if they agree."""
    broken = {violation.constraint.name: violation.rows for violation in violations(bars, as_of_ms)}
    said = {result.name: result for result in outcome.results}
    differences = []
    for constraint in expected_constraints(bars, rules, as_of_ms):
        result = said.pop(constraint.name, None)
        rows = broken.get(constraint.name, np.empty(0, np.intp))
        if result is None or result.error is not None:
            differences.append(f"{constraint.name} was not evaluated ({result.error if result else 'no result'})")
        elif (
            result.success is not (not len(rows))
            or result.unexpected_count != len(rows)
            or sorted(result.unexpected_rows) != rows[:SHOWN_ROWS].tolist()
        ):
            differences.append(f"{constraint.name} rejects {result.unexpected_count} rows, the table {len(rows)}")
    differences += [
        f"{result.name}: expected {result.description}, was {result.error or result.observed}"
        for result in said.values()
        if not result.success and not (result.name == "row_count" and not len(bars))
    ]
    return differences


def require(validated: Validated) -> Bars:
    """The clean bars, if they passed.

    Raises:
        ValidationFailed: something fatal was found; names the rule, the first rows with times and values, and the setting.
    """
    failures = validated.failures
    if not failures:
        return validated.bars
    worst = failures[0]
    others = sorted({finding.rule for finding in failures[1:]} - {worst.rule})
    bars = validated.bars
    what = f"bars of {bars.symbol} {bars.interval} failed rule {worst.rule}: {worst.message}"
    if others:
        what += f" (failed as well: {', '.join(others)})"
    shown = ", ".join(map(str, worst.rows[:5]))
    # A gap is one row that stands for many bars.
    more = (len(worst.rows) if worst.rule == "missing_share" else worst.count) - 5
    raise ValidationFailed(
        what,
        expected=_EXPECTED.get(worst.rule, "no such row"),
        actual=f"{shown}{f' and {more} more' if more > 0 else ''}" if shown else worst.message,
        setting=worst.setting,
        next_step=_NEXT_STEPS.get(worst.rule, "correct these rows at the source, or set the rule's severity"),
    )


_EXPECTED: Final = {
    "no_bars": "at least one usable bar",
    "expectations": "the same verdict from both",
    "columns": "numbers in every column",
    "missing_share": "at most validation.max_missing_share missing",
    "quarantined_share": "at most validation.max_quarantined_share set aside",
    "stale": "a newer last bar",
    "gaps": "every bar of the calendar",
}
_NEXT_STEPS: Final = {
    "no_bars": "check the source's path, symbol and period",
    "expectations": "do not use these bars; report the versions of great-expectations and pandas",
    "columns": "check the source's column names and types",
    "future": "check the source's time zone and time unit, and this machine's clock",
    "unit_mixup": "check the unit of times and prices at the source, and load the stretch anew",
    "missing_share": "load the missing bars, or check that the strategy's calendar is the market's",
    "gaps": "load the missing bars, or check that the strategy's calendar is the market's",
    "duplicate_conflicting": "find out which of the bars is right, and remove the other at the source",
    "stale": "load newer bars",
    "quarantined_share": "look at the quarantine file for the reasons, and correct the source",
}


def _finding(name: str, rules: Validation, flag: Flag, bars: Bars, rows: NDArray[np.intp]) -> Finding:
    shown = flagged(bars, rows[flag.rows])
    if flag.details:
        shown = tuple(
            FlaggedRow(row.row, row.opened_at_ms, details) for row, details in zip(shown, flag.details, strict=True)
        )
    return Finding(name, effective_severity(name, rules), flag.count, flag.share, flag.message, shown)


def _quarantined_share(bars: Bars, rules: Validation, aside: SetAside) -> list[Finding]:
    severity = effective_severity("quarantined_share", rules)
    counted = np.flatnonzero(aside.counted)
    if severity == "off" or not len(counted) or len(counted) / len(bars) <= rules.max_quarantined_share:
        return []
    share = len(counted) / len(bars)
    message = (
        f"{len(counted)} of {len(bars)} rows ({percent(share)}) were set aside, at most "
        f"{percent(rules.max_quarantined_share)} may be (validation.max_quarantined_share)"
    )
    return [Finding("quarantined_share", severity, len(counted), share, message, flagged(bars, counted))]


def _worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: _LOUDNESS[finding.severity]))
