"""What gates measure, for many worlds at once: the same figures as `pipeline.judge` takes of one run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from tidegate.backtest.costs import BPS
from tidegate.backtest.regimes import REGIMES
from tidegate.calibration.draws import Values
from tidegate.calibration.figures import Figures
from tidegate.calibration.pool import GAINED, LOSSES, LOST, WINS, Pool
from tidegate.calibration.series import Ratios, Row, divided, drawdown, probability_above, ratios, track_record, wilson
from tidegate.statistics.sharpe import expected_maximum_ratio
from tidegate.strategy.gates import Gates

STRESS: Final = 1.5
_CONFIDENCE: Final = 0.95
NO_RULING, RULED_PASS, RULED_FAIL = range(3)
MODELLED: Final = (
    "out_of_sample_folds", "costs_above_zero", "win_rate", "sharpe", "max_drawdown", "trades", "newest_fold_sharpe", "newest_fold_trades",
    *(f"regime_{name}" for name in REGIMES), "too_good_win_rate", "too_good_sharpe", "champion", "skill", "deflated_sharpe", "track_record",
    "sharpe_lower", "win_rate_lower", "cost_stress", "break_even_cost", "random_entries", "champion_difference",
)  # fmt: skip
"""Gates that are simulated. The others judge a run's files and data, or need models, and are taken to pass."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One gate's measurement in w worlds.

    Attributes:
        value: (w,) the observations.
        n: (w,) trades behind them, where the gate asks for enough of them.
        error: (w,) standard errors, where the gate's threshold moves by them.
        ruling: (w,) verdicts that the measurement itself implies, as in `gates.evaluation.Measurement`.
    """

    value: Row
    n: Row | None = None
    error: Row | None = None
    ruling: NDArray[np.int8] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Rival:
    """The champion on the contest's days.

    Attributes:
        there: (w,) whether there is one.
        returns: (w, d) its daily net returns.
        trades: (w,) its trades.
        unseen: (w,) calendar days of the newest fold that it has not seen.
    """

    there: NDArray[np.bool_]
    returns: Values
    trades: Row
    unseen: Row


def pooled(pool: Pool, figures: Figures, found: Ratios) -> dict[str, Measured]:
    """Measurements of the pooled test and of the newest fold, without those that need a champion or a ledger.

    Args:
        pool: the worlds' newest months.
        figures: days a year, costs and how much deeper drawdowns are inside days.
        found: Sharpe ratio and moments of the pool.
    """
    sums = pool.sums.sum(axis=1)
    trades = sums[:, WINS] + sums[:, LOSSES]
    traded = trades > 0
    win_rate = divided(sums[:, WINS], trades)
    annual, error = (np.where(traded, values, np.nan) for values in (found.annual, found.error))
    newest, newest_trades = ratios(pool.newest_returns, figures.days_per_year), pool.newest_sums[:, :2].sum(axis=1)
    fall = np.maximum(drawdown(pool.returns), pool.worst_fold) * figures.drawdown_factor
    win = Measured(win_rate, trades, np.sqrt(win_rate * (1 - win_rate) / np.where(traded, trades, np.nan)))
    ratio = Measured(annual, None, error)
    measured = {
        "win_rate": win,
        "too_good_win_rate": win,
        "sharpe": ratio,
        "too_good_sharpe": ratio,
        "max_drawdown": Measured(np.where(traded, fall, np.nan)),
        "trades": Measured(trades, trades),
        "newest_fold_sharpe": Measured(
            np.where(newest_trades > 0, newest.annual, np.nan), None, np.where(newest_trades > 0, newest.error, np.nan)
        ),
        "newest_fold_trades": Measured(newest_trades, newest_trades),
    }
    by_regime = pool.regimes.sum(axis=1)
    for at, name in enumerate(REGIMES):
        part = by_regime[:, at]
        measured[f"regime_{name}"] = Measured(divided(part[:, GAINED], part[:, LOST]), part[:, WINS] + part[:, LOSSES])
    return measured | statistical(sums, found, figures, traded)


def statistical(
    sums: NDArray[np.float64], found: Ratios, figures: Figures, traded: NDArray[np.bool_]
) -> dict[str, Measured]:
    """Measurements of the statistical gates that need nothing but the pool.

    The bootstrap's lower end is taken by the normal approximation here; `checking` says how far that holds.
    """
    trades = sums[:, WINS] + sums[:, LOSSES]
    error = np.where(traded & (found.error > 0), found.error, np.nan)
    annual = np.where(traded, found.annual, np.nan)
    payoff = divided(divided(sums[:, GAINED], sums[:, WINS]), divided(sums[:, LOST], sums[:, LOSSES]))
    needed = track_record(found, figures.days_per_year, float(ndtri(_CONFIDENCE)))
    net, cost = sums[:, GAINED] - sums[:, LOST], figures.cost * trades
    stressed = annual * divided(net - (STRESS - 1.0) * cost, net)
    return {
        "skill": Measured(1.0 - ndtr(annual / error)),
        "track_record": Measured(np.where(traded, found.n / needed, np.nan)),
        "sharpe_lower": Measured(annual + ndtri(0.025) * error),
        "win_rate_lower": Measured(wilson(sums[:, WINS], trades)[0] - 1.0 / (1.0 + payoff)),
        "cost_stress": Measured(stressed),
        "break_even_cost": Measured(divided(net + cost, cost)),
        "random_entries": Measured(_above_random(found, annual, cost / found.n, figures)),
    }


def _above_random(found: Ratios, annual: Row, daily_cost: Row, figures: Figures) -> Row:
    """Share of random entries with a lower Sharpe ratio: they have no edge, the same spread a day, and pay the same costs."""
    year = figures.days_per_year
    spread = np.abs(divided(found.mean * np.sqrt(year), annual))
    chance: Row = ndtr((annual + daily_cost / spread * np.sqrt(year)) / np.sqrt(year / found.n))
    return chance


def deflated(found: Ratios, figures: Figures, trials: int, variance: float) -> Measured:
    """Probability that the ratio exceeds the best of so many trials without skill; `variance` of their ratios per day."""
    return Measured(probability_above(found, expected_maximum_ratio(variance, max(trials, 1)), figures.days_per_year))


def costs_above_zero(figures: Figures, stake: float, worlds: int) -> Measured:
    """The least cost a side in bps, the same for all trades here; `stake` is the traded value of a side over the capital."""
    return Measured(np.full(worlds, figures.cost / 2.0 / stake / BPS))


def contest(pool: Pool, rival: Rival, figures: Figures, policy: Gates) -> dict[str, Measured]:
    """The two gates that need a champion, on the newest fold.

    Args:
        pool: the challenger's months.
        rival: the champion.
        figures: days a year.
        policy: the rule near zero, and how much the champion must not have seen.
    """
    own_returns = pool.newest_returns[:, -rival.returns.shape[1] :]
    own, other = (ratios(returns, figures.days_per_year) for returns in (own_returns, rival.returns))
    traded = pool.newest_sums[:, :2].sum(axis=1) > 0
    ours = np.where(traded, own.annual, 0.0)
    theirs = np.where(rival.trades > 0, other.annual, 0.0)
    improvement = (ours - theirs) / np.maximum(np.abs(theirs), policy.champion_floor)
    tested = _difference(own_returns, rival.returns)
    alone = 1.0 - ndtr(own.annual / own.error)
    held = rival.unseen >= policy.champion_min_days
    ruling = np.where(held, np.where(ours <= 0, RULED_FAIL, NO_RULING), RULED_FAIL)
    return {
        "champion": Measured(improvement, ruling=np.where(rival.there, ruling, RULED_PASS).astype(np.int8)),
        "champion_difference": Measured(
            np.where(traded & (rival.trades == 0), alone, tested),
            ruling=np.where(rival.there, np.where(held, NO_RULING, RULED_FAIL), RULED_PASS).astype(np.int8),
        ),
    }


def _difference(own: Values, other: Values) -> Row:
    """One-sided p-value of "the champion's ratio is at least as high", paired by day, by the delta method and normal tails."""
    influence, difference = np.zeros(own.shape), np.zeros(len(own))
    for returns, sign in ((own, 1.0), (other, -1.0)):
        values = returns.astype(np.float64)
        spread = np.std(values, axis=1, keepdims=True)
        z = (values - values.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, np.nan)
        ratio = values.mean(axis=1, keepdims=True) / np.where(spread > 0, spread, np.nan)
        influence += sign * (z - ratio / 2.0 * (z**2 - 1.0))
        difference += sign * ratio[:, 0]
    n = own.shape[1]
    lags = min(n - 1, int(4.0 * (n / 100.0) ** (2.0 / 9.0)))
    variance = np.einsum("ij,ij->i", influence, influence) / n
    for lag in range(1, lags + 1):
        variance += (
            2.0 * (1.0 - lag / (lags + 1.0)) * np.einsum("ij,ij->i", influence[:, lag:], influence[:, :-lag]) / n
        )
    chance: Row = 1.0 - ndtr(divided(difference, np.sqrt(np.maximum(variance, 0.0) / n)))
    return chance


def row(measured: Mapping[str, Measured], world: int) -> dict[str, tuple[float, int | None, float | None, int]]:
    """One world's measurements: value, n, standard error and ruling by gate."""
    return {
        name: (
            float(one.value[world]),
            None if one.n is None else int(one.n[world]),
            None if one.error is None else float(one.error[world]),
            NO_RULING if one.ruling is None else int(one.ruling[world]),
        )
        for name, one in measured.items()
    }
