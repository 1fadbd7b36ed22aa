"""Champion against challenger, on the part of the newest test window that neither has seen."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tidegate.backtest.metrics import summarise
from tidegate.backtest.portfolio import combine
from tidegate.backtest.regimes import RegimeDefinition, classify
from tidegate.backtest.result import Backtest
from tidegate.bars.bars import Bars, iso
from tidegate.bars.interval import DAY_MS
from tidegate.dataset.windows import Window
from tidegate.features.features import from_specs, usable
from tidegate.gates.evaluation import Measurement
from tidegate.gates.result import Verdict
from tidegate.model.bundle import Bundle
from tidegate.model.onnx_model import OnnxModel
from tidegate.pipeline.evidence import beats_champion
from tidegate.pipeline.fold import Tested, backtest_window
from tidegate.report.record import ContestRecord
from tidegate.strategy.strategy import Strategy


@dataclass(frozen=True, slots=True, eq=False)
class Champion:
    """The model in production when the contest is held."""

    version: int
    bundle: Bundle


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """The outcome: measurements for both gates, a record for the report, and both backtests where it was held."""

    measurement: Measurement
    difference: Measurement
    record: ContestRecord
    challenger: Backtest | None = None
    champion: Backtest | None = None


def hold_contest(bars: Sequence[Bars], challenger: Bundle, champion: Champion | None, strategy: Strategy) -> Contest:
    """Compare annual Sharpe ratios net of costs over one window.

    Both sides are what their bundles say: features, model, policy. A side that did not trade has earned nothing and counts as zero.

    Args:
        bars: one series a symbol, with the challenger's newest test window and what both sides' features look back on before it.
        challenger: the newest fold's model.
        champion: the model in production, None for the first model.
        strategy: costs and gate policy.
    """
    if champion is None:
        reason = "first model: there is no champion"
        first = Measurement(None, ruling=Verdict.PASS, reason=reason)
        return Contest(first, first, ContestRecord(None, reason))
    test, regimes = challenger.manifest.windows[-1].test, challenger.manifest.regimes
    fault = _cannot_compare(champion, test, strategy)
    if fault:
        measurement = Measurement(
            None, ruling=Verdict.FAIL, reason=fault, evidence={"champion_version": champion.version}
        )
        return Contest(measurement, measurement, ContestRecord(champion.version, fault))
    window = Window(start_at=max(test.start_at, champion.bundle.manifest.last_seen_at), end_at=test.end_at)
    definitions = {symbol: RegimeDefinition.model_validate(regime) for symbol, regime in regimes.items()}
    own, theirs = (_backtest(bars, side, window, definitions, strategy) for side in (challenger, champion.bundle))
    return _judge(own, theirs, champion.version, window, strategy)


def improvement(challenger: float, champion: float, floor: float) -> float:
    """Relative improvement of one Sharpe ratio on another: (challenger - champion) / max(|champion|, floor).

    Args:
        challenger: annual Sharpe ratio.
        champion: annual Sharpe ratio over the same window.
        floor: least denominator, > 0: the rule near zero, where a relative difference means nothing.
    Returns:
        dimensionless; NaN where a ratio is NaN, which no gate lets pass.
    """
    return (challenger - champion) / max(abs(champion), floor)


def _judge(own: Backtest, theirs: Backtest, version: int, window: Window, strategy: Strategy) -> Contest:
    ours, others = (summarise(side, strategy.periods_per_year) for side in (own, theirs))
    ours_sharpe, others_sharpe = (_sharpe(side, metrics) for side, metrics in ((own, ours), (theirs, others)))
    reason = f"Sharpe {ours_sharpe:.2f} against {others_sharpe:.2f} of v{version} from {iso(window.start_at)} to {iso(window.end_at)}"
    earned = ours_sharpe > 0
    measurement = Measurement(
        improvement(ours_sharpe, others_sharpe, strategy.gates.champion_floor),
        n=len(own),
        # Losing less than a bad champion, or doing nothing beside it, is no reason to be promoted.
        ruling=None if earned or not math.isfinite(ours_sharpe) else Verdict.FAIL,
        reason=reason if earned else f"{reason}: a challenger that earned nothing replaces nobody",
        evidence={
            "champion_version": version,
            "challenger_sharpe": ours_sharpe,
            "champion_sharpe": others_sharpe,
            "challenger_trades": len(own.trades),
            "champion_trades": len(theirs.trades),
            "floor": strategy.gates.champion_floor,
            "window": f"{iso(window.start_at)} to {iso(window.end_at)}",
        },
    )
    record = ContestRecord(
        champion_version=version,
        reason=reason,
        closed_at=own.closed_at,
        challenger_equity=own.equity,
        champion_equity=theirs.equity,
        challenger_metrics=ours,
        champion_metrics=others,
    )
    return Contest(measurement, beats_champion(own, theirs, strategy), record, own, theirs)


def _cannot_compare(champion: Champion, test: Window, strategy: Strategy) -> str:
    manifest = champion.bundle.manifest
    if (manifest.symbols, manifest.interval, manifest.kind) != (strategy.symbols, strategy.interval, strategy.kind):
        return f"champion v{champion.version} is for {', '.join(manifest.symbols)} {manifest.interval}, not comparable"
    unseen_days = (test.end_at - max(test.start_at, manifest.last_seen_at)) / DAY_MS
    if unseen_days < strategy.gates.champion_min_days:
        return (
            f"champion has seen this window: v{champion.version} knows bars until {iso(manifest.last_seen_at)}, "
            f"{max(unseen_days, 0):.1f} unseen days are left of {strategy.gates.champion_min_days} wanted (gates.champion_min_days)"
        )
    return ""


def _backtest(
    bars: Sequence[Bars], side: Bundle, window: Window, regimes: Mapping[str, RegimeDefinition], strategy: Strategy
) -> Backtest:
    features, policy = from_specs(side.manifest.features), side.manifest.policy
    model = OnnxModel(side.onnx, len(features.names))
    tested: dict[str, Tested] = {}
    for series in bars:
        known = series.until(window.end_at)
        inside = len(known) - len(known.between(window.start_at, window.end_at))
        history = known.take(slice(max(0, inside - features.lookback + 1), len(known)))
        matrix = features.matrix(history)[len(history) - (len(known) - inside) :]
        probability = np.full(len(matrix), np.nan)
        complete = usable(matrix)
        if complete.any():
            probability[complete] = model.probability(matrix[complete])
        regime = classify(known, regimes[series.symbol])[inside:]
        tested[series.symbol] = backtest_window(
            known.take(slice(inside, len(known))), probability, policy, regime, strategy, len(bars)
        )
    return combine({symbol: test.backtest for symbol, test in tested.items()})


def _sharpe(side: Backtest, metrics: dict[str, float]) -> float:
    return metrics["sharpe"] if len(side.trades) else 0.0
