"""Figures of months and paths, by hand."""

import numpy as np
import pytest
from tests.property.replay.scripted import START, strategy

from tidegate.backtest.ratios import sharpe, sharpe_standard_error
from tidegate.backtest.result import Trades
from tidegate.pipeline.evidence import plain
from tidegate.replay.figures import Walked, path_result
from tidegate.replay.life import Ruling, live_of, with_closing
from tidegate.replay.plain import Flat, Hold, load_stint, save_stint
from tidegate.replay.plan import months_between
from tidegate.replay.result import Act, MonthRecord
from tidegate.replay.trading import Stint, Traded

(JANUARY,) = months_between("2018-01", "2018-01")


def trades(*profits: float) -> Trades:
    columns = {name: np.ones(len(profits)) for name in Trades.names() if name not in {"symbol", "forced_exit"}}
    return Trades.of(
        **{**columns, "net_pnl": profits}, symbol=["BTC/USDT"] * len(profits), forced_exit=[False] * len(profits)
    )


def traded(*returns: float, profits: tuple[float, ...] = ()) -> Traded:
    n = len(returns)
    return Traded(
        START + 3_600_000 * np.arange(1, n + 1), np.array(returns), np.full(n, 0.001), np.ones(n), trades(*profits)
    )


def record(outcome: Ruling, found: Traded, *acts: Act) -> MonthRecord:
    return MonthRecord("2018-01", JANUARY.as_of_ms, outcome.outcome, 1, None, 1, (), {}, live_of(JANUARY, found), acts)


def test_a_month_s_figures() -> None:
    live = live_of(JANUARY, traded(0.1, -0.2, 0.05, profits=(3.0, -1.0, 0.0, 2.0)))
    assert live.net_return == pytest.approx(-0.05)
    assert live.costs == pytest.approx(0.003)
    assert (live.trades, live.win_rate) == (4, 0.5)
    assert live.max_drawdown == pytest.approx(0.2 / 1.1)
    assert (live.start_ms, live.end_ms) == (JANUARY.as_of_ms, JANUARY.end_ms)


def test_a_month_of_nothing_has_no_win_rate_and_no_drawdown() -> None:
    nothing = Traded(np.arange(3), np.zeros(3), np.zeros(3), np.zeros(3))
    live = live_of(JANUARY, nothing)
    assert (live.trades, live.win_rate, live.max_drawdown) == (0, None, None)


def test_closing_what_another_version_held_is_paid_in_the_first_bar() -> None:
    found = with_closing(traded(0.1, 0.2), 0.03, trades(5.0))
    assert found.net_return.tolist() == [0.1 - 0.03, 0.2]
    assert found.cost.tolist() == [0.001 + 0.03, 0.001]
    assert len(found.trades) == 1
    assert with_closing(found, 0.0, Trades.empty()) is found


def test_a_path_s_figures() -> None:
    parts = [traded(0.1, -0.2, profits=(1.0,)), traded(0.05, profits=(-1.0, 1.0))]
    acts = (Act(1, "rollback", 2, 1, "x"), Act(2, "expiry", 1, None, "x"), Act(3, "halt", 1, None, "x"))
    months = (record(Ruling("promoted"), parts[0]), record(Ruling("refused"), parts[1], *acts))
    walked = [
        Walked(month, part.net_return, float(part.position.sum())) for month, part in zip(months, parts, strict=True)
    ]
    closed = np.concatenate([part.closed_at for part in parts])
    found = path_result(Flat(None), closed, walked, months, strategy())  # type: ignore[arg-type]
    summary = found.summary
    assert summary.total_return == pytest.approx(-0.05)
    assert summary.max_drawdown == pytest.approx(0.2 / 1.1)
    assert summary.sharpe == pytest.approx(sharpe(np.array([0.1, -0.2, 0.05]), strategy().periods_per_year))
    assert (summary.trades, summary.exposure) == (3, 1.0)
    assert summary.costs == pytest.approx(0.003)
    assert (summary.promotions, summary.refusals, summary.failures) == (1, 1, 0)
    assert (summary.rollbacks, summary.halts, summary.expiries) == (1, 1, 1)


def test_buy_and_hold_s_ratio_is_of_returns_on_its_own_equity_and_its_total_is_a_buyer_s() -> None:
    returns = np.random.default_rng(11).normal(0.002, 0.02, 300)
    profits = np.diff(np.cumprod(1.0 + returns), prepend=1.0)
    part, year = traded(*profits), strategy().periods_per_year
    months = (record(Ruling("none"), part),)
    walked = [Walked(months[0], part.net_return, float(part.position.sum()))]
    summary = path_result(Hold(None), part.closed_at, walked, months, strategy()).summary  # type: ignore[arg-type]
    assert summary.sharpe == pytest.approx(sharpe(returns, year))
    assert summary.sharpe_standard_error == pytest.approx(sharpe_standard_error(returns, year))
    # The price has gone up, so that profits of fixed units tell another story.
    assert abs(sharpe(profits, year) - sharpe(returns, year)) > 0.1
    assert summary.total_return == pytest.approx(np.prod(1.0 + returns) - 1.0)


def test_what_is_no_number_is_none() -> None:
    assert [plain(value) for value in (None, float("nan"), float("inf"), 1)] == [None, None, None, 1.0]


def test_a_stint_comes_back_from_text() -> None:
    stint = Stint(3, 5, {"BTC/USDT": 7}, (8, 9), (True, False))
    assert load_stint(save_stint(stint)) == stint
    assert load_stint(save_stint(None)) is None
