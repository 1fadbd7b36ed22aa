"""What would change a gate's verdict, in one plain sentence, computed from the figures that the gate itself has judged."""

import math
from collections.abc import Callable
from typing import Final

from tidegate.bars.bars import iso
from tidegate.gates.result import GateResult, Verdict
from tidegate.statistics.proportions import wilson_interval
from tidegate.statistics.sharpe import needed_sharpe

_FAULT: Final = "is a fault and no matter of evidence: its cause has to be found and mended"
_CONFIDENCE_TAIL: Final = 0.05
_MANY_DAYS, _ENDLESS_DAYS = 3_650, 36_500
_NO_SMALL_CHANGE: Final = 100
_TOLD_WITHOUT_A_VALUE: Final = frozenset({"champion", "permuted_labels"})


def change(result: GateResult, least: int | None = None) -> str:
    """What it would take for a gate that did not pass to pass.

    Args:
        result: the gate's result.
        least: observations that the gate needs to judge at all, if it names a number.
    Returns:
        a sentence without its full stop, beginning with a verb; empty where the figures do not tell.
    """
    if result.verdict is Verdict.PASS:
        return ""
    if result.verdict is Verdict.NOT_ENOUGH_EVIDENCE and least is not None and result.n is not None:
        return f"needs {_count(least - result.n, 'more trade')} to be judged at all"
    if result.observed is None and result.name not in _TOLD_WITHOUT_A_VALUE:
        return ""
    try:
        return _CHANGES.get(result.name, _bound)(result) or _bound(result)
    except (ValueError, OverflowError, ZeroDivisionError):
        return ""  # figures that no arithmetic can take say nothing; the verdict stands whatever can be said about it


def _bound(result: GateResult) -> str:
    if result.observed is None or result.threshold is None:
        return ""
    words = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than", "==": "exactly"}
    return f"needs {words[result.comparison]} {result.threshold:.4g}, was {result.observed:.4g}"


def _of(result: GateResult, name: str) -> float:
    """A finite number of the evidence, NaN where there is none."""
    value = result.evidence.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else math.nan


def _days_more(days: float, times: float) -> str:
    """How many more days a record of `days` needs to become `times` as long; empty where that says nothing."""
    more = days * (times - 1.0)
    if not (math.isfinite(more) and 0 < more < _ENDLESS_DAYS):
        return ""
    return f"{math.ceil(more):,} more days" if more < _MANY_DAYS else f"{math.ceil(more / 365)} more years"


def _count(number: float, word: str) -> str:
    whole = math.ceil(number - 1e-9)
    return f"{whole:,} {word}{'' if whole == 1 else 's'}"


def _up(value: float) -> str:
    """To one decimal, upwards: what is named must be enough."""
    return f"{math.ceil(value * 10 - 1e-9) / 10:.1f}"


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _more_profit(times: float) -> str:
    if times > _NO_SMALL_CHANGE:
        return "profit of another kind"
    return f"{_percent(times - 1)} more profit" if times < 3 else f"{times:.1f} times the profit"


def _ratio_or_days(result: GateResult, needed: float, times: float) -> str:
    """A higher Sharpe ratio at this length, or a longer record at this ratio."""
    if not math.isfinite(needed):
        return ""
    longer = _days_more(_of(result, "days"), times)
    told = f"needs a Sharpe ratio of at least {_up(needed)} at this length"
    if _of(result, "sharpe") <= 0:
        return f"{told}; a longer record does not help a ratio that is not above zero"
    return f"{told}, or {longer} at the present one" if longer else told


def _skill(result: GateResult) -> str:
    level, error, ratio = result.threshold, _of(result, "standard_error"), _of(result, "sharpe")
    returns_at = _of(result, "budget_returns_at")
    if level is None or level <= 0:
        when = f" until {iso(int(returns_at))}" if math.isfinite(returns_at) else ""
        return f"needs error budget: other looks have spent the year's{when}"
    needed = needed_sharpe(error, level)
    told = _ratio_or_days(result, needed, (needed / ratio) ** 2 if ratio > 0 else math.inf)
    later = f"; from {iso(int(returns_at))} on a look has its whole share again" if math.isfinite(returns_at) else ""
    return told + later if told else ""


