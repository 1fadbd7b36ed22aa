"""The verdict of a monitoring run in words, its marks and key figures."""

from dataclasses import dataclass
from typing import Final

from tidegate.monitoring.page.record import ChecklistRow, FindingLine, MonitorRecord, Outcome
from tidegate.report import formats
from tidegate.report.charts.gauge import gauge
from tidegate.report.sections.gates import Tile, VerdictMark
from tidegate.report.sections.verdict import Headline
from tidegate.report.table import Tone

_NAN: Final = float("nan")
_WORDS: Final[dict[Outcome, str]] = {
    "healthy": "HEALTHY",
    "watch": "WATCH",
    "rolled_back": "ROLLED BACK",
    "halted": "HALTED",
    "nothing_to_monitor": "NOTHING TO MONITOR",
}
_FINDING_MARKS: Final = {
    "quiet": VerdictMark("\u2713", "Quiet", "good"),
    "fired": VerdictMark("\u2715", "Fired", "bad"),
    "not_enough_evidence": VerdictMark("?", "Too little evidence", "warn"),
}
_ROW_MARKS: Final = {
    "pass": VerdictMark("\u2713", "Pass", "good"),
    "fail": VerdictMark("\u2715", "Fail", "bad"),
    "not_measured": VerdictMark("?", "Not measured", "warn"),
}
_RULES: Final = {
    "sequential": "Sequential test on closed trades",
    "win_rate": "Win rate of the last days",
    "sharpe": "Sharpe ratio of the last days",
    "drift": "Drift",
}
_ACTIONS: Final = {"roll_back": "rolls back", "alert": "alerts", "observe": "for the record"}


@dataclass(frozen=True, slots=True)
class MarkedRow:
    """A line with a verdict: its name, why, and a few labelled values."""

    mark: VerdictMark
    title: str
    code: str
    reason: str
    values: tuple[tuple[str, str], ...]
    remark: str = ""


def headline(record: MonitorRecord) -> Headline:
    """The verdict: a word and a sentence."""
    word = _WORDS[record.outcome]
    version = "no version" if record.version is None else f"version {record.version}"
    now = "no version" if record.now is None else f"version {record.now}"
    reason = f"{record.reason[:1].upper()}{record.reason[1:]}".rstrip(".") + "."
    match record.outcome:
        case "healthy":
            told = (
                f"No rule speaks against {version}. {reason}"
                if reason != "No rule fired."
                else f"No rule speaks against {version}."
            )
            return Headline(word, told, "good")
        case "watch":
            fired = any(line.verdict == "fired" for line in record.findings)
            lead = f"A rule fired on {version}" if fired else f"There is too little evidence to call {version} healthy"
            return Headline(word, f"{lead}. {reason}", "warn")
        case "rolled_back":
            return Headline(word, f"{version.capitalize()} was left, {now} is in production. {reason}", "bad")
        case "halted":
            return Headline(word, f"The strategy is halted and the bot goes flat. {reason}", "bad")
        case _:
            return Headline(word, f"Nothing can be said about this model. {reason}", "warn")


def basis(record: MonitorRecord) -> str:
    """What the figures are computed from."""
    live = record.live
    window = f"Window {formats.span(record.window_start_at, record.as_of)}"
    if live is None:
        return f"{window}; no figures."
    counted = f"{formats.plural(live.balance.counted, 'answer')} counted of {formats.plural(live.balance.rows, 'row')} of the log"
    return f"{window}; {counted}. Net of costs. A rerun with the same time gives the same figures."


def tiles(record: MonitorRecord) -> tuple[Tile, ...]:
    """The six key figures of the version in production, with what its backtest promised."""
    own = {} if record.own is None else record.own.metrics
    promised = record.promised
    interval = (own.get("win_rate_low", _NAN), own.get("win_rate_high", _NAN))
    rate, ratio = own.get("win_rate", _NAN), own.get("sharpe", _NAN)
    error = own.get("sharpe_standard_error", _NAN)
    bounds = record.strategy.rollback
    calibration = _NAN if record.own is None else record.own.calibration.error
    estimated = _NAN if record.own is None else record.own.estimated_win_rate
    return (
        Tile(
            "Win rate", formats.percent(rate), f"95 % interval {formats.interval(interval, 'fraction', unknown=formats.NOT_MEASURED)}",
            threshold=f"promised {formats.percent(promised.get('win_rate'))}",
            gauge=gauge("win-rate", "Live win rate and the rule's bound", rate, interval, bounds.win_rate),
        ),
        Tile(
            "Sharpe ratio", formats.decimal(ratio), f"standard error {formats.decimal(error)}",
            threshold=f"promised {formats.decimal(promised.get('sharpe'))}",
            gauge=gauge("sharpe", "Live Sharpe ratio and the rule's bound", ratio, (ratio - 2 * error, ratio + 2 * error), bounds.sharpe),
        ),
        Tile("Maximum drawdown", formats.percent(own.get("max_drawdown")), "at the worst moment inside a bar", threshold=f"promised {formats.percent(promised.get('max_drawdown'))}"),
        Tile("Closed trades", formats.count(own.get("trades")), f"{formats.decimal(own.get('trades_per_day'))} a day", threshold=f"promised {formats.decimal(promised.get('trades_per_day'))} a day"),
        Tile("Net return", formats.percent(own.get("total_return"), signed=True), f"buy and hold {formats.percent(own.get('buy_and_hold_return'), signed=True)}"),
        Tile("Calibration error", formats.percent(calibration), f"the model itself expects {formats.percent(estimated)} of its entries to end in favour"),
    )  # fmt: skip


def rule_rows(findings: tuple[FindingLine, ...]) -> tuple[MarkedRow, ...]:
    """Every rule: those that fired first, then those without evidence."""
    order = {"fired": 0, "not_enough_evidence": 1, "quiet": 2}
    return tuple(_rule(line) for line in sorted(findings, key=lambda line: order[line.verdict]))


def _rule(line: FindingLine) -> MarkedRow:
    mark = _FINDING_MARKS[line.verdict]
    if line.verdict == "fired" and line.action == "observe":
        mark = VerdictMark("!", "Fired", "warn")
    return MarkedRow(
        mark,
        _RULES.get(line.rule, line.rule),
        line.rule,
        f"{line.reason[:1].upper()}{line.reason[1:]}.",
        (
            ("Observed", _value(line.observed, line.unit)),
            ("Bound", _value(line.threshold, line.unit)),
            ("n", formats.count(line.n)),
            ("When it fires", _ACTIONS.get(line.action, line.action)),
        ),
        f"Error rate: {line.error_rate}.",
    )


def _value(value: float | None, unit: str) -> str:
    if not formats.known(value):
        return formats.DASH
    return formats.decimal(value) if unit == "log-likelihood ratio" else formats.quantity(value, unit)


def checklist_rows(rows: tuple[ChecklistRow, ...]) -> tuple[MarkedRow, ...]:
    """The checklist in its order."""
    return tuple(
        MarkedRow(
            _ROW_MARKS[row.verdict],
            f"{row.row[:1].upper()}{row.row[1:]}",
            "",
            f"{row.reason[:1].upper()}{row.reason[1:]}.",
            (
                ("Observed", row.observed or formats.DASH),
                ("Required", row.threshold or formats.DASH),
                ("Period", row.period),
            ),
        )
        for row in rows
    )


def tone_of(value: bool) -> Tone:
    """Bad where something is so."""
    return "bad" if value else ""
