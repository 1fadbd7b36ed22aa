"""Days of trading, drawn for many worlds side by side: counts of wins and losses, and what they came to.

Wins and losses of a day are Poisson numbers, which is the same as a Poisson number of trades of which a binomial number wins. Where
counts or wins vary more than that, the day's rate is drawn from a gamma and its win rate from a beta distribution. Sums of gains and of
losses are gamma distributed with the moments of single ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegate.calibration.figures import Figures, shared_trades

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]
Rows = NDArray[np.intp]
MOST_SLOTS: Final = 6
_NOTHING: Final = 1e-9
_LEAST_CHANCE, _MOST_CHANCE = 0.02, 0.98


@dataclass(frozen=True, slots=True, eq=False)
class Days:
    """What one path did on (w, d) days in w worlds.

    Attributes:
        wins, losses: (w, d) numbers of trades.
        gained, lost: (w, d) sums over them, fractions of the capital, >= 0.
        slots: (2, s, w, d) wins and losses by part of the day in which trades were closed; a single part where nobody asks.
    """

    wins: Values
    losses: Values
    gained: Values
    lost: Values
    slots: Values

    @property
    def returns(self) -> Values:
        """(w, d) net returns."""
        return self.gained - self.lost


@dataclass(frozen=True, slots=True, eq=False)
class _Market:
    """What all paths of a day share: multiples of the trades a day, and win rates; one number where all days are alike."""

    shape: tuple[int, int]
    busy: float | Values
    win_rate: float | Values

    def better(self, by: float) -> "_Market":
        """The same days with another win rate."""
        if isinstance(self.win_rate, float):
            return _Market(self.shape, self.busy, self.win_rate + by)
        return _Market(self.shape, self.busy, np.clip(self.win_rate + np.float32(by), 0, 1))


def slots_a_day(figures: Figures) -> int:
    """Parts that a day is cut into, so that the sequential test looks after about one trade, or six times a day."""
    return int(min(max(np.ceil(figures.trades_per_day), 1), MOST_SLOTS))


def draw_alone(rng: np.random.Generator, figures: Figures, worlds: int, days: int) -> Days:
    """Days of one path; each day is one slot."""
    market = _market(rng, figures, worlds, days)
    return _summed(_counts(rng, market, figures.trades_per_day, 1), rng, figures)


def draw_together(
    rng: np.random.Generator, paths: Sequence[Figures], worlds: int, days: int, watched: Mask | None = None
) -> tuple[Days, ...]:
    """Days of several paths that share trades: the challenger's procedure first, then models in production.

    Each path has a share of its trades in common with all others, so that daily returns correlate as the first path's figures say. Common
    trades win at the mean of the win rates; a path that is better or worse is so by the trades of its own.

    Args:
        rng: the chance.
        paths: figures that differ in their win rates only.
        worlds: how many.
        days: how many.
        watched: (w,) worlds in which the sequential test looks at the models in production; None: all. In the others days are drawn whole.
    Returns:
        one a path; all but the first have `slots_a_day` slots, which are empty in worlds that are not watched.
    """
    rows = np.arange(worlds) if watched is None else np.flatnonzero(watched)
    if len(rows) == worlds:
        return _together(rng, paths, worlds, days, slots_a_day(paths[0]))
    others = np.flatnonzero(~watched) if watched is not None else rows[:0]
    looked_at = _together(rng, paths, len(rows), days, slots_a_day(paths[0]))
    whole = _together(rng, paths, len(others), days, 1)
    return tuple(
        _merged(one, other, rows, others, is_first=not number)
        for number, (one, other) in enumerate(zip(looked_at, whole, strict=True))
    )


def _together(
    rng: np.random.Generator, paths: Sequence[Figures], worlds: int, days: int, slots: int
) -> tuple[Days, ...]:
    figures, share = middle(paths), common_share(paths)
    market = _market(rng, figures, worlds, days)
    common = _summed(_counts(rng, market, share * figures.trades_per_day, slots), rng, figures)
    found = []
    for number, path in enumerate(paths):
        alone = market.better((path.win_rate - figures.win_rate) / (1.0 - share))
        parts = slots if number else 1
        own = _summed(_counts(rng, alone, (1.0 - share) * figures.trades_per_day, parts), rng, figures)
        together = common.slots if number else common.slots.sum(axis=1, keepdims=True)
        found.append(
            Days(
                common.wins + own.wins,
                common.losses + own.losses,
                common.gained + own.gained,
                common.lost + own.lost,
                together + own.slots,
            )
        )
    return tuple(found)


def _merged(one: Days, other: Days, rows: Rows, others: Rows, *, is_first: bool) -> Days:
    """Two groups of worlds as one; the second group's slots stay empty, except of the first path, whose days are whole anyway."""
    shape = (len(rows) + len(others), one.wins.shape[1])

    def joined(name: str) -> Values:
        values = np.empty(shape, np.float32)
        values[rows], values[others] = getattr(one, name), getattr(other, name)
        return values

    slots = np.zeros((*one.slots.shape[:2], *shape), np.float32)
    slots[:, :, rows] = one.slots
    if is_first:
        slots[:, :, others] = other.slots
    return Days(joined("wins"), joined("losses"), joined("gained"), joined("lost"), slots)


