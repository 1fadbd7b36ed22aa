"""What a version earns while it is in production: from flat, at the strategy's costs, until it leaves and its position is closed.

Bars are traded month by month. Nothing is computed twice but what is still held: once a version has been flat, with nothing decided, what it
does next depends on no earlier bar. At the end of a month an open position stays, valued at the last close.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from tidegate.backtest.costs import IMPACT_BARS, side_rates
from tidegate.backtest.positions import decide
from tidegate.backtest.result import Backtest, Floats, Times, Trades
from tidegate.backtest.vectorbt_engine import run
from tidegate.bars.bars import Bars
from tidegate.model.bundle import Bundle
from tidegate.replay.market import Market
from tidegate.strategy.strategy import Strategy

_NO_TRADES: Final = Trades.empty()


@dataclass(frozen=True, slots=True)
class Stint:
    """One version in production without interruption.

    Attributes:
        version: its number.
        start_ms: UTC ms since when it trades, flat at first.
        open_from_ms: by symbol, UTC ms of the first bar that has to be looked at to know what is held now.
        exit_at: UTC ms at which each of its trades was closed, in order.
        won: whether each made a profit net of costs.
    """

    version: int
    start_ms: int
    open_from_ms: Mapping[str, int]
    exit_at: tuple[int, ...] = ()
    won: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Traded:
    """What was earned over n bars.

    Attributes:
        closed_at: (n,) UTC ms, closes of the bars of all symbols, ascending.
        net_return, cost: (n,) over the capital, in the bar.
        position: (n,) mean over the symbols of the absolute side held.
        trades: closed in these bars, in order of exit.
        owed: cost of closing, over the capital, where there was no bar to bear it; the next bar does, see `join`.
    """

    closed_at: Times
    net_return: Floats
    cost: Floats
    position: Floats
    trades: Trades = field(default_factory=lambda: _NO_TRADES)
    owed: float = 0.0

    @property
    def total(self) -> float:
        """Net profit over the capital."""
        return float(self.net_return.sum()) - self.owed


@dataclass(frozen=True, slots=True, eq=False)
class _Series:
    """One symbol's run: `exit_cost` is what closing at the end costs, in money; zero where nothing is held."""

    bars: Bars
    backtest: Backtest
    exit_cost: float
    open_from_ms: int


def enter(version: int, start_ms: int, strategy: Strategy) -> Stint:
    """A version that begins to trade, flat."""
    return Stint(version, start_ms, dict.fromkeys(strategy.symbols, start_ms))


def trade(
    market: Market, bundle: Bundle, stint: Stint, start_ms: int, end_ms: int, *, leaves: bool
) -> tuple[Traded, Stint]:
    """Trade the bars that opened from `start_ms` on and before `end_ms`.

    Args:
        market: bars and the model's answers.
        bundle: of the version; its policy decides.
        stint: up to `start_ms`.
        start_ms: UTC ms; earlier bars are settled.
        end_ms: UTC ms.
        leaves: whether the version leaves production then: its position is closed at the last close, with costs. Where the span has no
            bar of the symbol, that close lies before it, and the span's first bar of any symbol bears the cost.
    Returns:
        what was earned, and the stint up to `end_ms`.
    """
    strategy = market.strategy
    runs = {symbol: _run(market, bundle, symbol, stint, end_ms) for symbol in strategy.symbols}
    traded = _put_together(market, runs, start_ms, end_ms, leaves=leaves)
    closed = traded.trades
    moved = replace(
        stint,
        open_from_ms={
            symbol: stint.open_from_ms[symbol] if found is None else found.open_from_ms
            for symbol, found in runs.items()
        },
        exit_at=stint.exit_at + tuple(closed.exit_at.tolist()),
        won=stint.won + tuple((closed.net_pnl > 0).tolist()),
    )
    return traded, moved


def close(market: Market, bundle: Bundle, stint: Stint, at_ms: int) -> tuple[float, Trades]:
    """What closing at a month's first moment costs, over the capital, and the trades that it ends.

    The profit until then is in the month before, so the cost alone is the new month's.
    """
    cost, ended = 0.0, []
    for symbol in market.strategy.symbols:
        found = _run(market, bundle, symbol, stint, at_ms)
        if found is not None:
            cost += found.exit_cost
            trades = found.backtest.trades
            ended.append(trades.take(trades.forced_exit))
    return cost / market.strategy.capital, Trades.concatenate(ended)


