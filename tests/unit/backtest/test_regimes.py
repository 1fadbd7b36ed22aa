import math

import numpy as np
import pytest
from tests.unit.backtest.samples import backtest_of, trades_of

from tidegate.backtest.regimes import (
    RANGING,
    REGIMES,
    TRENDING,
    UNKNOWN,
    VOLATILE,
    RegimeDefinition,
    by_regime,
    classify,
    fit_regimes,
)
from tidegate.bars.bars import Bars
from tidegate.errors import NotEnoughHistory

HALF = RegimeDefinition(window_bars=4, volatility_threshold=0.03, efficiency_threshold=0.5)


def bars_of(log_moves: list[float]) -> Bars:
    close = 100 * np.exp(np.cumsum([0.0, *log_moves]))
    times = np.arange(len(close)) * 60_000
    return Bars.of("X/Y", "1m", opened_at=times, open=close, high=close, low=close, close=close, volume=close)


@pytest.mark.parametrize(
    ("log_moves", "regime"),
    [
        ([0.01, 0.01, 0.01, 0.01], TRENDING),
        ([-0.01, -0.01, -0.01, -0.01], TRENDING),
        ([0.01, -0.01, 0.01, -0.01], RANGING),
        ([0.01, -0.01, 0.01, 0.005], RANGING),  # efficiency 0.015 / 0.035
        ([0.01, 0.01, 0.01, -0.005], TRENDING),  # 0.025 / 0.035
        ([0.0, 0.0, 0.0, 0.0], RANGING),  # a dead market goes nowhere
        ([0.04, 0.04, 0.04, 0.04], VOLATILE),
        ([0.1, 0.0, 0.0, 0.0], VOLATILE),  # root mean square 0.05
    ],
)
def test_regime_of_the_last_bar(log_moves: list[float], regime: int) -> None:
    assert classify(bars_of(log_moves), HALF).tolist() == [UNKNOWN] * 4 + [regime]


def test_too_little_history_is_unknown_or_refused() -> None:
    assert classify(bars_of([0.01]), HALF).tolist() == [UNKNOWN, UNKNOWN]
    with pytest.raises(NotEnoughHistory):
        fit_regimes(bars_of([0.01] * 39), window_bars=4)
    assert fit_regimes(bars_of([0.01] * 40), window_bars=4).window_bars == 4


def test_definition_survives_json() -> None:
    fitted = fit_regimes(bars_of(list(np.random.default_rng(3).normal(0, 0.01, 600))))
    assert RegimeDefinition.model_validate_json(fitted.model_dump_json()) == fitted


def test_results_go_to_the_regime_of_the_signal() -> None:
    trades = trades_of([30.0, -10.0, 5.0, -1.0], regime=[TRENDING, TRENDING, VOLATILE, UNKNOWN])
    sample = backtest_of([0.0, 0.03, -0.01, 0.005, 0.1], trades, regime=[0, 0, 2, 2, -1])
    found = by_regime(sample, 400)
    assert tuple(found) == REGIMES
    trending, ranging, volatile = found.values()
    assert (trending["trades"], trending["win_rate"], trending["profit_factor"]) == (2, 0.5, 3.0)
    assert (trending["net_return"], trending["mean_net_return"]) == pytest.approx((0.02, 0.01))
    # Bars 1 and 2 opened while trending was known, bars 3 and 4 while volatile was.
    assert trending["sharpe"] == pytest.approx(0.01 / np.std([0.03, -0.01], ddof=1) * 20)
    assert volatile["sharpe"] == pytest.approx(0.0525 / np.std([0.005, 0.1], ddof=1) * 20)
    assert (volatile["trades"], volatile["profit_factor"]) == (1, math.inf)
    assert (ranging["trades"], ranging["net_return"], ranging["share_of_bars"]) == (0, 0, 0)
    assert all(math.isnan(ranging[name]) for name in ("win_rate", "profit_factor", "mean_net_return", "sharpe"))
    assert [regime["share_of_bars"] for regime in found.values()] == pytest.approx([0.4, 0.0, 0.4])
