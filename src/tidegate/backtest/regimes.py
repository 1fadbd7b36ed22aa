"""Three market regimes, defined from the bars alone and before any result is seen.

A bar is `volatile` when the volatility of the last bars lies above the training window's upper quantile; otherwise `trending` when
the price went its way straight (efficiency ratio: net move over the sum of all moves), and `ranging` when it did not.
"""

from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from pydantic import BaseModel, ConfigDict, Field

from tidegate.backtest.ratios import NAN, profit_factor, sharpe, win_rate
from tidegate.backtest.result import Backtest, Floats, Sides
from tidegate.bars.bars import Bars
from tidegate.errors import NotEnoughHistory

REGIMES: Final = ("trending", "ranging", "volatile")
UNKNOWN: Final = -1
"""The regime of bars that have too little history; it is never counted as any of the three."""
TRENDING, RANGING, VOLATILE = range(3)
WINDOW_BARS: Final = 48
VOLATILE_QUANTILE: Final = 0.75
TREND_QUANTILE: Final = 0.5
_CHUNK_ROWS: Final = 16_384


class RegimeDefinition(BaseModel):
    """What the regimes are, as the manifest keeps it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window_bars: int = Field(ge=2, description="Moves looked back on; a bar needs this many bars before it.")
    volatility_threshold: float = Field(ge=0, description="Root mean square log return above which a bar is volatile.")
    efficiency_threshold: float = Field(ge=0, le=1, description="Efficiency ratio above which a calm bar is trending.")

    @property
    def lookback(self) -> int:
        """Bars needed for one classification, the newest included."""
        return self.window_bars + 1


def fit_regimes(bars: Bars, window_bars: int = WINDOW_BARS) -> RegimeDefinition:
    """Place the boundaries on training bars: the top quarter by volatility is volatile, the rest is halved by efficiency.

    Raises:
        NotEnoughHistory: fewer than ten windows of bars, too few for quantiles.
    """
    needed = 10 * window_bars + 1
    if len(bars) < needed:
        raise NotEnoughHistory("regimes cannot be defined", expected=f"{needed} bars", actual=len(bars))
    volatility, efficiency = _measures(bars, window_bars)
    volatility_threshold = float(np.quantile(volatility, VOLATILE_QUANTILE))
    calm = efficiency[volatility <= volatility_threshold]
    return RegimeDefinition(
        window_bars=window_bars,
        volatility_threshold=volatility_threshold,
        efficiency_threshold=min(1.0, float(np.quantile(calm, TREND_QUANTILE))),
    )


def classify(bars: Bars, definition: RegimeDefinition) -> Sides:
    """The regime known at each bar's close.

    Args:
        bars: n bars; the first `window_bars` of them get `UNKNOWN`.
        definition: from `fit_regimes` on bars before these.
    Returns:
        (n,) int8, index into `REGIMES` or `UNKNOWN`; a bar's regime depends on its last `lookback` bars only.
    """
    regime = np.full(len(bars), UNKNOWN, dtype=np.int8)
    if len(bars) >= definition.lookback:
        volatility, efficiency = _measures(bars, definition.window_bars)
        calm = np.where(efficiency > definition.efficiency_threshold, TRENDING, RANGING)
        regime[definition.window_bars :] = np.where(volatility > definition.volatility_threshold, VOLATILE, calm)
    return regime


def _measures(bars: Bars, window_bars: int) -> tuple[Floats, Floats]:
    """Volatility and efficiency ratio, (n - window_bars,) each, for the bars from row `window_bars` on."""
    windows = sliding_window_view(np.diff(np.log(bars.close)), window_bars)
    volatility, efficiency = np.empty(len(windows)), np.zeros(len(windows))
    for start in range(0, len(windows), _CHUNK_ROWS):
        rows = slice(start, start + _CHUNK_ROWS)
        moves = windows[rows]
        volatility[rows] = np.sqrt((moves**2).mean(axis=-1))
        path = np.abs(moves).sum(axis=-1)
        np.divide(np.abs(moves.sum(axis=-1)), path, out=efficiency[rows], where=path > 0)
    return volatility, efficiency


def by_regime(backtest: Backtest, periods_per_year: float) -> dict[str, dict[str, float]]:
    """What the strategy did in each regime, by the regime of the bar whose signal opened the trade.

    Returns:
        for each of `REGIMES`: `trades`, `win_rate`, `profit_factor`, `net_return` (over the capital), `mean_net_return` (a trade),
        `sharpe` (annual, of the bars that opened in the regime) and `share_of_bars`. NaN where nothing was traded.
    """
    trades = backtest.trades
    at_open = np.concatenate(([UNKNOWN], backtest.regime[:-1]))
    found = {}
    for index, name in enumerate(REGIMES):
        chosen = trades.regime == index
        net_pnl, net_return = trades.net_pnl[chosen], trades.net_return[chosen]
        traded = len(net_pnl) > 0
        found[name] = {
            "trades": float(len(net_pnl)),
            "win_rate": win_rate(net_pnl),
            "profit_factor": profit_factor(net_pnl),
            "net_return": float(net_pnl.sum()) / backtest.capital,
            "mean_net_return": float(net_return.mean()) if traded else NAN,
            "sharpe": sharpe(backtest.net_return[at_open == index], periods_per_year) if traded else NAN,
            "share_of_bars": float(np.mean(backtest.regime == index)) if len(backtest) else NAN,
        }
    return found
