"""Where the bars came from and what validation found in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.report import formats
from tidegate.report.record import RunRecord, SymbolRecord
from tidegate.report.sections.gates import VerdictMark
from tidegate.report.table import Cell, Column, Table, Tone

_TONES: Mapping[str, Tone] = {"fatal": "bad", "quarantine": "warn", "warn": "warn"}
_ICONS = {"fatal": "\u2715", "quarantine": "!", "warn": "!"}


@dataclass(frozen=True, slots=True)
class SymbolQuality:
    """One symbol's data: facts as pairs, notes, the validation's verdict and its findings."""

    symbol: str
    mark: VerdictMark
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    findings: Table | None


def quality(record: RunRecord) -> tuple[SymbolQuality, ...]:
    """Every symbol's data."""
    return tuple(_symbol(symbol) for symbol in record.symbols)


def _symbol(symbol: SymbolRecord) -> SymbolQuality:
    found = symbol.validation
    passed = found.get("passed")
    mark = VerdictMark("\u2713", "Validation passed", "good")
    if passed is not True:
        mark = VerdictMark("\u2715", "Validation failed" if passed is False else "Validation missing", "bad")
    facts = (
        ("Origin", symbol.origin),
        ("Bars used", formats.count(symbol.bars)),
        ("Span", f"{formats.moment(symbol.first_at)} to {formats.moment(symbol.last_at)}"),
        ("Rows read", _count(found, "rows_in")),
        ("Set aside", _count(found, "rows_quarantined")),
        ("Missing bars", _missing(found)),
        ("Calendar", str(found.get("calendar", formats.NOT_MEASURED))),
        ("Great Expectations", _expectations(found.get("expectations"))),
        ("Snapshot", symbol.snapshot),
    )
    findings = [finding for finding in found.get("findings") or () if isinstance(finding, Mapping)]
    return SymbolQuality(symbol.symbol, mark, facts, symbol.notes, _findings(findings) if findings else None)


def _findings(findings: list[Mapping[str, Any]]) -> Table:
    rows = []
    for finding in findings:
        severity = str(finding.get("severity", "unknown"))
        share = finding.get("share")
        rows.append(
            (
                Cell(str(finding.get("rule", "unknown")).replace("_", " ")),
                Cell(f"{_ICONS.get(severity, '?')} {severity}", tone=_TONES.get(severity, "")),
                Cell(_count(finding, "count"), _number(finding.get("count"))),
                Cell(formats.percent(_number(share), 3), _number(share)),
                Cell(str(finding.get("message", ""))),
            )
        )
    columns = (
        Column("Rule", numeric=False),
        Column("Severity", numeric=False),
        Column("Found"),
        Column("Share"),
        Column("What", numeric=False),
    )
    return Table("What validation found", columns, tuple(rows))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _count(found: Mapping[str, Any], key: str) -> str:
    return formats.count(_number(found.get(key)))


def _missing(found: Mapping[str, Any]) -> str:
    missing, gaps = _number(found.get("missing_bars")), _number(found.get("gaps"))
    if missing is None:
        return formats.NOT_MEASURED
    expected = f" of {_count(found, 'expected_bars')}" if _number(found.get("expected_bars")) is not None else ""
    return f"{formats.count(missing)}{expected}" + (f", in {formats.plural(gaps, 'gap')}" if gaps else "")


def _expectations(found: object) -> str:
    if not isinstance(found, Mapping):
        return "not asked"
    return f"{_count(found, 'evaluated')} evaluated, {_count(found, 'failed')} not met"
