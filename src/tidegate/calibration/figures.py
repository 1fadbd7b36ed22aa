"""How a strategy trades, in the few figures that a world is simulated from, and what they mean for a day."""

import math
from dataclasses import dataclass, replace
from typing import Final

from tidegate.errors import FiguresRefused

MOST_TRADES_A_DAY: Final = 2000.0
_SURE: Final = 1e-6
"""Win rates nearer to 0 or 1 than this are no strategy."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A strategy's trades. Amounts are net of costs and fractions of the capital; days are days of market time.

    Attributes:
        source: where the figures are from, in words.
        trades_per_day: closed trades.
        win_rate: share of trades with a net profit above zero.
        gain, gain_spread: mean and standard deviation of a winner's profit, > 0 and >= 0.
        loss, loss_spread: of a loser's loss, > 0 and >= 0.
        days_per_year: 365, or 260 on the fx calendar.
        count_dispersion: variance over mean of the trades a day, >= 1; 1 is a Poisson distribution.
        clustering: correlation of any two trades of one day winning together, in [0, 1).
        regimes: shares of the trades in `backtest.regimes.REGIMES`, adding up to 1 or less (the rest is in no known regime).
        correlation: of the daily returns of champion and challenger, in [0, 1).
        cost: of one round trip, >= 0.
        drawdown_factor: largest drawdown at the worst moment inside bars over that of daily closes, >= 1.
        trades, days: what the figures were measured on; 0 where they were given.
        measured_sharpe: annual, of the daily returns of the same record; None where there is none.
        assumed: figures that nobody measured or gave.
    """

    source: str
    trades_per_day: float
    win_rate: float
    gain: float
    gain_spread: float
    loss: float
    loss_spread: float
    days_per_year: float = 365.0
    count_dispersion: float = 1.0
    clustering: float = 0.0
    regimes: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)
    correlation: float = 0.5
    cost: float = 0.0
    drawdown_factor: float = 1.0
    trades: int = 0
    days: int = 0
    measured_sharpe: float | None = None
    assumed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse figures that no strategy can have.

        Raises:
            FiguresRefused: names the first wrong figure.
        """
        bounds = {
            "trades_per_day": (1e-3, MOST_TRADES_A_DAY),
            "win_rate": (_SURE, 1 - _SURE),
            "gain": (1e-9, 10.0),
            "gain_spread": (0.0, 100.0),
            "loss": (1e-9, 10.0),
            "loss_spread": (0.0, 100.0),
            "days_per_year": (1.0, 366.0),
            "count_dispersion": (1.0, 1000.0),
            "clustering": (0.0, 0.99),
            "correlation": (0.0, 0.999),
            "cost": (0.0, 1.0),
            "drawdown_factor": (1.0, 100.0),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise FiguresRefused(
                    f"{name} of the strategy ({self.source})", expected=f"{low:g} to {high:g}", actual=value
                )
        if not (all(share >= 0 for share in self.regimes) and sum(self.regimes) <= 1 + 1e-9):
            raise FiguresRefused("shares of the regimes", expected="0 or more, together at most 1", actual=self.regimes)

    @property
    def payoff(self) -> float:
        """Mean profit over mean loss."""
        return self.gain / self.loss

    @property
    def break_even(self) -> float:
        """The win rate at which nothing is earned net of costs."""
        return self.loss / (self.gain + self.loss)

    def winning(self, win_rate: float) -> "Figures":
        """The same trades with another win rate."""
        return replace(self, win_rate=win_rate)


@dataclass(frozen=True, slots=True)
class DayMoments:
    """Mean and variance of a day's net return, and the parts of the variance that correlation is made of.

    Attributes:
        mean, variance: of the return.
        own: what each trade adds by itself, times the trades a day.
        shared: what trades add that win together on one day.
        counts: what the changing number of trades adds.
    """

    mean: float
    variance: float
    own: float
    shared: float
    counts: float

    def sharpe(self, days_per_year: float) -> float:
        """Annual Sharpe ratio of independent days."""
        return self.mean / math.sqrt(self.variance) * math.sqrt(days_per_year)


def day_moments(figures: Figures) -> DayMoments:
    """Moments of the sum of a random number of trades.

    With N trades of mean m and variance v, any two of a day with covariance k: E = E[N] m and
    Var = E[N] v + E[N (N - 1)] k + Var[N] m^2.
    """
    rate, p = figures.trades_per_day, figures.win_rate
    q, stake = 1.0 - p, figures.gain + figures.loss
    mean = p * figures.gain - q * figures.loss
    variance = p * figures.gain_spread**2 + q * figures.loss_spread**2 + p * q * stake**2
    pairs = rate**2 + (figures.count_dispersion - 1.0) * rate
    shared = pairs * figures.clustering * p * q * stake**2
    counts = figures.count_dispersion * rate * mean**2
    return DayMoments(rate * mean, rate * variance + shared + counts, rate * variance, shared, counts)


def true_sharpe(figures: Figures) -> float:
    """The annual Sharpe ratio that the figures amount to."""
    return day_moments(figures).sharpe(figures.days_per_year)


def with_sharpe(figures: Figures, sharpe: float) -> Figures:
    """The same trades with the win rate at which their true annual Sharpe ratio is `sharpe`.

    Skill is the win rate here: how often, how much is won and lost, and what it costs stay.

    Raises:
        FiguresRefused: no win rate gives that ratio.
    """
    from scipy.optimize import brentq

    low, high = _SURE, 1.0 - _SURE
    if not true_sharpe(figures.winning(low)) < sharpe < true_sharpe(figures.winning(high)):
        raise FiguresRefused(
            f"no win rate gives {figures.trades_per_day:g} such trades a day a Sharpe ratio of {sharpe:g}",
            expected=f"{true_sharpe(figures.winning(low)):.3g} to {true_sharpe(figures.winning(high)):.3g}",
            actual=sharpe,
        )
    found = brentq(lambda p: true_sharpe(figures.winning(p)) - sharpe, low, high, xtol=1e-12)
    return figures.winning(float(found))


def shared_trades(figures: Figures) -> float:
    """Share of trades that champion and challenger must have in common for their daily returns to correlate as wanted.

    Cov = share * own + shared + counts' common part; linear in the share. In [0, 1): days that all trades share may alone give more.
    """
    day = day_moments(figures)
    m2 = day.mean**2 / figures.trades_per_day
    by_days = day.shared + (figures.count_dispersion - 1.0) * m2
    found = (figures.correlation * day.variance - by_days) / (day.own + m2)
    return min(max(found, 0.0), 0.999)
