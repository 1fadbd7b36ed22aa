"""Whether each decision was right, by what came after it. Known only at the end, so kept out of the months until then.

| decision | right when |
|---|---|
| promotion | the version earned more, until it left production, than what would have stood in its place: the one before it, or nothing |
| refusal | the model that was refused would have earned no more over the next month than the path did |
| rollback, halt | the version that was left would have earned less than the path did, until the next promotion or its own expiry |

A version is followed alone: flat at first, closed at the end of the span, at the strategy's costs. A difference no larger than the cost of one
round trip of the capital, with the impact it would have had at the time of the decision, is `undecided`; so is one of zero where trading is free.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from tidegate.backtest.costs import BPS, IMPACT_BARS, side_rates
from tidegate.backtest.result import Floats, Times
from tidegate.replay.market import Market
from tidegate.replay.result import Act, DecisionKind, Hindsight, Judgement, MonthRecord
from tidegate.replay.trading import enter, trade
from tidegate.replay.trained import TrainedMonth

_ROUNDING: Final = 1e-12  # of sums over the same bars in another order; it would decide where trading is free


class Hindsights:
    """Judges the decisions of paths; what a version would have earned is computed once for all of them.

    Args:
        market: bars and answers.
        versions: by number.
        end_ms: UTC ms of the replay's end, beyond which nothing is known.
    """

    def __init__(self, market: Market, versions: Mapping[int, TrainedMonth], end_ms: int) -> None:
        self._market = market
        self._versions = versions
        self._end_ms = end_ms
        self._alone: dict[tuple[int, int, int], float] = {}

    def judge(self, months: Sequence[MonthRecord], closed_at: Times, net_return: Floats) -> tuple[MonthRecord, ...]:
        """The same months with what hindsight says of their decisions.

        Args:
            months: of one path with gates, oldest first.
            closed_at: (n,) closes of the path's bars.
            net_return: (n,) its net returns.
        """
        acts = [act for month in months for act in month.acts]
        promoted_at = [month.as_of_ms for month in months if month.outcome == "promoted"]
        found = []
        for month in months:
            told = [self._of_month(month, acts, promoted_at, closed_at, net_return)]
            told += [
                self._of_act(act, promoted_at, closed_at, net_return) for act in month.acts if act.kind != "expiry"
            ]
            found.append(replace(month, hindsight=tuple(each for each in told if each is not None)))
        return tuple(found)

    def _of_month(
        self, month: MonthRecord, acts: Sequence[Act], promoted_at: Sequence[int], closed_at: Times, net: Floats
    ) -> Hindsight | None:
        start, version = month.as_of_ms, month.version
        if version is None:
            return None
        if month.outcome == "promoted":
            leaving = [at for at in promoted_at if at > start]
            leaving += [act.at_ms for act in acts if act.from_version == version and act.at_ms > start]
            end = min([*leaving, self._end_ms])
            difference = self.alone(version, start, end) - self.alone(month.production_before, start, end)
            return self._told("promotion", version, start, end, difference)
        if month.outcome == "refused":
            end = month.live.end_ms
            earned = float(net[(closed_at > start) & (closed_at <= end)].sum())
            return self._told("refusal", version, start, end, earned - self.alone(version, start, end))
        return None

    def _of_act(self, act: Act, promoted_at: Sequence[int], closed_at: Times, net: Floats) -> Hindsight | None:
        if act.from_version is None:
            return None
        expires_at = self._versions[act.from_version].bundle.manifest.expires_at
        # A promotion at that moment came after the act, and left nothing to be compared.
        end = min([*(at for at in promoted_at if at >= act.at_ms), expires_at, self._end_ms])
        earned = float(net[(closed_at > act.at_ms) & (closed_at <= end)].sum())
        difference = earned - self.alone(act.from_version, act.at_ms, end)
        return self._told("rollback", act.from_version, act.at_ms, end, difference)

    def alone(self, version: int | None, start_ms: int, end_ms: int) -> float:
        """What a version earns over a span by itself, until it expires; nothing where there is none."""
        if version is None:
            return 0.0
        bundle = self._versions[version].bundle
        end_ms = min(end_ms, bundle.manifest.expires_at)
        key = version, start_ms, end_ms
        if end_ms <= start_ms:
            return 0.0
        if key not in self._alone:
            stint = enter(version, start_ms, self._market.strategy)
            traded, _ = trade(self._market, bundle, stint, start_ms, end_ms, leaves=True)
            self._alone[key] = traded.total
        return self._alone[key]

    def _told(self, decision: DecisionKind, version: int, at_ms: int, end_ms: int, difference: float) -> Hindsight:
        judgement: Judgement = "undecided"
        if abs(difference) > max(self._round_trip(at_ms), _ROUNDING) and np.isfinite(difference):
            judgement = "right" if difference > 0 else "wrong"
        return Hindsight(decision, version, at_ms, end_ms, judgement, difference)

    def _round_trip(self, at_ms: int) -> float:
        """What buying and selling with all of the capital costs, over the capital, with the impact of orders at a time."""
        strategy = self._market.strategy
        without = 2.0 * strategy.costs.side_bps * BPS
        if strategy.costs.impact_coefficient == 0:
            return without
        share, rates = strategy.capital / len(strategy.symbols), []
        for symbol in strategy.symbols:
            bars = self._market.before(symbol, at_ms, IMPACT_BARS)
            rows = np.array([len(bars)] if len(bars) else [], np.intp)
            rates.append(side_rates(bars, rows, share / bars.close[rows - 1], strategy.costs).sum())
        return max(2.0 * float(np.mean(rates)), without)
