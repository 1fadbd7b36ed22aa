"""How much dearer, and how much larger, trading may become before nothing is left."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tidegate.backtest.costs import BPS, IMPACT_BARS, side_rates, stressed_returns
from tidegate.backtest.ratios import NAN, sharpe
from tidegate.backtest.result import Backtest, Trades
from tidegate.bars.bars import Bars
from tidegate.errors import DataError
from tidegate.strategy.strategy import Costs

_SMALL = 1e-9  # of an order: far from the participation at which impact is cut


@dataclass(frozen=True, slots=True)
class Stress:
    """The same fills at a multiple of the costs paid.

    Attributes:
        multiple: of all costs.
        sharpe: annual; NaN without trades.
        total_return: sum of net returns.
    """

    multiple: float
    sharpe: float
    total_return: float


def cost_stress(backtest: Backtest, multiples: Sequence[float], periods_per_year: float) -> tuple[Stress, ...]:
    """The backtest at each multiple of its costs.

    Args:
        backtest: n bars.
        multiples: >= 0; 1 is what was paid.
        periods_per_year: bars a year.
    """
    traded = len(backtest.trades) > 0
    stressed = [(multiple, stressed_returns(backtest, multiple)) for multiple in multiples]
    return tuple(
        Stress(multiple, sharpe(net, periods_per_year) if traded else NAN, float(net.sum()))
        for multiple, net in stressed
    )


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much capital the trades carry.

    Attributes:
        capital: at which square-root impact eats all net profit, quote currency; 0 where the trades lose without impact; NaN without
            trades, or where an order was filled without a known volume; infinite where prices did not move, so nothing has impact.
        best_capital: at which the profit in money is highest: 4/9 of it.
        best_annual_profit: that profit a year, quote currency.
        profit_before_impact: over the capital, net of all other costs.
        impact: what impact costs at the backtest's own capital, over that capital.
        at_zero: whether the trades lose even without impact.
    """

    capital: float
    best_capital: float
    best_annual_profit: float
    profit_before_impact: float
    impact: float
    at_zero: bool


def capacity(
    bars: Mapping[str, Bars],
    backtest: Backtest,
    costs: Costs,
    periods_per_year: float,
    *,
    impact_coefficient: float = 1.0,
) -> Capacity:
    """The capital at which square-root impact `Y sigma sqrt(Q / V)` eats all net profit of the same trades.

    Orders grow with the capital K, so impact over the capital grows with sqrt(K), and the profit g before impact, which costs i at
    today's capital, is gone at K (g / i)^2. Whatever impact the backtest paid itself is taken out first.

    Args:
        bars: of each traded symbol, holding the backtest's times.
        backtest: of one symbol, a portfolio or joined folds, run at 1 times its costs.
        costs: as in the backtest.
        periods_per_year: bars a year.
        impact_coefficient: Y, > 0.
    Raises:
        DataError: a trade's symbol or times are not in the bars.
    Source: Almgren, Thum, Hauptmann, Li 2005, for the square-root law.
    """
    trades, capital = backtest.trades, backtest.capital
    if len(trades) == 0:
        return Capacity(NAN, NAN, NAN, NAN, NAN, at_zero=False)
    traded = float(np.sum(trades.units * (trades.entry_price + trades.exit_price)))
    profit = (float(trades.gross_pnl.sum()) - costs.side_bps * BPS * traded) / capital
    symbols = [str(symbol) for symbol in np.unique(trades.symbol)]
    money = sum(_impact_money(bars, trades.take(trades.symbol == symbol), symbol) for symbol in symbols)
    impact = impact_coefficient * money / capital
    if profit <= 0:
        return Capacity(0.0, 0.0, 0.0, profit, impact, at_zero=True)
    ratio = profit / impact if impact > 0 else math.inf if impact == 0 else NAN
    carried = capital * ratio**2
    best, years = 4.0 / 9.0 * carried, len(backtest) / periods_per_year
    return Capacity(carried, best, best * profit / 3.0 / years, profit, impact, at_zero=False)


def _impact_money(bars: Mapping[str, Bars], trades: Trades, symbol: str) -> float:
    """What impact with Y = 1 costs one symbol's trades, quote currency; NaN where an order has no known volume."""
    if symbol not in bars:
        raise DataError(f"no bars of {symbol} to compute its capacity from", expected="bars of each traded symbol")
    market = bars[symbol]
    times = np.concatenate((trades.entry_at, trades.exit_at))
    rows = np.searchsorted(market.opened_at, times)
    known = np.append(market.opened_at, market.closed_at[-1:])
    if not len(market) or np.any(rows == 0) or np.any(rows > len(market)):
        raise DataError(f"trades of {symbol} lie outside its bars", expected=repr(market))
    at_open = known[rows] == times
    at_close = market.closed_at[rows - 1] == times
    if not np.all(at_open | at_close):
        raise DataError(f"trades of {symbol} were not filled at its bars' times", expected=repr(market))
    # A flip is one order: what it closes and what it opens meet the market together.
    units = np.concatenate((trades.units, trades.units))
    value = units * np.concatenate((trades.entry_price, trades.exit_price))
    _, order = np.unique(times, return_inverse=True)
    together = np.bincount(order, units)[order]
    with_volume = np.concatenate(([0], np.cumsum(market.volume > 0)))
    if np.any(with_volume[rows] == with_volume[np.maximum(rows - IMPACT_BARS, 0)]):
        return NAN
    only_impact = Costs(fee_bps=0, half_spread_bps=0, slippage_bps=0, impact_coefficient=1.0)
    rates = side_rates(market, rows, np.asarray(together * _SMALL, np.float64), only_impact) / math.sqrt(_SMALL)
    return float(np.sum(rates * value))
