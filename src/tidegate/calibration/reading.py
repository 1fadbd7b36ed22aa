"""Figures of a strategy's trades from what a run left behind: its out-of-sample files, or the metrics of a manifest."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tidegate.backtest.costs import BPS
from tidegate.backtest.ratios import max_drawdown, sharpe
from tidegate.backtest.regimes import REGIMES
from tidegate.backtest.result import Floats, Times
from tidegate.bars.interval import DAY_MS
from tidegate.calibration.figures import Figures
from tidegate.errors import FiguresRefused
from tidegate.monitoring.sequential import dispersion
from tidegate.strategy.strategy import Strategy

ASSUMED_CORRELATION: Final = 0.5
ASSUMED_SPREAD: Final = 0.6
"""Standard deviation of a profit or loss over its mean, where nothing tells it."""
_FOLDER: Final = "out_of_sample"
_LEAST_TRADES: Final = 20
_LEAST_DAYS: Final = 20


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One side's out-of-sample files, m trades and n bars; money is in units of the capital."""

    exit_at: Times
    net: Floats
    cost: Floats
    regime: NDArray[np.int8]
    opened_at: Times
    closed_at: Times
    returns: Floats
    equity: Floats
    equity_low: Floats


def newest_run(runs: Path, strategy: str) -> Path | None:
    """Folder of the newest run of a strategy that left out-of-sample files; None where there is none.

    Run folders are named by month and start, so the start decides.
    """
    folders = [path.parent.parent for path in (runs / strategy).glob(f"*/{_FOLDER}/trades.parquet")]
    return max(folders, key=lambda folder: folder.name[len("0000-00-") :], default=None)


def from_run(folder: Path, strategy: Strategy) -> Figures:
    """Figures of a run's challenger; its correlation with the champion where a contest was held.

    Raises:
        FiguresRefused: the files cannot be read, or hold too few trades to tell anything.
    """
    side = _read(folder / _FOLDER, "challenger")
    if len(side.net) < _LEAST_TRADES or not (np.any(side.net > 0) and np.any(side.net <= 0)):
        raise FiguresRefused(
            f"trades of run {folder.name}",
            expected=f"at least {_LEAST_TRADES}, winners and losers",
            actual=f"{len(side.net)} trades, {int(np.sum(side.net > 0))} won",
            next_step="name the figures by options: --trades-per-day, --win-rate, --payoff, --loss",
        )
    correlation = _correlation(folder / "contest")
    assumed = () if correlation is not None else ("correlation",)
    return _figures(side, strategy, f"run {folder.name}", correlation, assumed)


def from_metrics(metrics: Mapping[str, float | None], strategy: Strategy, source: str) -> Figures | None:
    """Figures from pooled metrics, such as a manifest's; None where they do not tell enough.

    The size of losses follows from the volatility of the returns, with profits and losses that scatter by 60 % of their mean.
    """
    names = ("win_rate", "payoff_ratio", "trades_per_day", "annual_return", "sharpe")
    values = {name: metrics.get(name) for name in names}
    known = {name: value for name, value in values.items() if value is not None and math.isfinite(value)}
    if len(known) < len(names) or known["sharpe"] * known["annual_return"] <= 0 or known["payoff_ratio"] <= 0:
        return None
    volatility = known["annual_return"] / known["sharpe"]
    trades = known["trades_per_day"] * days_per_year(strategy)
    p, payoff = known["win_rate"], known["payoff_ratio"]
    scattered = ASSUMED_SPREAD**2 * (p * payoff**2 + 1 - p) + p * (1 - p) * (1 + payoff) ** 2
    mean = p * payoff - (1 - p)
    loss = volatility / math.sqrt(trades * (scattered + mean**2))
    found = given(strategy, trades_per_day=known["trades_per_day"], win_rate=p, payoff=payoff, loss=loss, source=source)
    return replace(found, measured_sharpe=known["sharpe"])


def given(
    strategy: Strategy,
    *,
    trades_per_day: float,
    win_rate: float,
    payoff: float,
    loss: float,
    source: str = "the command line",
) -> Figures:
    """Figures from the least that must be known; the rest is assumed, and said to be.

    Args:
        strategy: costs, calendar and symbols.
        trades_per_day: closed trades.
        win_rate: share of trades with a net profit.
        payoff: mean profit over mean loss.
        loss: mean loss of a losing trade, fraction of the capital.
        source: where these are from.
    """
    return Figures(
        source=source,
        trades_per_day=trades_per_day,
        win_rate=win_rate,
        gain=payoff * loss,
        gain_spread=ASSUMED_SPREAD * payoff * loss,
        loss=loss,
        loss_spread=ASSUMED_SPREAD * loss,
        days_per_year=days_per_year(strategy),
        correlation=ASSUMED_CORRELATION,
        cost=2.0 * strategy.costs.side_bps * BPS / len(strategy.symbols),
        assumed=("gain_spread", "loss_spread", "count_dispersion", "clustering", "regimes", "correlation"),
    )