def middle(paths: Sequence[Figures]) -> Figures:
    """The paths' figures with the mean of their win rates."""
    return paths[0].winning(sum(path.win_rate for path in paths) / len(paths))


def common_share(paths: Sequence[Figures]) -> float:
    """Share of trades in common, less where a path's own trades would have to win with a probability outside [0.02, 0.98]."""
    figures = middle(paths)
    share = shared_trades(figures)
    for path in paths:
        apart = path.win_rate - figures.win_rate
        room = _MOST_CHANCE - figures.win_rate if apart > 0 else figures.win_rate - _LEAST_CHANCE
        if abs(apart) > _NOTHING:
            share = min(share, max(0.0, 1.0 - abs(apart) / max(room, _NOTHING)))
    return share


def _market(rng: np.random.Generator, figures: Figures, worlds: int, days: int) -> _Market:
    busy: float | Values = 1.0
    win_rate: float | Values = figures.win_rate
    excess = figures.count_dispersion - 1.0
    if excess > _NOTHING:
        shape = figures.trades_per_day / excess
        busy = (rng.standard_gamma(shape, (worlds, days)) / shape).astype(np.float32)
    if figures.clustering > _NOTHING:
        strength = 1.0 / figures.clustering - 1.0
        drawn = rng.beta(win_rate * strength, (1.0 - win_rate) * strength, (worlds, days))
        win_rate = drawn.astype(np.float32)
    return _Market((worlds, days), busy, win_rate)


def _counts(rng: np.random.Generator, market: _Market, trades_per_day: float, slots: int) -> Values:
    """(2, slots, w, d) wins and losses."""
    counts = np.empty((2, slots, *market.shape), np.float32)
    for at, chance in enumerate((market.win_rate, 1.0 - market.win_rate)):
        rate = market.busy * chance * (trades_per_day / slots)
        counts[at] = rng.poisson(rate, (slots, *market.shape))
    return counts


def _summed(slots: Values, rng: np.random.Generator, figures: Figures) -> Days:
    wins, losses = slots.sum(axis=1)
    return Days(
        wins,
        losses,
        _sums(rng, wins, figures.gain, figures.gain_spread),
        _sums(rng, losses, figures.loss, figures.loss_spread),
        slots,
    )


def _sums(rng: np.random.Generator, counts: Values, mean: float, spread: float) -> Values:
    """Sums of so many independent amounts."""
    if spread <= mean * 1e-3:
        return counts * np.float32(mean)
    shape = np.float32((mean / spread) ** 2)
    return rng.standard_gamma(counts * shape, dtype=np.float32) * np.float32(spread**2 / mean)
