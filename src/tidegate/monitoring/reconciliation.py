"""From the backtest's promise to what was earned live, cause by cause.

Each step changes one thing and runs the same engine on the same bars: what the backtest promises for as many bars; the same model recomputed
on the stored bars; the logged probabilities in its place; only those, with what the bot does without an answer; the logged targets; the costs
that the bot paid. The differences between neighbours are the causes, so they sum to the whole difference, whatever the order hides between
them: an effect belongs to the first step that shows it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tidegate.backtest.costs import BPS
from tidegate.backtest.positions import decide
from tidegate.backtest.result import Floats, Sides, Trades
from tidegate.backtest.vectorbt_engine import run
from tidegate.bars.bars import Bars
from tidegate.bars.interval import DAY_MS
from tidegate.features.features import from_specs, usable
from tidegate.model.bundle import Bundle
from tidegate.model.onnx_model import OnnxModel
from tidegate.monitoring.fills import cost_bps
from tidegate.monitoring.outcomes import Timeline, replay
from tidegate.monitoring.predictions import NO_VERSION, Mask
from tidegate.monitoring.result import Cause, Reconciliation
from tidegate.strategy.strategy import Strategy

CHUNK_ROWS = 65_536
_LEAST_BARS = 2


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """Return over the capital of each step, and what tells about the differences."""

    recomputed: float
    logged_first: float
    logged_only: float
    targets: float
    turnover: float
    cost: float
    trades: int
    largest_difference: float
    missing_bars: int
    changed_targets: int


def reconcile(
    version: int,
    bundle: Bundle,
    known: Mapping[str, Bars],
    lines: Mapping[str, Timeline],
    strategy: Strategy,
    fills: Trades | None,
) -> Reconciliation | None:
    """Reconcile one version over the bars since no other version answered any more, starting flat.

    Args:
        version: the newest in production.
        bundle: its bundle.
        known: by symbol, all bars with those that features look back on.
        lines: by symbol, what production answered.
        strategy: costs, capital, what the bot does without an answer.
        fills: of the bot, those entered in these bars are compared; None or none: assumed costs count as paid.
    Returns:
        None where the version answered fewer than two bars, others answer beside it to the end, or the manifest promises no return.
    """
    mean = bundle.manifest.out_of_sample.get("annual_return")
    start = _start(version, lines)
    if start is None or mean is None or not math.isfinite(mean):
        return None
    own = {symbol: line.from_row(int(np.searchsorted(line.bars.closed_at, start))) for symbol, line in lines.items()}
    times = np.unique(np.concatenate([line.bars.closed_at for line in own.values()]))
    if len(times) < _LEAST_BARS or not all(len(line.bars) for line in own.values()):
        return None
    parts = [_steps(known[symbol], line, bundle, strategy, len(own)) for symbol, line in own.items()]
    share = 1.0 / len(parts)

    def mean_of(name: str) -> float:
        return math.fsum(getattr(part, name) for part in parts) * share

    promised = mean / strategy.periods_per_year * len(times)
    recomputed, first, only, targets = map(mean_of, ("recomputed", "logged_first", "logged_only", "targets"))
    turnover, cost = mean_of("turnover"), mean_of("cost")
    assumed = cost / turnover / BPS if turnover > 0 else strategy.costs.side_bps
    inside = _entered_since(fills, start)
    paid = float("nan") if inside is None else cost_bps(inside)
    dearer = -(paid - assumed) * BPS * turnover if math.isfinite(paid) else 0.0
    causes = (
        Cause("market", recomputed - promised, _market(recomputed, promised)),
        Cause("skew", first - recomputed, _skew(parts)),
        Cause("missing", only - first, _missing(parts, strategy)),
        Cause("positions", targets - only, _positions(parts)),
        Cause("costs", dearer, _costs(paid, assumed, inside, sum(part.trades for part in parts))),
    )
    return Reconciliation(
        version=version,
        days=len(times) * strategy.bar.milliseconds / DAY_MS,
        promised=promised,
        live=targets + dearer,
        causes=causes,
        largest_probability_difference=max(
            (part.largest_difference for part in parts if math.isfinite(part.largest_difference)), default=float("nan")
        ),
        cost_bps_paid=paid,
        cost_bps_assumed=assumed,
    )


def recompute(known: Bars, part: Bars, bundle: Bundle) -> Floats:
    """(n,) probabilities of a bundle's model at the newest n bars, NaN where a feature is not finite; as the backtest computes them.

    Args:
        known: the same bars and those that features look back on.
        part: n of them in a row.
        bundle: the model.
    """
    features = from_specs(bundle.manifest.features)
    model = OnnxModel(bundle.onnx, len(features.names))
    first = int(np.searchsorted(known.opened_at, part.opened_at[0]))
    probability = np.full(len(part), np.nan)
    for at in range(0, len(part), CHUNK_ROWS):
        rows = slice(first + at, min(first + at + CHUNK_ROWS, first + len(part)))
        history = known.take(slice(max(0, rows.start - features.lookback + 1), rows.stop))
        matrix = features.matrix(history)[len(history) - (rows.stop - rows.start) :]
        finite = usable(matrix)
        if finite.any():
            probability[at : at + len(matrix)][finite] = model.probability(matrix[finite])
    return probability


def _start(version: int, lines: Mapping[str, Timeline]) -> int | None:
    """Close of the first bar that the version answered or abstained at after the last bar of any other version."""
    others = [line.bars.closed_at[(line.version != version) & (line.version != NO_VERSION)] for line in lines.values()]
    behind = max((int(times[-1]) for times in others if len(times)), default=-1)
    own = [line.bars.closed_at[(line.version == version) & (line.bars.closed_at > behind)] for line in lines.values()]
    return min((int(times[0]) for times in own if len(times)), default=None)


def _steps(known: Bars, line: Timeline, bundle: Bundle, strategy: Strategy, symbols: int) -> _Steps:
    bars, policy = line.bars, bundle.manifest.policy
    capital = strategy.capital / symbols
    regime = np.zeros(len(bars), dtype=np.int8)
    hold = strategy.monitor.without_answer == "hold"
    recomputed = recompute(known, bars, bundle)
    logged: Mask = line.answered & np.isfinite(line.probability)
    mixed = np.where(logged, line.probability, recomputed)
    targets: dict[str, Sides] = {
        "recomputed": decide(recomputed, bars.close, bars.open, policy),
        "logged_first": decide(mixed, bars.close, bars.open, policy),
        "logged_only": replay(line.probability, logged, bars, policy, hold=hold),
        "targets": line.target,
    }
    earned: dict[str, float] = {}
    last = None
    for name, target in targets.items():
        last = run(bars, target, strategy.costs, capital, regime)
        earned[name] = math.fsum(last.net_return)
    assert last is not None
    both = logged & np.isfinite(recomputed)
    return _Steps(
        **earned,
        turnover=float(last.turnover.sum()),
        cost=float(last.cost.sum()),
        trades=len(last.trades),
        largest_difference=float(np.max(np.abs(line.probability - recomputed)[both])) if both.any() else float("nan"),
        missing_bars=int(np.count_nonzero(~logged)),
        changed_targets=int(np.count_nonzero(targets["logged_only"] != line.target)),
    )


def _entered_since(fills: Trades | None, start: int) -> Trades | None:
    if fills is None:
        return None
    inside = fills.take(fills.entry_at >= start)
    return inside if len(inside) else None


def _market(recomputed: float, promised: float) -> str:
    word = "less" if recomputed < promised else "more"
    return (
        f"the same model on these bars earns {word} than the backtest's mean: {recomputed:.4f} against {promised:.4f}"
    )


def _skew(parts: list[_Steps]) -> str:
    differences = [part.largest_difference for part in parts if math.isfinite(part.largest_difference)]
    if not differences:
        return "no logged probability could be recomputed from the stored bars"
    if max(differences) == 0.0:
        return "logged probabilities equal those recomputed from the stored bars"
    return f"logged probabilities differ from those recomputed from the stored bars, by up to {max(differences):.3g}"


def _missing(parts: list[_Steps], strategy: Strategy) -> str:
    missing = sum(part.missing_bars for part in parts)
    act = "held its position" if strategy.monitor.without_answer == "hold" else "was flat"
    return f"{missing} bars without an answer, where the bot {act}" if missing else "every bar was answered"


def _positions(parts: list[_Steps]) -> str:
    changed = sum(part.changed_targets for part in parts)
    if not changed:
        return "targets are what the position policy makes of the probabilities"
    return f"{changed} targets are not what the position policy makes of the probabilities from flat"


def _costs(paid: float, assumed: float, fills: Trades | None, trades: int) -> str:
    if fills is None or not math.isfinite(paid):
        return f"no fills of the bot: {assumed:.2f} bps a side are assumed, as the strategy file says"
    return f"{paid:.2f} bps a side paid in {len(fills)} round trips, {assumed:.2f} assumed in {trades}"