def _deflated(result: GateResult) -> str:
    benchmark, error = _of(result, "benchmark_sharpe"), _of(result, "standard_error")
    needed = benchmark + needed_sharpe(error, _CONFIDENCE_TAIL)
    if not math.isfinite(needed + _of(result, "trials")):
        return ""
    return f"needs a Sharpe ratio of at least {_up(needed)}: chance alone finds {benchmark:.1f} in {_of(result, 'trials'):,.0f} trials"


def _track_record(result: GateResult) -> str:
    if _of(result, "sharpe") <= 0:
        return "needs a Sharpe ratio above zero: no record is long enough without"
    longer = _days_more(_of(result, "days"), _of(result, "needed_days") / _of(result, "days"))
    return (
        f"needs {longer} at the present ratio"
        if longer
        else "needs a higher Sharpe ratio: at this one a lifetime is no proof"
    )


def _sharpe_lower(result: GateResult) -> str:
    ratio, low = _of(result, "sharpe"), result.observed
    if low is None or result.threshold is None:
        return ""
    needed = ratio + result.threshold - low
    return _ratio_or_days(result, needed, ((ratio - low) / ratio) ** 2 if ratio > 0 else math.inf)


def _wins(result: GateResult) -> str:
    if not result.n or result.observed is None or result.threshold is None:
        return ""
    won = round(result.observed * result.n)
    return f"needs {_count(result.threshold * result.n - won, 'more win')} among these {result.n:,} trades"


def _wins_over_break_even(result: GateResult) -> str:
    won, even = _of(result, "wins"), _of(result, "break_even")
    if not result.n or result.threshold is None or not math.isfinite(won + even):
        return ""
    wanted = next(
        (
            more
            for more in range(1, result.n - int(won) + 1)
            if _low(int(won) + more, result.n) - even > result.threshold
        ),
        None,
    )
    if wanted is None:
        return f"cannot pass with {_count(result.n, 'trade')} at this payoff ratio: needs more trades, or larger profits than losses"
    return f"needs {_count(wanted, 'more win')} among these {result.n:,} trades at this payoff ratio"


def _low(wins: int, n: int) -> float:
    return wilson_interval(wins, n)[0]


def _ratio(result: GateResult) -> str:
    if result.observed is None or result.threshold is None:
        return ""
    told = f"needs a Sharpe ratio of at least {_up(result.threshold)}"
    if result.observed <= 0:
        return f"{told}; at these costs there is no profit to build on"
    return f"{told}: {_more_profit(result.threshold / result.observed)} at the same risk"


def _stress(result: GateResult) -> str:
    gone = _of(result, "break_even_multiple")
    told = "needs a profit that is left at 1.5 times the costs"
    if math.isnan(gone):
        return told
    return f"{told}: it is gone at {gone:.2f} times" if gone > 0 else f"{told}: the trades lose even without costs"


def _drawdown(result: GateResult) -> str:
    if not result.observed or result.threshold is None:
        return ""
    share = math.floor(100 * result.threshold / result.observed)
    return f"needs a smaller fall: trades of {share} % of the size would have stayed below {_percent(result.threshold)}"


def _trades(result: GateResult) -> str:
    if result.observed is None or result.threshold is None:
        return ""
    missing, rate = result.threshold - result.observed, _of(result, "trades_per_day")
    days = f", about {_count(missing / rate, 'more day')} at the present rate" if rate > 0 else ""
    return f"needs {_count(missing, 'more trade')}{days}"


def _days(result: GateResult) -> str:
    if result.observed is None or result.threshold is None:
        return ""
    return f"needs {_count(result.threshold - result.observed, 'more day')} of bars in the training window"


def _folds(result: GateResult) -> str:
    if result.observed is None or result.threshold is None:
        return ""
    return f"needs {_count(result.threshold - result.observed, 'more whole test window')}: bars that reach further back, or time"


