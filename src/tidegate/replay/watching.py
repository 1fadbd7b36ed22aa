"""The daily look at a version in production, by the rules that may roll back.

Rules that only alert change nothing that a replay follows, so they are not judged. Latency, errors, crashes and what bots say do not exist in
history; drift is left out, and a strategy that rolls back for it is refused before the start.
"""

import math
from collections.abc import Sequence

import numpy as np

from tidegate.backtest.ratios import sharpe
from tidegate.backtest.result import Floats, Times
from tidegate.bars.interval import DAY_MS
from tidegate.model.bundle import Bundle
from tidegate.monitoring import sequential
from tidegate.pipeline.monitor_figures import dispersion_of
from tidegate.replay.market import Market
from tidegate.replay.trading import Stint
from tidegate.rollback import rules
from tidegate.rollback.finding import Finding
from tidegate.strategy.strategy import Strategy


class Watch:
    """Judges versions day by day, each by the test that was laid down when it entered production.

    Args:
        market: for the dispersion of a portfolio's wins.
        strategy: with the path's own rules.
    """

    def __init__(self, market: Market, strategy: Strategy) -> None:
        self._market = market
        self._strategy = strategy
        self._designs: dict[str, sequential.Design] = {}

    @property
    def looks_at_returns(self) -> bool:
        """Whether a rule looks at more than closed trades."""
        return self._strategy.rollback.sharpe_action == "roll_back"

    def days(self, start_ms: int, end_ms: int) -> range:
        """UTC ms of each midnight after `start_ms` and up to `end_ms`."""
        return range((start_ms // DAY_MS + 1) * DAY_MS, end_ms + 1, DAY_MS)

    def findings(
        self, bundle: Bundle, stint: Stint, as_of: int, closed_at: Times, net_return: Floats
    ) -> tuple[Finding, ...]:
        """What the rules that may roll back say.

        Args:
            bundle: of the version.
            stint: its trades; those that were closed at `as_of` or later are not looked at, see `closed_before`.
            as_of: UTC ms.
            closed_at: (n,) closes of the path's bars since the stint began, or since the Sharpe ratio's window.
            net_return: (n,) the path's net returns there.
        """
        bounds = self._strategy.rollback
        exits, won = closed_before(stint, as_of)
        found = []
        if bounds.sequential_action == "roll_back":
            test = sequential.test(self.design(bundle), stint.version, won)
            found.append(rules.sequential(test, bounds, exit_at=exits))
        if bounds.win_rate_action == "roll_back":
            found.append(rules.win_rate(won, exits, as_of, bounds))
        if bounds.sharpe_action == "roll_back":
            found.append(self._sharpe(stint, as_of, exits, closed_at, net_return))
        return tuple(found)

    def design(self, bundle: Bundle) -> sequential.Design:
        """The sequential test of a version."""
        if bundle.digest not in self._designs:
            strategy = self._strategy
            days = strategy.periods_per_year * strategy.bar.milliseconds / DAY_MS
            self._designs[bundle.digest] = sequential.design(
                bundle.manifest.out_of_sample,
                strategy.monitor.yearly_false_alarms,
                days_per_year=days,
                dispersion=self._dispersion(bundle),
            )
        return self._designs[bundle.digest]

    def _dispersion(self, bundle: Bundle) -> float:
        if len(self._strategy.symbols) == 1:
            return 1.0
        window, lookback = bundle.manifest.windows[-1].test, bundle.manifest.lookback
        bars = {}
        for symbol in self._strategy.symbols:
            lead = self._market.before(symbol, window.start_at, lookback)
            start = int(lead.opened_at[0]) if len(lead) else window.start_at
            bars[symbol] = self._market.span(symbol, start, window.end_at)
        return dispersion_of(self._strategy, bars, bundle)

    def _sharpe(self, stint: Stint, as_of: int, exits: Times, closed_at: Times, net_return: Floats) -> Finding:
        bounds, start = self._strategy.rollback, max(stint.start_ms, as_of - self._window_ms)
        inside = (closed_at > start) & (closed_at <= as_of)
        trades = int((exits > start).sum())
        ratio = sharpe(net_return[inside], self._strategy.periods_per_year) if trades else math.nan
        days = (as_of - stint.start_ms) / DAY_MS
        return rules.sharpe(ratio, trades=trades, days=days, since=as_of - self._window_ms, rules=bounds)

    @property
    def _window_ms(self) -> int:
        return self._strategy.rollback.sharpe_window_days * DAY_MS


def closed_before(stint: Stint, as_of: int) -> tuple[Times, Floats]:
    """Exits of the trades that were closed before a moment, and whether each won.

    A trade that is closed at that very moment is filled at the open of the bar that begins then. A version that leaves at that moment
    never makes this fill: it is closed at the last close. So no rule may know of it.
    """
    exits = np.asarray(stint.exit_at, np.int64)
    known = exits < as_of
    return exits[known], np.asarray(stint.won, np.float64)[known]


def asks(findings: Sequence[Finding]) -> bool:
    """Whether any rule asks for a rollback."""
    return any(finding.verdict == "fired" and finding.action == "roll_back" for finding in findings)
