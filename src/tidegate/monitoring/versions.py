"""Figures of one version in one role, from a backtest of its answers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tidegate.backtest.metrics import METRICS, summarise
from tidegate.backtest.portfolio import combine
from tidegate.backtest.regimes import by_regime
from tidegate.backtest.result import Backtest, Floats, Sides, Trades
from tidegate.errors import FiguresRefused
from tidegate.monitoring.calibration import calibration, estimated_win_rate
from tidegate.monitoring.outcomes import refused
from tidegate.monitoring.predictions import Mask, Predictions
from tidegate.monitoring.result import Role, VersionFigures
from tidegate.strategy.strategy import Strategy

_SERIES = (
    "opened_at", "closed_at", "position", "net_return", "cost", "turnover", "equity", "equity_low", "market_return",
    "regime",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Earned:
    """What a version earned on one symbol.

    Attributes:
        backtest: over n bars, its own trades only, those still open included.
        owned: (n,) bars whose result belongs to it.
        entry_probability: (m,) at the signal of each trade, NaN where there is none.
    """

    backtest: Backtest
    owned: Mask
    entry_probability: Floats


def closed_trades(backtest: Backtest) -> Backtest:
    """The same without trades that only the end of the bars closed: how they end is not known yet."""
    return replace(backtest, trades=backtest.trades.take(~backtest.trades.forced_exit))


def version_figures(
    version: int,
    role: Role,
    predictions: Predictions,
    counted: Mask,
    won: Floats,
    earned: Mapping[str, Earned],
    strategy: Strategy,
) -> VersionFigures:
    """Figures of a version.

    Args:
        version: its number.
        role: production or shadow.
        predictions: N rows.
        counted: (N,) rows that figures may be computed from.
        won: (N,) labels.
        earned: by symbol; empty where nothing can be said (metrics NaN).
        strategy: bars a year.
    """
    rows = predictions.of(version, role)
    chosen, seen = rows & counted, rows & ~refused(predictions)
    digests = predictions.named(predictions.digest[seen], predictions.digests)
    portfolio = _portfolio(earned)
    trades = portfolio.trades if portfolio is not None else Trades.empty()
    side: Sides = np.concatenate([np.empty(0, np.int8), *(part.backtest.trades.side for part in earned.values())])
    entries = np.concatenate([np.empty(0), *(part.entry_probability for part in earned.values())])
    return VersionFigures(
        version=version,
        bundle_digest=next(iter(digests)) if len(digests) == 1 else "",
        role=role,
        first_bar_at=int(predictions.closed_at[seen].min()),
        last_bar_at=int(predictions.closed_at[seen].max()),
        predictions=int(chosen.sum()),
        abstentions=predictions.named(predictions.reason[seen], predictions.reasons),
        metrics=_metrics(portfolio, strategy),
        regimes={} if portfolio is None else by_regime(portfolio, strategy.periods_per_year),
        calibration=calibration(predictions.probability[chosen], won[chosen]),
        estimated_win_rate=estimated_win_rate(entries, side),
        trade_won=trades.net_pnl > 0,
        trade_exit_at=trades.exit_at,
        trade_net_return=trades.net_return,
    )


def _metrics(portfolio: Backtest | None, strategy: Strategy) -> dict[str, float]:
    if portfolio is None:
        return dict.fromkeys((metric.name for metric in METRICS), float("nan"))
    return summarise(portfolio, strategy.periods_per_year)


def _portfolio(earned: Mapping[str, Earned]) -> Backtest | None:
    """Symbols together, over the bars that the version owns in any of them; what others earned there is not in it."""
    if not earned:
        return None
    whole = combine({symbol: _own(part) for symbol, part in earned.items()})
    times = np.concatenate([part.backtest.opened_at[part.owned] for part in earned.values()])
    mine = np.isin(whole.opened_at, times)
    series = {name: getattr(whole, name)[mine] for name in _SERIES}
    return closed_trades(replace(whole, **series))


def _own(part: Earned) -> Backtest:
    whole, owned = part.backtest, part.owned
    if owned.all():
        return whole
    net = np.where(owned, whole.net_return, 0.0)
    equity = whole.capital * (1.0 + np.cumsum(net))
    return replace(
        whole,
        position=np.where(owned, whole.position, 0.0),
        net_return=net,
        cost=np.where(owned, whole.cost, 0.0),
        turnover=np.where(owned, whole.turnover, 0.0),
        equity=equity,
        equity_low=equity + np.where(owned, whole.equity_low - whole.equity, 0.0),
        market_return=np.where(owned, whole.market_return, 0.0),
    )


def check_bundle(predictions: Predictions, version: int, digest: str) -> None:
    """Refuse figures of a version whose rows name another bundle than the one at hand.

    Raises:
        FiguresRefused: they do.
    """
    answered = predictions.version == version
    others = set(predictions.named(predictions.digest[answered], predictions.digests)) - {digest}
    if others:
        raise FiguresRefused(
            f"v{version} answered with another bundle than the registry's",
            expected=digest,
            actual=sorted(others),
            next_step="find out who replaced the version's files, or made the registry anew",
        )
