"""What the backtest promised for the bars that came since: a mean, and how far chance alone may lead away from it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tidegate.backtest.result import Floats
from tidegate.monitoring.page.record import MonitorRecord

_NAN = float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """The promise over k bars in a row.

    Attributes:
        first: row of the live series that the promise begins at.
        start: equity before it.
        mean: (k,) equity promised at each bar's close.
        error: (k,) one standard error of the equity.
        whole: whether the error also holds how little the backtest itself knows of its mean.
    """

    first: int
    start: float
    mean: Floats
    error: Floats
    whole: bool


def band(record: MonitorRecord) -> Band | None:
    """The promise for the bars since the version in production answered first; None where the backtest's figures give none.

    Over t years the return has mean mu t and variance sigma^2 t + (s sigma t)^2: mu is the backtest's mean annual return, sigma its annual
    standard deviation, which is mu over the Sharpe ratio, and s the ratio's standard error. The first term is the chance of the bars to come,
    as if they were independent; the second is that of the backtest, whose mean is an estimate.
    """
    live, own = record.live, record.own
    if live is None or live.series is None or own is None:
        return None
    series = live.series
    mean, ratio = promised(record.promised, "annual_return"), promised(record.promised, "sharpe")
    if not (math.isfinite(mean) and math.isfinite(ratio)) or ratio == 0 or mean / ratio <= 0:
        return None
    first = int(np.searchsorted(series.closed_at, own.first_bar_at))
    if first >= len(series):
        return None
    spread, unsure = mean / ratio, promised(record.promised, "sharpe_standard_error")
    whole = math.isfinite(unsure) and unsure > 0
    years = np.arange(1, len(series) - first + 1, dtype=np.float64) / record.strategy.periods_per_year
    error = spread * np.sqrt(years + ((unsure if whole else 0.0) * years) ** 2)
    start = float(series.equity[first - 1]) if first else series.capital
    return Band(first, start, start + series.capital * mean * years, series.capital * error, whole)


def distance(found: Band, equity: Floats) -> float:
    """How many standard errors the newest equity lies above (or, negative, under) the promise; NaN where it is not known.

    Args:
        found: over k bars.
        equity: (n,) of the live series, n = first + k.
    """
    last = float(equity[-1]) if len(equity) else _NAN
    off = last - float(found.mean[-1])
    return off / float(found.error[-1]) if math.isfinite(off) and found.error[-1] > 0 else _NAN


def promised(metrics: Mapping[str, float | None], name: str) -> float:
    """A promised metric, NaN where there is none."""
    value = metrics.get(name)
    return value if value is not None and math.isfinite(value) else _NAN
