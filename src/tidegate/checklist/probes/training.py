"""Whether the version was trained on enough data, tested out of sample, and met the list's targets."""

import math
from collections.abc import Callable, Mapping
from typing import Final

from tidegate.bars.bars import iso
from tidegate.checklist.context import DAY_MS, Context, Produced
from tidegate.checklist.finding import Finding, NotMeasured, failed, judged, passed
from tidegate.checklist.probe import Probe
from tidegate.gates.result import Verdict
from tidegate.report import formats

LEAST_DAYS, RECOMMENDED_DAYS = 60, 90
WIN_RATE: Final = (0.58, 0.62)
SHARPE: Final = (1.5, 2.0)
LATENCY_MS: Final = 10.0
DRAWDOWN: Final = 0.15
REGIMES: Final = ("trending", "ranging", "volatile")


def days(context: Context) -> Finding:
    """The newest fold's training window is at least 60 days long."""
    found = context.produced
    window = found.manifest.windows[-1].train
    length = (window.end_at - window.start_at) / DAY_MS
    told = "as recommended" if length >= RECOMMENDED_DAYS else f"{RECOMMENDED_DAYS} are recommended"
    evidence = (
        f"v{found.version}: {length:.1f} days from {iso(window.start_at)[:10]} to {iso(window.end_at)[:10]}, {told}"
    )
    return judged(length >= LEAST_DAYS, evidence, context.link(found.version))


def out_of_sample(context: Context) -> Finding:
    """There are test windows, none begins before its training has ended, and the look-ahead test passed."""
    found = context.produced
    early = [one for one in found.manifest.windows if one.test.start_at < one.train.end_at]
    folds, leak = found.gate("out_of_sample_folds"), found.gate("no_look_ahead")
    gates = _are_passed(found, "out_of_sample_folds", "no_look_ahead")
    evidence = (
        f"v{found.version}: {len(found.manifest.windows)} test windows, {len(early)} begin within their training; "
        f"out_of_sample_folds {_word(folds)}, no_look_ahead {_word(leak)}"
    )
    return judged(bool(found.manifest.windows) and not early and gates, evidence, context.link(found.version))


def win_rate(context: Context) -> Finding:
    """The pooled win rate is in the target; above it, only where that is not too good to be true."""
    return _within(context, "win_rate", WIN_RATE, formats.percent, "too_good_win_rate")


def sharpe(context: Context) -> Finding:
    """The pooled Sharpe ratio is in the target; above it, only where that is not too good to be true."""
    return _within(context, "sharpe", SHARPE, formats.decimal, "too_good_sharpe")


def latency(context: Context) -> Finding:
    """The p95 that the gate measured through the serving package is under 10 ms."""
    found = context.produced
    observed = None if (gate := found.gate("latency_p95_ms")) is None else gate.observed
    holds = observed is not None and math.isfinite(observed) and 0 <= observed < LATENCY_MS
    told = "not on record" if observed is None else f"{observed:.3f} ms"
    return judged(holds, f"v{found.version}: p95 {told}, < 10 ms is asked", context.link(found.version))


def drawdown(context: Context) -> Finding:
    """The maximum drawdown is under 15 % over all test windows, and so is what the gate judged: the worst test window counts there as well."""
    found = context.produced
    gate = found.gate("max_drawdown")
    pooled, worst = found.manifest.out_of_sample.get("max_drawdown"), None if gate is None else gate.observed
    holds = all(value is not None and math.isfinite(value) and 0 <= value < DRAWDOWN for value in (pooled, worst))
    told = (
        f"v{found.version}: {formats.percent(pooled)} over all test windows, {formats.percent(worst)} with the worst of them, < 15 % is asked; "
        f"max_drawdown {_word(gate)}"
    )
    return judged(holds and _are_passed(found, "max_drawdown"), told, context.link(found.version))


def costs(context: Context) -> Finding:
    """The backtest paid costs, and two engines agree on what came of it."""
    found = context.produced
    paid = {
        name: value for name, value in found.manifest.costs.items() if isinstance(value, (int, float)) and value > 0
    }
    gates = _are_passed(found, "costs_above_zero", "engines_agree")
    told = ", ".join(f"{name} {value:g}" for name, value in sorted(paid.items())) or "none"
    evidence = f"v{found.version}: costs {told}; costs_above_zero {_word(found.gate('costs_above_zero'))}, engines_agree {_word(found.gate('engines_agree'))}"
    return judged(bool(paid) and gates, evidence, context.link(found.version))


def regimes(context: Context) -> Finding:
    """It was tested in each of the three kinds of market."""
    found = context.produced
    results = {name: found.gate(f"regime_{name}") for name in REGIMES}
    told = "; ".join(
        f"{name} {_word(one)}"
        + ("" if one is None else f" (profit factor {formats.decimal(one.observed)}, {one.n} trades)")
        for name, one in results.items()
    )
    evidence = f"v{found.version}: {told}"
    verdicts = [None if one is None else one.verdict for one in results.values()]
    if Verdict.FAIL in verdicts or None in verdicts:
        return failed(evidence, context.link(found.version))
    if Verdict.NOT_ENOUGH_EVIDENCE in verdicts:
        raise NotMeasured(f"{evidence}: too few trades in one of them")
    return passed(evidence, context.link(found.version))


def _within(
    context: Context, name: str, target: tuple[float, float], told: Callable[[float | None], str], too_good: str
) -> Finding:
    found = context.produced
    value = found.manifest.out_of_sample.get(name)
    low, high = target
    evidence = f"v{found.version}: {told(value)} over all test windows, {told(low)} to {told(high)} is asked"
    if value is None or not math.isfinite(value) or value < low:
        return failed(evidence, context.link(found.version))
    if value > high:
        gate = found.gate(too_good)
        evidence += f"; above it, and the gate {too_good} says {_word(gate)}"
        return judged(_are_passed(found, too_good), evidence, context.link(found.version))
    return passed(evidence, context.link(found.version))


def _are_passed(found: Produced, *names: str) -> bool:
    results = [found.gate(name) for name in names]
    return all(one is not None and one.verdict is Verdict.PASS for one in results)


def _word(gate: object) -> str:
    verdict = getattr(gate, "verdict", None)
    return "not on record" if verdict is None else str(verdict).replace("_", " ")


PROBES: Final[Mapping[str, Probe]] = {
    "training.days": days,
    "training.out_of_sample": out_of_sample,
    "training.win_rate": win_rate,
    "training.sharpe": sharpe,
    "training.latency": latency,
    "training.drawdown": drawdown,
    "training.costs": costs,
    "training.regimes": regimes,
}