def idle(market: Market, start_ms: int, end_ms: int) -> Traded:
    """Nothing traded."""
    return _put_together(market, dict.fromkeys(market.strategy.symbols), start_ms, end_ms, leaves=False)


def settling(cost: float, ended: Trades) -> Traded:
    """What `close` found, as a part without a bar."""
    return Traded(np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0), ended, cost)


def join(parts: Sequence[Traded]) -> Traded:
    """Parts one after the other. What one owes is paid in the next bar there is; without any it is owed still."""
    series = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("closed_at", "net_return", "cost", "position")
    }
    owed, bars = 0.0, 0
    for part in parts:
        if owed and len(part.closed_at):
            series["net_return"][bars] -= owed
            series["cost"][bars] += owed
            owed = 0.0
        owed += part.owed
        bars += len(part.closed_at)
    return Traded(**series, trades=Trades.concatenate(part.trades for part in parts), owed=owed)


def _run(market: Market, bundle: Bundle, symbol: str, stint: Stint, end_ms: int) -> _Series | None:
    strategy, first = market.strategy, stint.open_from_ms[symbol]
    bars = market.span(symbol, first, end_ms)
    if not len(bars):
        return None
    # Impact is judged by the bars before a fill, whether they were traded or not.
    lead = market.before(symbol, first, IMPACT_BARS) if strategy.costs.impact_coefficient > 0 else bars.take(slice(0))
    probability = market.probability(bundle, symbol, first, end_ms)
    target = decide(probability, bars.close, bars.open, bundle.manifest.policy)
    whole = Bars.concatenate([lead, bars]) if len(lead) else bars
    flat = np.zeros(len(lead), np.int8)
    share = strategy.capital / len(strategy.symbols)
    backtest = run(whole, np.concatenate([flat, target]), strategy.costs, share, np.zeros(len(whole), dtype=np.int8))
    held = backtest.position[len(lead) :]
    settled = np.flatnonzero((held == 0) & (target == 0))
    since = int(bars.closed_at[settled[-1]]) if len(settled) else first
    return _Series(whole, backtest, _exit_cost(whole, backtest, strategy), since)


def _exit_cost(bars: Bars, backtest: Backtest, strategy: Strategy) -> float:
    """What the engine charged for the exit that it makes at the last close."""
    units = backtest.trades.units[backtest.trades.forced_exit]
    if not len(units):
        return 0.0
    rate = side_rates(bars, np.array([len(bars)]), units[-1:], strategy.costs)
    return float(rate[0] * units[-1] * bars.close[-1])


def _put_together(
    market: Market, runs: Mapping[str, _Series | None], start_ms: int, end_ms: int, *, leaves: bool
) -> Traded:
    strategy = market.strategy
    opened_at = np.unique(np.concatenate([market.span(symbol, start_ms, end_ms).opened_at for symbol in runs]))
    net, cost, position = (np.zeros(len(opened_at)) for _ in range(3))
    trades, owed = [], 0.0
    for found in runs.values():
        if found is None:
            continue
        backtest = found.backtest
        rows = np.flatnonzero(backtest.opened_at >= start_ms)
        where = np.searchsorted(opened_at, backtest.opened_at[rows])
        earned, paid = backtest.net_return[rows] * backtest.capital, backtest.cost[rows] * backtest.capital
        if leaves and not len(rows):
            owed += found.exit_cost
        elif not leaves and len(rows):
            earned[-1] += found.exit_cost
            paid[-1] -= found.exit_cost
        net[where] += earned
        cost[where] += paid
        position[where] += np.abs(backtest.position[rows])
        # One that is closed for leaving belongs here, also where its last close lies before the span.
        ended = np.where(backtest.trades.forced_exit, leaves, backtest.trades.exit_at >= start_ms)
        trades.append(backtest.trades.take(ended))
    if len(opened_at):
        net[0], cost[0], owed = net[0] - owed, cost[0] + owed, 0.0
    closed = Trades.concatenate(trades)
    return Traded(
        closed_at=opened_at + strategy.bar.milliseconds,
        net_return=net / strategy.capital,
        cost=cost / strategy.capital,
        position=position / len(runs),
        trades=closed.take(np.argsort(closed.exit_at, kind="stable")),
        owed=owed / strategy.capital,
    )
