"""What chance and patience would have earned: random entries that trade like the strategy, and buy and hold."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tidegate.backtest.costs import side_rates
from tidegate.backtest.ratios import NAN, sharpe
from tidegate.backtest.reference import run
from tidegate.backtest.regimes import UNKNOWN
from tidegate.backtest.result import Backtest, Floats, Trades
from tidegate.bars.bars import Bars
from tidegate.errors import DataError
from tidegate.strategy.strategy import Costs


@dataclass(frozen=True, slots=True, eq=False)
class RandomBaseline:
    """How the strategy compares with random entries.

    Attributes:
        sharpe, total_return: (draws,) of the random strategies, net of costs; NaN where there is nothing to trade.
        sharpe_percentile, total_return_percentile: share of the draws that the strategy beats, ties by half, in [0, 1]; NaN where
            the strategy has no such number.
    """

    sharpe: Floats
    total_return: Floats
    sharpe_percentile: float
    total_return_percentile: float


def random_entries(
    bars: Mapping[str, Bars],
    backtest: Backtest,
    costs: Costs,
    periods_per_year: float,
    *,
    seed: int,
    draws: int = 200,
    multiplier: float = 1.0,
) -> RandomBaseline:
    """Trade as often, as long, on the same sides and at the same costs, but at random times.

    Every draw shuffles the strategy's own holding times and sides and scatters them, without overlap, over the bars of their symbol.

    Args:
        bars: each traded symbol's bars; together they have the backtest's times.
        backtest: what is to be judged: one symbol's, a portfolio's, or joined folds.
        costs: per side, as in the backtest.
        periods_per_year: bars a year.
        seed: of the draws; same seed, same draws.
        draws: number of random strategies.
        multiplier: of all costs, as in the backtest.
    Raises:
        DataError: bars whose times are not the backtest's, or that leave no room for the trades.
    """
    rng = np.random.default_rng(seed)
    places = {}
    for symbol, part in bars.items():
        rows = np.searchsorted(backtest.opened_at, part.opened_at)
        known = rows < len(backtest)
        if not known.all() or not np.array_equal(backtest.opened_at[rows], part.opened_at):
            raise DataError(f"bars of {symbol} have times that the backtest has not", expected="the bars tested on")
        places[symbol] = rows
    missing = sorted(set(map(str, backtest.trades.symbol)) - set(bars))
    if missing:
        raise DataError("bars of traded symbols are missing", expected=missing, actual=sorted(bars))
    ratios, totals = np.full(draws, NAN), np.full(draws, NAN)
    for draw in range(draws if len(backtest.trades) else 0):
        returns = np.zeros(len(backtest))
        for symbol, part in bars.items():
            own = backtest.trades.take(backtest.trades.symbol == symbol)
            share = backtest.capital / len(bars)
            returns[places[symbol]] += _scattered(part, own, costs, share, multiplier, rng) / len(bars)
        ratios[draw], totals[draw] = sharpe(returns, periods_per_year), float(returns.sum())
    return RandomBaseline(
        sharpe=ratios,
        total_return=totals,
        sharpe_percentile=_percentile(sharpe(backtest.net_return, periods_per_year), ratios),
        total_return_percentile=_percentile(float(backtest.net_return.sum()), totals),
    )


def _scattered(
    bars: Bars, trades: Trades, costs: Costs, capital: float, multiplier: float, rng: np.random.Generator
) -> Floats:
    """(n,) net returns of the trades at random times: entry at an open, exit at an open or, past the end, at the last close."""
    n, count = len(bars), len(trades)
    returns = np.zeros(n)
    if count == 0:
        return returns
    order = rng.permutation(count)
    held, side = trades.bars_held[order], trades.side[order].astype(np.float64)
    free = n - 1 - int(held.sum())
    if free < 0:
        raise DataError(f"trades do not fit into the bars of {bars.symbol}", expected=f"<= {n - 1} bars held")
    # Free bars fall between the trades as stars between bars: every arrangement is equally likely.
    gaps = np.sort(rng.choice(free + count, size=count, replace=False)) - np.arange(count)
    begun = np.cumsum(held) - held
    entry = 1 + gaps + begun
    leave = entry + held
    price = np.append(bars.open, bars.close[-1])
    units = capital / price[entry]
    trade_of_bar = np.repeat(np.arange(count), held)
    bar = entry[trade_of_bar] + np.arange(len(trade_of_bar)) - begun[trade_of_bar]
    start = bars.close[bar - 1]
    start[begun] = price[entry]
    np.add.at(returns, bar, side[trade_of_bar] * (bars.close[bar] - start) / price[entry][trade_of_bar])
    exit_bar = np.minimum(leave, n - 1)
    np.add.at(returns, exit_bar, side * (price[leave] - bars.close[leave - 1]) / price[entry])
    for rows, where in ((entry, entry), (leave, exit_bar)):
        rates = side_rates(bars, rows, units, costs, multiplier)
        np.subtract.at(returns, where, rates * price[rows] / price[entry])
    return returns


def _percentile(value: float, draws: Floats) -> float:
    usable = draws[np.isfinite(draws)]
    if not np.isfinite(value) or len(usable) == 0:
        return NAN
    return float(np.mean(usable < value) + np.mean(usable == value) / 2.0)


def buy_and_hold(bars: Bars, costs: Costs, capital: float) -> Backtest:
    """Long from the second bar's open to the last close, with costs, by the same ledger."""
    target = np.ones(len(bars), dtype=np.int8)
    return run(bars, target, costs, capital, np.full(len(bars), UNKNOWN, dtype=np.int8))