def days_per_year(strategy: Strategy) -> float:
    """Days of market time in a year of the strategy's calendar."""
    return strategy.periods_per_year * strategy.bar.milliseconds / DAY_MS


def _figures(
    side: Side, strategy: Strategy, source: str, correlation: float | None, assumed: tuple[str, ...]
) -> Figures:
    year = days_per_year(strategy)
    span = float(np.sum(side.closed_at - side.opened_at)) / DAY_MS
    gains, losses = side.net[side.net > 0], -side.net[side.net <= 0]
    # Days on which the market is closed have no bars, and are no days.
    open_days = np.unique((side.closed_at - 1) // DAY_MS)
    counts = np.bincount(np.searchsorted(open_days, (side.exit_at - 1) // DAY_MS), minlength=len(open_days))
    mean = float(counts.mean())
    measured = sharpe(_daily(side), year)
    return Figures(
        source=source,
        trades_per_day=len(side.net) / max(span, 1.0),
        win_rate=len(gains) / len(side.net),
        gain=float(gains.mean()),
        gain_spread=float(gains.std()),
        loss=max(float(losses.mean()), 1e-9),
        loss_spread=float(losses.std()),
        days_per_year=year,
        count_dispersion=max(1.0, float(counts.var()) / mean) if mean > 0 else 1.0,
        clustering=_clustering(side, counts) if len(strategy.symbols) > 1 else 0.0,
        regimes=_regimes(side.regime),
        correlation=ASSUMED_CORRELATION if correlation is None else correlation,
        cost=float(side.cost.mean()),
        drawdown_factor=_deeper(side),
        trades=len(side.net),
        days=round(span),
        measured_sharpe=measured if math.isfinite(measured) else None,
        assumed=assumed,
    )


def _clustering(side: Side, counts: NDArray[np.int64]) -> float:
    """Correlation of two trades of a day winning together, from how many times more wins a day vary than independent ones would."""
    times = dispersion(side.net > 0, side.exit_at)
    pairs = float(np.sum(counts * (counts - 1))) / max(float(counts.sum()), 1.0)
    return min(0.99, (times - 1.0) / pairs) if math.isfinite(times) and pairs > 0 else 0.0


def _regimes(regime: NDArray[np.int8]) -> tuple[float, float, float]:
    found = [float(np.mean(regime == at)) for at in range(len(REGIMES))]
    return found[0], found[1], found[2]


def _deeper(side: Side) -> float:
    """How many times deeper the largest drawdown is at the worst moment inside bars than at the closes of days."""
    bars = max_drawdown(side.equity, side.equity_low, 1.0)
    ends = np.flatnonzero(np.diff((side.closed_at - 1) // DAY_MS, append=np.inf) > 0)
    closes = side.equity[ends]
    days = max_drawdown(closes, closes, 1.0)
    return min(max(1.0, bars / days), 100.0) if days > 0 and math.isfinite(bars) else 1.0


def _correlation(folder: Path) -> float | None:
    """Of the daily returns of both sides of a contest; None where there was none, or too short a one."""
    if not (folder / "returns.parquet").exists():
        return None
    sides = [_daily(_read(folder, role)) for role in ("challenger", "champion")]
    if len(sides[0]) < _LEAST_DAYS or min(float(side.std()) for side in sides) <= 0:
        return None
    return float(np.clip(np.corrcoef(sides[0], sides[1])[0, 1], 0.0, 0.999))


def _daily(side: Side) -> Floats:
    _, day = np.unique((side.closed_at - 1) // DAY_MS, return_inverse=True)
    return np.asarray(np.bincount(day, side.returns), np.float64)


def _read(folder: Path, role: str) -> Side:
    trades = _table(folder / "trades.parquet", role, ("exit_at", "net_pnl", "cost", "regime"))
    series = _table(folder / "returns.parquet", role, ("opened_at", "closed_at", "net_return", "equity", "equity_low"))
    if not len(series["closed_at"]):
        raise FiguresRefused(f"{folder / 'returns.parquet'} has no bars of the {role}")
    # As the run had it: the strategy file may say another capital by now.
    capital = float(series["equity"][0]) / (1.0 + float(series["net_return"][0]))
    return Side(
        exit_at=trades["exit_at"],
        net=trades["net_pnl"] / capital,
        cost=trades["cost"] / capital,
        regime=trades["regime"],
        opened_at=series["opened_at"],
        closed_at=series["closed_at"],
        returns=series["net_return"],
        equity=series["equity"] / capital,
        equity_low=series["equity_low"] / capital,
    )


def _table(path: Path, role: str, columns: tuple[str, ...]) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=["role", *columns])
    except (OSError, pa.ArrowException) as error:
        raise FiguresRefused(
            f"{path} cannot be read: {error}",
            expected="an out-of-sample file of a run",
            next_step="retrain, or name the figures by options: --trades-per-day, --win-rate, --payoff, --loss",
        ) from error
    chosen = np.asarray(table["role"].to_pylist()) == role
    return {name: table[name].to_numpy()[chosen] for name in columns}
