"""What each rule said with its error rate, and the rows of the checklist."""

from dataclasses import dataclass
from typing import Final

from tidegate.monitoring.page.headline import action_in_words
from tidegate.monitoring.page.record import ChecklistRow, FindingLine, MonitorRecord
from tidegate.monitoring.page.tiles import mark_of
from tidegate.report import formats
from tidegate.report.sections.gates import VerdictMark

TITLES: Final = {
    "sequential": "Sequential test on closed trades",
    "win_rate": "Win rate of the last days",
    "sharpe": "Sharpe ratio of the last days",
    "drift": "Drift",
    "latency": "Latency",
    "errors": "Error rate of the service",
    "crashes": "Repeated crashes",
    "bots": "What bots say",
}
_ORDER: Final = {"fired": 0, "not_enough_evidence": 1, "quiet": 2}
_CHECKED: Final = {
    "pass": VerdictMark("\u2713", "Pass", "good"),
    "fail": VerdictMark("\u2715", "Fail", "bad"),
    "not_measured": VerdictMark("?", "Not measured", "warn"),
}
_CHECK_ORDER: Final = {"fail": 0, "not_measured": 1, "pass": 2}


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One rule's line."""

    rule: str
    title: str
    mark: VerdictMark
    acts: str
    observed: str
    threshold: str
    n: str
    reason: str
    error_rate: str


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One line of the checklist."""

    mark: VerdictMark
    row: str
    period: str
    observed: str
    threshold: str
    reason: str


def finding_rows(record: MonitorRecord) -> tuple[FindingRow, ...]:
    """Every rule: fired ones first, then those with too little evidence."""
    return tuple(map(_finding, sorted(record.findings, key=lambda line: _ORDER.get(line.verdict, 1))))


def findings_lead(record: MonitorRecord) -> str:
    """How many rules said what."""
    lines = record.findings
    if not lines:
        return "No rule was judged."
    fired, silent, quiet = (sum(line.verdict == word for line in lines) for word in _ORDER)
    return (
        f"{formats.plural(len(lines), 'rule')}: {fired} fired, {silent} with too little evidence, {quiet} quiet. "
        "What is missing or not a number is too little evidence, never quiet."
    )


def check_rows(record: MonitorRecord) -> tuple[CheckRow, ...]:
    """Every row of the checklist: failed ones first, then those not measured."""
    return tuple(map(_check, sorted(record.checklist, key=lambda row: _CHECK_ORDER.get(row.verdict, 1))))


def checklist_lead(record: MonitorRecord) -> str:
    """How many rows hold."""
    rows = record.checklist
    if not rows:
        return "No row of the checklist was judged."
    failed, unknown, passed = (sum(row.verdict == word for row in rows) for word in _CHECK_ORDER)
    return f"{formats.plural(len(rows), 'row')}: {failed} failed, {unknown} not measured, {passed} passed."


def _finding(line: FindingLine) -> FindingRow:
    return FindingRow(
        rule=line.rule,
        title=TITLES.get(line.rule, line.rule),
        mark=mark_of(line),
        acts=action_in_words(line),
        observed=_quantity(line.observed, line.unit),
        threshold=formats.DASH if line.threshold is None else _quantity(line.threshold, line.unit),
        n=formats.count(line.n),
        reason=line.reason,
        error_rate=line.error_rate or "not known",
    )


def _quantity(value: float | None, unit: str) -> str:
    """As `formats.quantity`; figures of a unit of their own keep two decimals."""
    return formats.quantity(value, "" if unit == "log-likelihood ratio" else unit)


def _check(row: ChecklistRow) -> CheckRow:
    mark = _CHECKED.get(row.verdict, VerdictMark("?", row.verdict, "warn"))
    return CheckRow(mark, row.row, row.period, row.observed or formats.DASH, row.threshold or formats.DASH, row.reason)
