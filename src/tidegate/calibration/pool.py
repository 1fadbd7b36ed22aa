"""The pooled out-of-sample test that a look judges: the newest months of a path, moved on month by month."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegate.backtest.regimes import REGIMES
from tidegate.calibration.draws import Days, Values
from tidegate.calibration.figures import Figures
from tidegate.calibration.series import Row, drawdown

Sums = NDArray[np.float64]
WINS, LOSSES, GAINED, LOST = range(4)
PARTS: Final = 4


class Pool:
    """What w worlds' newest months hold; `push` drops the oldest.

    Args:
        worlds: w.
        months: of the pooled test.
        month_days: market days of a month.
        fold_months: of one fold, at least 1.
    Attributes:
        returns: (w, months * month_days) daily net returns.
        sums: (w, months, 4) wins, losses, gained and lost.
        regimes: (w, months, 3, 4) the same by regime.
        falls: (w, months) drawdown of the fold that ends with each month, on its own.
    """

    def __init__(self, worlds: int, months: int, month_days: int, fold_months: int = 1) -> None:
        self.months, self.month_days, self.fold_months = months, month_days, fold_months
        self.returns: Values = np.zeros((worlds, months * month_days), np.float32)
        self.sums: Sums = np.zeros((worlds, months, PARTS))
        self.regimes: Sums = np.zeros((worlds, months, len(REGIMES), PARTS))
        self.falls: Row = np.zeros((worlds, months))

    def push(self, rng: np.random.Generator, days: Days, figures: Figures) -> None:
        """Add a month of days, whose trades fall into regimes by chance."""
        self.returns = np.concatenate((self.returns[:, self.month_days :], days.returns), axis=1)
        parts = [values.sum(axis=1, dtype=np.float64) for values in (days.wins, days.losses, days.gained, days.lost)]
        month = np.stack(parts, axis=1)
        self.sums = np.concatenate((self.sums[:, 1:], month[:, np.newaxis]), axis=1)
        split = _by_regime(rng, month, figures)
        self.regimes = np.concatenate((self.regimes[:, 1:], split[:, np.newaxis]), axis=1)
        fall = drawdown(self.newest_returns)
        self.falls = np.concatenate((self.falls[:, 1:], fall[:, np.newaxis]), axis=1)

    @property
    def newest_returns(self) -> Values:
        """(w, d) daily net returns of the newest fold."""
        return self.returns[:, -self.fold_months * self.month_days :]

    @property
    def newest_sums(self) -> Sums:
        """(w, 4) of the newest fold."""
        newest: Sums = self.sums[:, -self.fold_months :].sum(axis=1)
        return newest

    @property
    def worst_fold(self) -> Row:
        """(w,) largest drawdown of any fold on its own."""
        worst: Row = self.falls[:, :: -self.fold_months].max(axis=1)
        return worst


def _by_regime(rng: np.random.Generator, month: Sums, figures: Figures) -> Sums:
    """(w, 3, 4) a month's trades by regime: counts multinomial, amounts by the moments of parts of a known sum."""
    shares = [*figures.regimes, max(0.0, 1.0 - sum(figures.regimes))]
    shares = [share / sum(shares) for share in shares]
    found = np.zeros((len(month), len(REGIMES), PARTS))
    for count, amount, spread in (
        (WINS, GAINED, figures.gain_spread),
        (LOSSES, LOST, figures.loss_spread),
    ):
        numbers = rng.multinomial(month[:, count].astype(np.int64), shares)[:, : len(REGIMES)]
        of_all = numbers / np.maximum(month[:, count], 1.0)[:, np.newaxis]
        off = spread * np.sqrt(numbers * (1.0 - of_all)) * rng.standard_normal(numbers.shape)
        found[:, :, count] = numbers
        found[:, :, amount] = np.maximum(month[:, amount, np.newaxis] * of_all + off, 0.0)
    return found
