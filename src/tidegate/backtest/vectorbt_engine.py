"""The fast engine: vectorbt simulates the orders and finds the trades. The only module that imports vectorbt.

vectorbt sees n+1 rows: each bar with its open as the price of orders, and one more row at the last close, where what is still held is
closed. The whole cost of a fill is given to it as `fees` on the market's price, so that prices in its records are the market's.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidegate.backtest.costs import side_rates
from tidegate.backtest.inputs import check_inputs, check_rate
from tidegate.backtest.result import Backtest, Floats, Sides, Trades
from tidegate.bars.bars import Bars
from tidegate.errors import ModelError
from tidegate.frames import series
from tidegate.strategy.strategy import Costs

Records = NDArray[np.void]


@dataclass(frozen=True, slots=True, eq=False)
class _Orders:
    """What one target asks for: units held after each order, by row, and what each order costs."""

    rows: NDArray[np.intp]
    traded: Floats
    size: Floats
    fees: Floats


def run(bars: Bars, target: Sides, costs: Costs, capital: float, regime: Sides, multiplier: float = 1.0) -> Backtest:
    """Run vectorbt over the bars, by the rules and with the arguments of `backtest.reference.run`.

    Raises:
        DataError: inputs from which no honest result can come; see `check_inputs`.
        ModelError: vectorbt dropped or cut an order.
    """
    return run_each(bars, (target,), costs, capital, regime, multiplier)[0]


def run_each(
    bars: Bars, targets: Sequence[Sides], costs: Costs, capital: float, regime: Sides, multiplier: float = 1.0
) -> tuple[Backtest, ...]:
    """Each target over the same bars, bit for bit as `run` alone; several at once take little longer than one.

    Raises:
        DataError: inputs from which no honest result can come; see `check_inputs`.
        ModelError: vectorbt dropped or cut an order.
    """
    price = np.append(bars.open, bars.close[-1]) if len(bars) else np.empty(0)
    asked = [_orders(bars, price, target, costs, capital, regime, multiplier) for target in targets]
    orders, trades = _simulate(bars, price, asked)
    return tuple(
        _backtest(bars, each, orders[orders["col"] == at], trades[trades["col"] == at], capital, regime)
        for at, each in enumerate(asked)
    )


def _orders(
    bars: Bars, price: Floats, target: Sides, costs: Costs, capital: float, regime: Sides, multiplier: float
) -> _Orders:
    check_inputs(bars, target, costs, capital, regime, multiplier)
    held = np.concatenate(([0], target[:-1], [0])).astype(np.int8)
    rows = np.flatnonzero(np.diff(held)) + 1
    units = held[rows] * capital / price[rows]
    traded = np.abs(np.diff(units, prepend=0.0))
    fees = np.zeros(len(price))
    fees[rows] = side_rates(bars, rows, traded, costs, multiplier)
    check_rate(bars.symbol, float(fees.max()))
    size = np.full(len(price), np.nan)
    size[rows] = units
    return _Orders(rows, traded, size, fees)


def _backtest(bars: Bars, asked: _Orders, orders: Records, trades: Records, capital: float, regime: Sides) -> Backtest:
    if len(orders) != len(asked.rows) or not np.allclose(orders["size"], asked.traded, rtol=1e-9, atol=0.0):
        raise ModelError(
            f"vectorbt dropped or cut orders of {bars.symbol}",
            expected=f"{len(asked.rows)} orders",
            actual=len(orders),
            next_step="check capital against the price: fewer than 1e-12 units cannot be traded",
        )
    return Backtest(
        opened_at=bars.opened_at,
        closed_at=bars.closed_at,
        **_bar_series(bars, orders, capital),
        regime=np.asarray(regime, dtype=np.int8),
        capital=capital,
        trades=_trades(bars, trades, capital, regime),
    )


def _simulate(bars: Bars, price: Floats, asked: Sequence[_Orders]) -> tuple[Records, Records]:
    """Order and trade records of all columns, one a target."""
    with warnings.catch_warnings():
        # vectorbt floods with warnings about pandas 4 and its own dependencies; none is about our numbers.
        warnings.simplefilter("ignore")
        from vectorbt.portfolio.base import Portfolio
        from vectorbt.portfolio.enums import Direction, InitCashMode, SizeType

        close = series(np.append(bars.close, bars.close[-1]), np.append(bars.opened_at, bars.closed_at[-1]))
        portfolio: Any = Portfolio.from_orders(
            close,
            size=np.column_stack([each.size for each in asked]),
            size_type=SizeType.TargetAmount,
            direction=Direction.Both,
            price=price[:, None],
            fees=np.column_stack([each.fees for each in asked]),
            fixed_fees=0.0,
            slippage=0.0,
            init_cash=InitCashMode.Auto,  # infinite while simulating: no order is cut for want of cash
            freq=f"{bars.interval.milliseconds}ms",
            max_orders=max(sum(len(each.rows) for each in asked), 1),
        )
        return portfolio.orders.values, portfolio.exit_trades.values


def _bar_series(bars: Bars, orders: Records, capital: float) -> dict[str, Floats]:
    """Series a bar, from vectorbt's order records; row n, the forced exit, belongs to the last bar."""
    n = len(bars)
    buys = orders["side"] == 0
    value = orders["size"] * orders["price"]
    units = np.cumsum(_by_row(orders["idx"], np.where(buys, orders["size"], -orders["size"]), n + 1))
    # Sums of what was bought and sold leave rounding behind where nothing is held.
    units[np.abs(units) < 1e-9 * np.min(orders["size"], initial=np.inf)] = 0.0
    cash = np.cumsum(_by_row(orders["idx"], np.where(buys, -value, value) - orders["fees"], n + 1))
    held, spent = units[:n], cash[:n]
    equity = capital + spent + held * bars.close
    equity[-1] = capital + cash[n]
    extreme = np.where(held < 0, bars.high, bars.low)
    bar_of_row = np.minimum(orders["idx"], n - 1)
    return {
        "position": np.sign(held),
        "net_return": np.diff(equity, prepend=capital) / capital,
        "cost": _by_row(bar_of_row, orders["fees"], n) / capital,
        "turnover": _by_row(bar_of_row, value, n) / capital,
        "equity": equity,
        "equity_low": np.minimum(capital + spent + held * extreme, equity),
        "market_return": bars.close / np.append(bars.open[0], bars.close[:-1]) - 1.0,
    }


def _by_row(rows: NDArray[np.intp], values: Floats, length: int) -> Floats:
    return np.bincount(rows, weights=values, minlength=length).astype(np.float64, copy=False)


def _trades(bars: Bars, trades: Records, capital: float, regime: Sides) -> Trades:
    entry, leave = trades["entry_idx"], trades["exit_idx"]
    cost = trades["entry_fees"] + trades["exit_fees"]
    return Trades.of(
        symbol=np.full(len(trades), bars.symbol),
        side=np.where(trades["direction"] == 0, 1, -1),
        entry_at=bars.opened_at[entry],
        exit_at=np.append(bars.opened_at, bars.closed_at[-1])[leave],
        signal_at=bars.closed_at[entry - 1],
        entry_price=trades["entry_price"],
        exit_price=trades["exit_price"],
        units=trades["size"],
        gross_pnl=trades["pnl"] + cost,
        cost=cost,
        net_pnl=trades["pnl"],
        net_return=trades["pnl"] / capital,
        bars_held=leave - entry,
        regime=np.asarray(regime)[entry - 1],
        forced_exit=leave == len(bars),
    )
