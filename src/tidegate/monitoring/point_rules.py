"""How often the checklist's point rules on win rate and Sharpe ratio fire on a model that is as good as its backtest says.

Simulated day by day with a fixed seed: trades come at random and win independently, daily returns are normal and independent. Trades
that win and lose together make it worse.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tidegate.backtest.result import Floats
from tidegate.strategy.strategy import Rollback

PATHS: Final = 400
_DAYS: Final = 365
_SEED: Final = 20_260_101
NAN: Final = math.nan
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PointRuleRates:
    """Of a model as good as its backtest, within a year; NaN where the backtest says too little.

    Attributes:
        win_rate_within_a_year, sharpe_within_a_year: share of healthy models on which the rule fires at least once.
        win_rate_a_year, sharpe_a_year: spells a year in which it fires, whatever their length.
        trades_per_day, win_rate, sharpe: what was assumed.
    """

    win_rate_within_a_year: float
    win_rate_a_year: float
    sharpe_within_a_year: float
    sharpe_a_year: float
    trades_per_day: float
    win_rate: float
    sharpe: float


def point_rule_rates(
    trades_per_day: float | None, win_rate: float | None, sharpe: float | None, rollback: Rollback
) -> PointRuleRates:
    """Rates of the rules `win_rate` and `sharpe` on a healthy model.

    Args:
        trades_per_day: the model's own, from its manifest; None, NaN or an impossible figure gives NaN, here and below.
        win_rate: likewise.
        sharpe: likewise, annual.
        rollback: the strategy's thresholds, windows and least number of trades.
    """
    trades_per_day, win_rate, sharpe = (
        value if value is not None and math.isfinite(value) else NAN for value in (trades_per_day, win_rate, sharpe)
    )
    by_win_rate = by_sharpe = (NAN, NAN)
    if trades_per_day > 0 and 0 <= win_rate <= 1:
        by_win_rate = _win_rate_rule(trades_per_day, win_rate, rollback)
    if trades_per_day > 0 and math.isfinite(sharpe):
        by_sharpe = _sharpe_rule(trades_per_day, sharpe, rollback)
    return PointRuleRates(*by_win_rate, *by_sharpe, trades_per_day, win_rate, sharpe)


def error_rate_words(rule: Literal["win_rate", "sharpe"], rates: PointRuleRates) -> str:
    """How often a rule fires on a healthy model, for `Finding.error_rate`."""
    share, spells = {
        "win_rate": (rates.win_rate_within_a_year, rates.win_rate_a_year),
        "sharpe": (rates.sharpe_within_a_year, rates.sharpe_a_year),
    }[rule]
    if math.isnan(share):
        return "not known: the backtest gives no figures to simulate a healthy model with"
    as_good = f"win rate of {rates.win_rate:.1%}" if rule == "win_rate" else f"Sharpe ratio of {rates.sharpe:.2f}"
    return (
        f"fires within a year on {share:.0%} of healthy models, {spells:.2g} times a year ({as_good}, {rates.trades_per_day:.3g} trades a "
        "day; simulated, trades and days independent)"
    )


def win_rate_fires(wins: Counts, trades: Counts, rollback: Rollback) -> NDArray[np.bool_]:
    """Days at whose end the win rate's rule fires.

    Args:
        wins: (..., d) closed trades that won, a day.
        trades: (..., d) closed trades, a day.
        rollback: the rule.
    Returns:
        (..., d - win_rate_window_days - win_rate_days + 2) from the first day on that has all it needs.
    """
    won, traded = (rolling_sum(side, rollback.win_rate_window_days) for side in (wins, trades))
    low = (traded >= rollback.min_trades) & (won < rollback.win_rate * traded)
    return np.asarray(rolling_sum(low.astype(np.int64), rollback.win_rate_days) == rollback.win_rate_days)


def sharpe_fires(returns: Floats, trades: Counts, rollback: Rollback) -> NDArray[np.bool_]:
    """Days at whose end the Sharpe ratio's rule fires.

    Args:
        returns: (..., d) net return a day.
        trades: (..., d) closed trades, a day.
        rollback: the rule.
    Returns:
        (..., d - sharpe_window_days + 1).
    """
    seen = sliding_window_view(returns, rollback.sharpe_window_days, axis=-1)
    ratio = seen.mean(axis=-1) / seen.std(axis=-1, ddof=1) * math.sqrt(_DAYS)
    enough = rolling_sum(trades, rollback.sharpe_window_days) >= rollback.min_trades
    return np.asarray(enough & (ratio < rollback.sharpe))


@lru_cache(64)
def _win_rate_rule(trades_per_day: float, win_rate: float, rollback: Rollback) -> tuple[float, float]:
    generator = np.random.default_rng(_SEED)
    days = _DAYS + rollback.win_rate_window_days + rollback.win_rate_days - 2
    trades = generator.poisson(trades_per_day, (PATHS, days))
    return _within_and_spells(win_rate_fires(generator.binomial(trades, win_rate), trades, rollback))


@lru_cache(64)
def _sharpe_rule(trades_per_day: float, sharpe: float, rollback: Rollback) -> tuple[float, float]:
    generator = np.random.default_rng(_SEED)
    shape = (PATHS, _DAYS + rollback.sharpe_window_days - 1)
    returns = generator.normal(sharpe / math.sqrt(_DAYS), 1.0, shape)
    return _within_and_spells(sharpe_fires(returns, generator.poisson(trades_per_day, shape), rollback))


def rolling_sum(values: Counts, window: int) -> Counts:
    """(..., d - window + 1) sums over the last axis."""
    total = np.cumsum(values, axis=-1)
    return np.concatenate((total[..., window - 1 : window], total[..., window:] - total[..., :-window]), axis=-1)


def _within_and_spells(fires: NDArray[np.bool_]) -> tuple[float, float]:
    """Share of rows that fire at all, and spells a row."""
    begins = fires.copy()
    begins[:, 1:] &= ~fires[:, :-1]
    return float(fires.any(axis=1).mean()), float(begins.sum(axis=1).mean())
