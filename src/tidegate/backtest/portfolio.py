"""Backtests put side by side (symbols) and behind one another (folds)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tidegate.backtest.regimes import REGIMES, UNKNOWN
from tidegate.backtest.result import Backtest, Floats, Sides, Times, Trades
from tidegate.errors import DataError


def combine(backtests: Mapping[str, Backtest]) -> Backtest:
    """One portfolio of several symbols with equal shares of the capital.

    Each symbol was run with its own share; the portfolio's capital is their sum. Over the union of the times a symbol without a bar
    earns nothing, and its position and equity stay what they were. The worst equity inside a bar is the sum of the symbols' worst,
    as if all fell at once. A bar's regime is that of most symbols, of a tie the later in `REGIMES`.

    Args:
        backtests: by symbol, of one interval and equal capital.
    Raises:
        DataError: none given, unequal capitals, or bars that open together and close apart.
    """
    parts = list(backtests.values())
    if not parts:
        raise DataError("no backtests to combine", expected="at least one")
    capitals = {part.capital for part in parts}
    if len(capitals) != 1:
        raise DataError("symbols have unequal shares", expected="one capital", actual=sorted(capitals))
    if len(parts) == 1:
        return parts[0]
    opened_at, closed_at = _union(parts)
    rows = [np.searchsorted(opened_at, part.opened_at) for part in parts]
    n, capital = len(opened_at), sum(part.capital for part in parts)

    def mean(name: str) -> Floats:
        total = np.zeros(n)
        for part, where in zip(parts, rows, strict=True):
            total[where] += getattr(part, name)
        return total / len(parts)

    equity, equity_low, position = np.zeros(n), np.zeros(n), np.zeros(n)
    for part, where in zip(parts, rows, strict=True):
        last = np.searchsorted(where, np.arange(n), side="right") - 1
        closes = np.concatenate(([part.capital], part.equity))[last + 1]
        lows = closes.copy()
        lows[where] = part.equity_low
        equity += closes
        equity_low += lows
        alive = (last >= 0) & (np.arange(n) <= (where[-1] if len(where) else -1))
        position += np.where(alive, part.position[np.maximum(last, 0)], 0.0) / len(parts)
    trades = Trades.concatenate(part.trades for part in parts)
    return Backtest(
        opened_at=opened_at,
        closed_at=closed_at,
        position=position,
        net_return=mean("net_return"),
        cost=mean("cost"),
        turnover=mean("turnover"),
        equity=equity,
        equity_low=equity_low,
        market_return=mean("market_return"),
        regime=_most_common_regime(parts, rows, n),
        capital=capital,
        trades=trades.take(np.argsort(trades.exit_at, kind="stable")),
    )


def _union(parts: Sequence[Backtest]) -> tuple[Times, Times]:
    opened = np.concatenate([part.opened_at for part in parts])
    closed = np.concatenate([part.closed_at for part in parts])
    order = np.argsort(opened, kind="stable")
    opened, closed = opened[order], closed[order]
    again = np.diff(opened, prepend=np.iinfo(np.int64).min) == 0
    if np.any(again[1:] & (np.diff(closed) != 0)):
        raise DataError("symbols have bars that open together and close apart", expected="one interval")
    return opened[~again], closed[~again]


def _most_common_regime(parts: Sequence[Backtest], rows: Sequence[Times], n: int) -> Sides:
    votes = np.zeros((len(REGIMES), n), dtype=np.int64)
    for part, where in zip(parts, rows, strict=True):
        known = part.regime >= 0
        np.add.at(votes, (part.regime[known], where[known]), 1)
    latest = len(REGIMES) - 1 - np.argmax(votes[::-1], axis=0)
    return np.where(votes.any(axis=0), latest, UNKNOWN).astype(np.int8)


def join(folds: Sequence[Backtest]) -> Backtest:
    """Folds one after another as one series: returns follow each other, and each fold's equity goes on from the one before.

    Args:
        folds: in time order, without overlap, of equal capital; gaps between them are fine.
    Raises:
        DataError: none given, overlapping or out of order, or unequal capitals.
    """
    if not folds:
        raise DataError("no folds to join", expected="at least one")
    capital = folds[0].capital
    offset, continued = 0.0, []
    for number, fold in enumerate(folds):
        if fold.capital != capital:
            raise DataError(f"fold {number} has another capital", expected=capital, actual=fold.capital)
        if number and len(fold) and len(folds[number - 1]) and fold.opened_at[0] < folds[number - 1].closed_at[-1]:
            raise DataError(f"fold {number} begins before fold {number - 1} ends", expected="folds in time order")
        continued.append(replace(fold, equity=fold.equity + offset, equity_low=fold.equity_low + offset))
        offset += float(fold.equity[-1]) - capital if len(fold) else 0.0
    series = (
        "opened_at",
        "closed_at",
        "position",
        "net_return",
        "cost",
        "turnover",
        "equity",
        "equity_low",
        "market_return",
        "regime",
    )
    joined = {name: np.concatenate([getattr(fold, name) for fold in continued]) for name in series}
    return Backtest(**joined, capital=capital, trades=Trades.concatenate(fold.trades for fold in folds))
