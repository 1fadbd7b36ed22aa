"""What a backtest yields, whichever engine ran it."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
Sides = NDArray[np.int8]

_TYPES: Final[dict[str, type[np.generic]]] = {
    "symbol": np.str_,
    "side": np.int8,
    "entry_at": np.int64,
    "exit_at": np.int64,
    "signal_at": np.int64,
    "bars_held": np.int64,
    "regime": np.int8,
    "forced_exit": np.bool_,
}


@dataclass(frozen=True, slots=True, eq=False)
class Trades:
    """m round trips, ascending by exit; those still open at the end are closed at the last bar's close and marked.

    Attributes:
        symbol: (m,) str.
        side: (m,) int8, 1 long, -1 short.
        entry_at, exit_at: (m,) int64 UTC ms of the fills (a bar's open; the last close for forced exits).
        signal_at: (m,) int64 UTC ms, close of the bar whose signal opened the trade.
        entry_price, exit_price: (m,) float64, the market's price before costs.
        units: (m,) float64, > 0.
        gross_pnl, cost, net_pnl: (m,) float64 in the quote currency; net = gross - cost.
        net_return: (m,) float64, net_pnl over the capital used by the trade.
        bars_held: (m,) int64.
        regime: (m,) int8, index into `backtest.regimes.REGIMES` at the signal bar, -1 where not known.
        forced_exit: (m,) bool.
    """

    symbol: NDArray[np.str_]
    side: Sides
    entry_at: Times
    exit_at: Times
    signal_at: Times
    entry_price: Floats
    exit_price: Floats
    units: Floats
    gross_pnl: Floats
    cost: Floats
    net_pnl: Floats
    net_return: Floats
    bars_held: Times
    regime: Sides
    forced_exit: NDArray[np.bool_]

    @classmethod
    def of(cls, **columns: object) -> "Trades":
        """Build trades from array-likes, one a field; each is brought to its field's type."""
        return cls(**{field: np.asarray(columns[field], dtype=_TYPES.get(field, np.float64)) for field in cls.names()})

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(field.name for field in fields(cls))

    @classmethod
    def empty(cls) -> "Trades":
        """No trades at all."""
        return cls.of(**dict.fromkeys(cls.names(), ()))

    @classmethod
    def concatenate(cls, parts: Iterable["Trades"]) -> "Trades":
        """Put trades behind one another, as they come."""
        parts = [*parts] or [cls.empty()]
        return cls(**{field: np.concatenate([getattr(part, field) for part in parts]) for field in cls.names()})

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> "Trades":
        """The chosen trades, in the order chosen."""
        return Trades(**{field: getattr(self, field)[rows] for field in self.names()})

    def __len__(self) -> int:
        return len(self.side)


@dataclass(frozen=True, slots=True, eq=False)
class Backtest:
    """One symbol's, or a portfolio's, out-of-sample series over n bars.

    Capital is fixed: every trade uses the same notional, profits are not reinvested, so returns add up and periods compare.

    Attributes:
        opened_at, closed_at: (n,) int64 UTC ms.
        position: (n,) float64, side held during the bar, from its open on (a portfolio: the mean over symbols).
        net_return: (n,) float64, the bar's net profit over the capital; sums to the total return.
        cost: (n,) float64, costs paid in the bar over the capital.
        turnover: (n,) float64, traded value in the bar over the capital.
        equity: (n,) float64, capital plus profit at the bar's close.
        equity_low: (n,) float64, the worst equity inside the bar: a long is marked at the low, a short at the high.
        market_return: (n,) float64, simple close-to-close return of the market; the first bar's from its own open.
        regime: (n,) int8, index into `backtest.regimes.REGIMES`, known at the bar's close; -1 where not known.
        capital: float, quote currency.
        trades: the round trips.
    """

    opened_at: Times
    closed_at: Times
    position: Floats
    net_return: Floats
    cost: Floats
    turnover: Floats
    equity: Floats
    equity_low: Floats
    market_return: Floats
    regime: Sides
    capital: float
    trades: Trades

    def __len__(self) -> int:
        return len(self.opened_at)
