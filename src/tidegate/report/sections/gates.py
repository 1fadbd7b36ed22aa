"""Key figures with their gates' verdicts, and every gate's result, refusals first."""

from dataclasses import dataclass

from markupsafe import Markup

from tidegate.gates.result import GateResult, Verdict
from tidegate.report import formats
from tidegate.report.charts.gauge import gauge
from tidegate.report.record import RunRecord
from tidegate.report.table import Tone

_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class VerdictMark:
    """A verdict as icon, word and tone: never by colour alone."""

    icon: str
    word: str
    tone: Tone


_MARKS = {
    Verdict.PASS: VerdictMark("\u2713", "Pass", "good"),
    Verdict.FAIL: VerdictMark("\u2715", "Fail", "bad"),
    Verdict.NOT_ENOUGH_EVIDENCE: VerdictMark("?", "Too little evidence", "warn"),
}


@dataclass(frozen=True, slots=True)
class Tile:
    """One key figure."""

    title: str
    value: str
    detail: str
    mark: VerdictMark | None = None
    threshold: str = ""
    gauge: Markup | None = None
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class GateRow:
    """One gate's line."""

    name: str
    title: str
    scope: str
    mark: VerdictMark
    refuses: bool
    observed: str
    interval: str
    n: str
    threshold: str
    power: str
    kind: str
    family: str
    reason: str
    change: str
    evidence: tuple[tuple[str, str], ...]


def tiles(record: RunRecord) -> tuple[Tile, ...]:
    """The six key figures."""
    metrics = record.metrics
    rate = _interval(record, "win_rate")
    held = metrics.get("buy_and_hold_return", _NAN)
    total = metrics.get("total_return", _NAN)
    return (
        _gated(
            record,
            "win_rate",
            "Win rate",
            f"95 % interval {formats.interval(rate, 'fraction', unknown=formats.NOT_MEASURED)}",
            rate,
        ),
        _gated(
            record,
            "sharpe",
            "Sharpe ratio",
            f"95 % interval {formats.interval(_interval(record, 'sharpe'), 'ratio', unknown=formats.NOT_MEASURED)}",
            _interval(record, "sharpe"),
        ),
        _gated(
            record,
            "max_drawdown",
            "Maximum drawdown",
            f"from a peak, at the worst moment inside a bar; {formats.percent(metrics.get('max_drawdown', _NAN))} over all folds together",
            _interval(record, "max_drawdown"),
        ),
        _gated(record, "trades", "Trades", f"{formats.decimal(metrics.get('trades_per_day'))} a day", None),
        Tile(
            "Net return",
            formats.percent(total, signed=True),
            f"buy and hold {formats.percent(held, signed=True)}",
        ),
        Tile(
            "Payoff ratio",
            formats.decimal(metrics.get("payoff_ratio")),
            f"mean profit over mean loss; profit factor {formats.decimal(metrics.get('profit_factor'))}",
        ),
    )


def _interval(record: RunRecord, name: str) -> tuple[float, float]:
    """The interval that came with a gate's figure; NaN where there is none."""
    result = next((result for result in record.decision.results if result.name == name), None)
    return (_NAN, _NAN) if result is None or result.interval is None else result.interval


def _gated(record: RunRecord, name: str, title: str, detail: str, ends: tuple[float, float] | None) -> Tile:
    result = next((result for result in record.decision.results if result.name == name), None)
    # What was judged stands beside the verdict: for the drawdown the worst fold alone may be worse than all of them together.
    value = record.metrics.get(name, _NAN) if result is None else _NAN if result.observed is None else result.observed
    unit = "fraction" if name in ("win_rate", "max_drawdown") else "count" if name == "trades" else "ratio"
    shown = formats.quantity(value, unit)
    if result is None:
        return Tile(title, shown, detail, VerdictMark("\u2715", "Not judged", "bad"))
    words = f"{title}: {shown}, {formats.bound_in_words(result)} required"
    threshold = result.threshold if result.threshold is not None else _NAN
    mark = _MARKS[result.verdict]
    picture = gauge(name.replace("_", "-"), words, value, ends, threshold)
    needed = f"required {formats.bound(result)}{'' if result.blocking else ', advisory'}"
    return Tile(title, shown, detail, mark, needed, picture, mark.tone)


def gate_rows(record: RunRecord) -> tuple[GateRow, ...]:
    """Every gate: those that refuse first, then other failures, then passes; in the policy's order within each."""
    order = {Verdict.FAIL: 0, Verdict.NOT_ENOUGH_EVIDENCE: 1, Verdict.PASS: 2}
    results = sorted(record.decision.results, key=lambda result: (not result.refuses, order[result.verdict]))
    return tuple(_row(result) for result in results)


def _row(result: GateResult) -> GateRow:
    power = formats.DASH
    if result.power is not None:
        at = "" if result.power_at is None else f" at {_true_value(result, result.power_at)}"
        power = f"{formats.percent(result.power, 0)}{at}"
    return GateRow(
        name=result.name,
        title=result.title,
        scope={"fold": "newest fold", "pooled": "all folds", "run": "this run"}[result.scope],
        mark=_MARKS[result.verdict],
        refuses=result.refuses,
        observed=formats.quantity(result.observed, result.unit),
        interval=formats.interval(result.interval, result.unit),
        n=formats.DASH if result.n is None else formats.count(result.n),
        threshold=formats.bound(result),
        power=power,
        kind="blocking" if result.blocking else "advisory",
        family=result.family,
        reason=result.reason,
        change=result.change,
        evidence=tuple((key.replace("_", " "), evidence(value)) for key, value in sorted(result.evidence.items())),
    )


def _true_value(result: GateResult, at: float) -> str:
    """The value at which power is stated; that of a test is not in the test's own unit."""
    return f"a Sharpe ratio of {at:g}" if result.unit == "p-value" else formats.quantity(at, result.unit)


def evidence(value: float | str | None) -> str:
    """A piece of evidence: text as it is, numbers to six digits."""
    if isinstance(value, str):
        return value
    word = formats.special(value)
    return word if word is not None else f"{value:.6g}"
