"""The few figures that matter, live against the promise."""

import math
from typing import Final

from tidegate.monitoring.page.promise import promised
from tidegate.monitoring.page.record import FindingLine, MonitorRecord
from tidegate.report import formats
from tidegate.report.charts.gauge import gauge
from tidegate.report.sections.gates import Tile, VerdictMark
from tidegate.report.table import Tone

_NAN = float("nan")
_Z_95: Final = 1.959964

MARKS: Final[dict[str, VerdictMark]] = {
    "quiet": VerdictMark("\u2713", "Quiet", "good"),
    "fired": VerdictMark("\u2715", "Fired", "bad"),
    "not_enough_evidence": VerdictMark("?", "Too little evidence", "warn"),
}


def mark_of(line: FindingLine) -> VerdictMark:
    """A finding's verdict as icon, word and tone; a word that is not known is no good news. A rule that only tells is no alarm."""
    if line.verdict == "fired" and line.action != "roll_back":
        return VerdictMark("!", "Fired", "warn")
    return MARKS.get(line.verdict, VerdictMark("?", line.verdict, "warn"))


def tiles(record: MonitorRecord) -> tuple[Tile, ...]:
    """Six of them: figures of the version in production within the window, each with what the backtest promised."""
    return (_win_rate(record), _sharpe(record), _drawdown(record), _return(record), _trades(record), _cost(record))


def live_metric(record: MonitorRecord, name: str) -> float:
    """A metric of the version in production within the window, NaN where there is none."""
    return _NAN if record.own is None else record.own.metrics.get(name, _NAN)


def _win_rate(record: MonitorRecord) -> Tile:
    value, before = live_metric(record, "win_rate"), promised(record.promised, "win_rate")
    ends = (live_metric(record, "win_rate_low"), live_metric(record, "win_rate_high"))
    words = f"Win rate {formats.percent(value)}, promised {formats.percent(before)}"
    return Tile(
        "Win rate",
        formats.percent(value),
        f"95 % interval {formats.interval(ends, 'fraction', unknown=formats.NOT_MEASURED)}",
        _mark(record, "win_rate"),
        _promise(formats.percent(before), before),
        gauge("win-rate", words, value, ends, before),
        _tone(record, "win_rate"),
    )


def _sharpe(record: MonitorRecord) -> Tile:
    value, before = live_metric(record, "sharpe"), promised(record.promised, "sharpe")
    error = live_metric(record, "sharpe_standard_error")
    ends = (value - _Z_95 * error, value + _Z_95 * error)
    words = f"Sharpe ratio {formats.decimal(value)}, promised {formats.decimal(before)}"
    return Tile(
        "Sharpe ratio",
        formats.decimal(value),
        f"standard error {formats.decimal(error)}",
        _mark(record, "sharpe"),
        _promise(formats.decimal(before), before),
        gauge("sharpe", words, value, ends, before),
        _tone(record, "sharpe"),
    )


def _drawdown(record: MonitorRecord) -> Tile:
    value, before = live_metric(record, "max_drawdown"), promised(record.promised, "max_drawdown")
    detail = "from a peak, at the worst moment inside a bar"
    return Tile("Maximum drawdown", formats.percent(value), detail, threshold=_promise(formats.percent(before), before))


def _return(record: MonitorRecord) -> Tile:
    value, a_year = live_metric(record, "total_return"), promised(record.promised, "annual_return")
    bars = bars_answered(record)
    before = a_year * bars / record.strategy.periods_per_year
    held = live_metric(record, "buy_and_hold_return")
    return Tile(
        "Net return",
        formats.percent(value, signed=True),
        f"buy and hold {formats.percent(held, signed=True)}",
        threshold=_promise(f"{formats.percent(before, signed=True)} for these bars", before),
    )


def bars_answered(record: MonitorRecord) -> float:
    """Bars of market time between the first and the last answer of the version in production, NaN without any."""
    series, own = (None if record.live is None else record.live.series), record.own
    if series is None or own is None:
        return _NAN
    inside = (series.closed_at >= own.first_bar_at) & (series.closed_at <= own.last_bar_at)
    return float(inside.sum()) or _NAN


def _trades(record: MonitorRecord) -> Tile:
    count, rate = live_metric(record, "trades"), live_metric(record, "trades_per_day")
    before = promised(record.promised, "trades_per_day")
    return Tile(
        "Closed trades",
        formats.count(count),
        f"{formats.decimal(rate)} a day" if math.isfinite(rate) else "how many a day is not measured",
        threshold=_promise(f"{formats.decimal(before)} a day", before),
    )


def _cost(record: MonitorRecord) -> Tile:
    found = None if record.live is None else record.live.reconciliation
    assumed = live_metric(record, "mean_cost_bps") if found is None else found.cost_bps_assumed
    paid = _NAN if found is None else found.cost_bps_paid
    if math.isfinite(paid):
        return Tile(
            "Cost a side",
            formats.quantity(paid, "bps"),
            "paid in the bot's fills",
            threshold=f"assumed {formats.quantity(assumed, 'bps')}",
        )
    before = promised(record.promised, "mean_cost_bps")
    return Tile(
        "Cost a side",
        formats.quantity(assumed, "bps"),
        "assumed: there are no fills of the bot to compare with",
        threshold=_promise(formats.quantity(before, "bps"), before),
    )


def _promise(words: str, value: float) -> str:
    return f"promised {words}" if math.isfinite(value) else "nothing was promised"


def _finding(record: MonitorRecord, rule: str) -> FindingLine | None:
    return next((line for line in record.findings if line.rule == rule), None)


def _mark(record: MonitorRecord, rule: str) -> VerdictMark | None:
    """The rule's verdict; it looks at other days than the tile, so it is said to be the rule's."""
    line = _finding(record, rule)
    if line is None:
        return None
    mark = mark_of(line)
    return VerdictMark(
        mark.icon, f"Rule {mark.word.lower()}" if line.verdict in {"fired", "quiet"} else mark.word, mark.tone
    )


def _tone(record: MonitorRecord, rule: str) -> Tone:
    line = _finding(record, rule)
    return mark_of(line).tone if line is not None and line.verdict == "fired" else ""
