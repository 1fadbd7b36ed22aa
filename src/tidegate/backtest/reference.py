"""The reference ledger: the backtest's rules in plain loops, to be read and checked by hand. It is the oracle for the fast engine.

A target decided at the close of bar t is filled at the open of bar t+1. Every trade buys or sells `capital / open` units. A flip closes
and opens at one open and pays on both. What is still held at the end is closed at the last close, with costs. The last bar's target is
never filled.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from tidegate.backtest.costs import BPS, IMPACT_BARS, MAX_PARTICIPATION
from tidegate.backtest.inputs import check_inputs, check_rate
from tidegate.backtest.result import Backtest, Sides, Trades
from tidegate.bars.bars import Bars
from tidegate.strategy.strategy import Costs


@dataclass(slots=True)
class _Ledger:
    """Cash spent and received, the units held, and the trades closed so far."""

    bars: Bars
    costs: Costs
    capital: float
    regime: Sides
    multiplier: float
    cash: float = 0.0
    side: int = 0
    units: float = 0.0
    entry_row: int = 0
    entry_price: float = 0.0
    entry_cost: float = 0.0
    trades: list[dict[str, object]] = field(default_factory=list)

    def fill(self, row: int, price: float, wanted: int) -> tuple[float, float]:
        """Bring the position to `wanted` at `price`; return the cost and the traded value."""
        closing = self.units
        opening = self.capital / price if wanted else 0.0
        rate = self.cost_rate(row, closing + opening)
        check_rate(self.bars.symbol, rate)
        if self.side:
            self._close(row, price, rate * closing * price)
        if wanted:
            self._open(row, price, rate * opening * price, wanted, opening)
        traded = (closing + opening) * price
        return rate * traded, traded

    def cost_rate(self, row: int, quantity: float) -> float:
        """Cost of an order at `row` as a fraction of its value; reads bars before `row` only."""
        known = range(max(0, row - IMPACT_BARS), row)
        squares = volume = 0.0
        for bar in known:
            previous = self.bars.close[bar - 1] if bar else self.bars.open[0]
            squares += math.log(self.bars.close[bar] / previous) ** 2
            volume += float(self.bars.volume[bar])
        sigma = math.sqrt(squares / len(known))
        mean_volume = volume / len(known)
        share = min(quantity / mean_volume, MAX_PARTICIPATION) if mean_volume > 0 else MAX_PARTICIPATION
        impact = self.costs.impact_coefficient * sigma * math.sqrt(share)
        return self.multiplier * (self.costs.side_bps * BPS + impact)

    def _open(self, row: int, price: float, cost: float, side: int, units: float) -> None:
        self.cash -= side * units * price + cost
        self.side, self.units = side, units
        self.entry_row, self.entry_price, self.entry_cost = row, price, cost

    def _close(self, row: int, price: float, cost: float) -> None:
        self.cash += self.side * self.units * price - cost
        gross = self.side * self.units * (price - self.entry_price)
        paid = self.entry_cost + cost
        last = row == len(self.bars)
        self.trades.append(
            {
                "symbol": self.bars.symbol,
                "side": self.side,
                "entry_at": self.bars.opened_at[self.entry_row],
                "exit_at": self.bars.closed_at[-1] if last else self.bars.opened_at[row],
                "signal_at": self.bars.closed_at[self.entry_row - 1],
                "entry_price": self.entry_price,
                "exit_price": price,
                "units": self.units,
                "gross_pnl": gross,
                "cost": paid,
                "net_pnl": gross - paid,
                "net_return": (gross - paid) / self.capital,
                "bars_held": row - self.entry_row,
                "regime": self.regime[self.entry_row - 1],
                "forced_exit": last,
            }
        )
        self.side, self.units = 0, 0.0

    def equity(self, price: float) -> float:
        """Capital and profit with the position marked at `price`."""
        return self.capital + self.cash + self.side * self.units * price


def run(bars: Bars, target: Sides, costs: Costs, capital: float, regime: Sides, multiplier: float = 1.0) -> Backtest:
    """Run the ledger over the bars.

    Args:
        bars: n bars, ascending, n >= 1.
        target: (n,) int8, the position decided at each bar's close: 1 long, 0 flat, -1 short.
        costs: per side.
        capital: quote currency; every trade uses all of it, profits are not reinvested.
        regime: (n,) int8, known at each bar's close.
        multiplier: of all costs, for stress tests.
    Raises:
        DataError: inputs from which no honest result can come; see `check_inputs`.
    """
    check_inputs(bars, target, costs, capital, regime, multiplier)
    ledger = _Ledger(bars, costs, capital, regime, multiplier)
    rows: list[tuple[float, ...]] = []
    before, close_before = capital, float(bars.open[0])
    for row in range(len(bars)):
        wanted = int(target[row - 1]) if row else 0
        cost = traded = 0.0
        if wanted != ledger.side:
            cost, traded = ledger.fill(row, float(bars.open[row]), wanted)
        position = ledger.side
        worst_price = float(bars.high[row] if position < 0 else bars.low[row])
        low, close = ledger.equity(worst_price), float(bars.close[row])
        if row == len(bars) - 1 and ledger.side:
            exit_cost, exit_value = ledger.fill(row + 1, close, 0)
            cost, traded = cost + exit_cost, traded + exit_value
        equity = ledger.equity(close)
        net, market = (equity - before) / capital, close / close_before - 1.0
        rows.append((position, net, cost / capital, traded / capital, equity, min(low, equity), market))
        before, close_before = equity, close
    names = ("position", "net_return", "cost", "turnover", "equity", "equity_low", "market_return")
    series = dict(zip(names, np.array(rows).T.copy(), strict=True))
    columns = {name: [trade[name] for trade in ledger.trades] for name in Trades.names()}
    return Backtest(
        opened_at=bars.opened_at,
        closed_at=bars.closed_at,
        **series,
        regime=np.asarray(regime, dtype=np.int8),
        capital=capital,
        trades=Trades.of(**columns),
    )