def _profit_factor(result: GateResult) -> str:
    if not result.observed or result.threshold is None:
        return ""
    return f"needs {_more_profit(result.threshold / result.observed)} for the same losses in such a market"


def _champion(result: GateResult) -> str:
    if result.observed is None:
        seen = result.reason.startswith("champion has seen")
        return (
            "needs a test window that the champion has not seen, as the next scheduled retraining has" if seen else ""
        )
    theirs = _of(result, "champion_sharpe")
    if result.threshold is None or not math.isfinite(theirs):
        return ""
    needed = theirs + result.threshold * max(abs(theirs), _of(result, "floor"))
    return f"needs a Sharpe ratio above {_up(max(needed, 0.0))} on this window, against {theirs:.1f} of the champion"


def _champion_difference(result: GateResult) -> str:
    error, found = _of(result, "standard_error"), _of(result, "difference")
    if result.threshold is None or not math.isfinite(error + found):
        return ""
    return (
        f"needs a Sharpe ratio about {_up(needed_sharpe(error, result.threshold))} above the champion's on this window, "
        f"was {found:.1f}"
    )


def _break_even(result: GateResult) -> str:
    if result.observed is None or result.threshold is None:
        return ""
    if result.observed <= 0:
        return "needs trades that earn something before costs"
    cheaper, more = math.floor(100 * result.observed / result.threshold), result.threshold / result.observed
    return f"needs costs of at most {cheaper} % of those paid, or {_more_profit(more)} before costs"


def _capacity(result: GateResult) -> str:
    carried = _of(result, "capacity")
    if not math.isfinite(carried) or not result.threshold:
        return ""
    if carried <= 0:
        return "needs trades that earn something before market impact"
    return f"needs a capital of at most {math.floor(carried / result.threshold):,}"


def _permuted(result: GateResult) -> str:
    if result.verdict is Verdict.NOT_ENOUGH_EVIDENCE:
        return "needs gates.permutations to be 19 or more"
    return "needs forecasts that models without any knowledge of the labels do not reach"


def _too_good(_result: GateResult) -> str:
    return "needs a person who has looked for a leak, and promotes it by hand"


def _random(result: GateResult) -> str:
    if result.observed is None or result.threshold is None:
        return ""
    return f"needs to earn more than {_percent(result.threshold)} of the strategies with random entries, and beats {_percent(result.observed)}"


def _overfitting(_result: GateResult) -> str:
    return "needs fewer candidates, or such whose lead lasts: entry margins and searched parameters are chosen among too many"


def _fault(_result: GateResult) -> str:
    return _FAULT


def _validation(_result: GateResult) -> str:
    return "needs bars without fatal findings; the data docs name each"


def _latency(_result: GateResult) -> str:
    return "needs a smaller model, or a machine that is faster or less busy"


_CHANGES: Final[dict[str, Callable[[GateResult], str]]] = {
    "min_train_days": _days,
    "recommended_train_days": _days,
    "validation_passed": _validation,
    "out_of_sample_folds": _folds,
    "win_rate": _wins,
    "sharpe": _ratio,
    "max_drawdown": _drawdown,
    "trades": _trades,
    "newest_fold_sharpe": _ratio,
    "newest_fold_trades": _trades,
    "regime_trending": _profit_factor,
    "regime_ranging": _profit_factor,
    "regime_volatile": _profit_factor,
    "too_good_win_rate": _too_good,
    "too_good_sharpe": _too_good,
    "engines_agree": _fault,
    "no_look_ahead": _fault,
    "onnx_parity": _fault,
    "serving_parity": _fault,
    "reproducible": _fault,
    "latency_p95_ms": _latency,
    "champion": _champion,
    "skill": _skill,
    "deflated_sharpe": _deflated,
    "track_record": _track_record,
    "sharpe_lower": _sharpe_lower,
    "win_rate_lower": _wins_over_break_even,
    "overfitting": _overfitting,
    "cost_stress": _stress,
    "break_even_cost": _break_even,
    "capacity": _capacity,
    "random_entries": _random,
    "permuted_labels": _permuted,
    "champion_difference": _champion_difference,
}
