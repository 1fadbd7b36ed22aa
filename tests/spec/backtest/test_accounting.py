"""The rules of accounting, in numbers worked out by hand. Both engines must give them.

Costs are 5 + 3 + 2 = 10 basis points a side, capital is 1000 unless said otherwise.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest

from tidegate.backtest import reference, vectorbt_engine
from tidegate.backtest.result import Backtest
from tidegate.bars.bars import Bars
from tidegate.errors import DataError
from tidegate.strategy.strategy import Costs

HOUR = 3_600_000
TEN_BPS = Costs(fee_bps=5, half_spread_bps=3, slippage_bps=2)
FREE = Costs(fee_bps=0, half_spread_bps=0, slippage_bps=0)
Run = Callable[..., Backtest]


@pytest.fixture(params=[reference.run, vectorbt_engine.run], ids=["reference", "vectorbt"])
def run(request: pytest.FixtureRequest) -> Run:
    engine: Run = request.param
    return engine


def bars_of(*rows: tuple[float, float, float, float], volume: tuple[float, ...] | None = None) -> Bars:
    """Hourly bars from (open, high, low, close)."""
    opens, highs, lows, closes = zip(*rows, strict=True)
    times = np.arange(len(rows)) * HOUR
    volumes = volume or (1.0,) * len(rows)
    return Bars.of("X/Y", "1h", opened_at=times, open=opens, high=highs, low=lows, close=closes, volume=volumes)


def outcome(
    run: Run,
    bars: Bars,
    target: list[int],
    costs: Costs = TEN_BPS,
    *,
    capital: float = 1000.0,
    multiplier: float = 1.0,
) -> Backtest:
    regime = np.arange(len(bars), dtype=np.int8) % 3
    return run(bars, np.array(target, dtype=np.int8), costs, capital, regime, multiplier)


def test_one_long_trade(run: Run) -> None:
    bars = bars_of((100, 101, 99, 100), (100, 105, 98, 104), (105, 107, 103, 106), (110, 112, 109, 111))
    result = outcome(run, bars, [1, 1, 0, 0])
    trades = result.trades
    # 10 units bought at 100 for a cost of 1, sold at 110 for a cost of 1.10: gross 100, net 97.90.
    assert len(trades) == 1
    assert trades.symbol[0] == "X/Y"
    assert (trades.side[0], trades.bars_held[0], trades.forced_exit[0], trades.regime[0]) == (1, 2, False, 0)
    assert (trades.signal_at[0], trades.entry_at[0], trades.exit_at[0]) == (HOUR, HOUR, 3 * HOUR)
    assert (trades.entry_price[0], trades.exit_price[0], trades.units[0]) == (100, 110, 10)
    money = [trades.gross_pnl[0], trades.cost[0], trades.net_pnl[0], trades.net_return[0]]
    assert money == pytest.approx([100, 2.1, 97.9, 0.0979])
    assert result.position.tolist() == [0, 1, 1, 0]
    assert result.equity == pytest.approx([1000, 1039, 1059, 1097.9])
    assert result.equity_low == pytest.approx([1000, 979, 1029, 1097.9])
    assert result.net_return == pytest.approx([0, 0.039, 0.020, 0.0389])
    assert result.cost == pytest.approx([0, 0.001, 0, 0.0011])
    assert result.turnover == pytest.approx([0, 1.0, 0, 1.1])
    assert result.market_return == pytest.approx([0, 0.04, 106 / 104 - 1, 111 / 106 - 1])


def test_gap_at_the_open_is_paid(run: Run) -> None:
    # The signal came at a close of 100; the next open is 125, and that is the price.
    bars = bars_of((100, 100, 100, 100), (125, 126, 124, 125), (120, 121, 119, 120))
    result = outcome(run, bars, [1, 0, 0], FREE)
    assert result.trades.entry_price.tolist() == [125]
    assert result.trades.units.tolist() == [8]
    assert result.trades.net_pnl == pytest.approx([-40])
    assert result.equity == pytest.approx([1000, 1000, 960])
    assert result.equity_low == pytest.approx([1000, 992, 960])


def test_flip_closes_and_opens_at_one_open_and_pays_on_both(run: Run) -> None:
    bars = bars_of((100, 100, 100, 100), (100, 120, 95, 110), (125, 130, 118, 122), (121, 124, 119, 120))
    result = outcome(run, bars, [1, -1, -1, -1])
    # Row 2: 10 units sold at 125 (1250, cost 1.25), 8 sold short at 125 (1000, cost 1). Last close 120: cost 0.96.
    trades = result.trades
    assert trades.side.tolist() == [1, -1]
    assert trades.units == pytest.approx([10, 8])
    assert trades.entry_price.tolist() == [100, 125]
    assert trades.exit_price.tolist() == [125, 120]
    assert trades.gross_pnl == pytest.approx([250, 40])
    assert trades.cost == pytest.approx([2.25, 1.96])
    assert trades.net_pnl == pytest.approx([247.75, 38.04])
    assert trades.exit_at.tolist() == [2 * HOUR, 4 * HOUR]
    assert trades.signal_at.tolist() == [HOUR, 2 * HOUR]
    assert trades.regime.tolist() == [0, 1]
    assert trades.forced_exit.tolist() == [False, True]
    assert result.position.tolist() == [0, 1, -1, -1]
    assert result.turnover == pytest.approx([0, 1, 2.25, 0.96])
    assert result.cost == pytest.approx([0, 0.001, 0.00225, 0.00096])
    assert result.equity == pytest.approx([1000, 1099, 1000 + 246.75 + 24, 1285.79])
    # The short is marked at the high: 130, then 124.
    assert result.equity_low == pytest.approx([1000, 949, 1000 + 246.75 - 40, 1000 + 246.75 + 8])


def test_worst_equity_of_the_last_bar_includes_the_forced_exit(run: Run) -> None:
    bars = bars_of((100, 100, 100, 100), (100, 110, 100, 100))
    result = outcome(run, bars, [1, 0])
    # Low, open and close are 100: only the costs of 1 and 1 are lost.
    assert result.equity == pytest.approx([1000, 998])
    assert result.equity_low == pytest.approx([1000, 998])


def test_order_of_the_last_bar_is_never_filled(run: Run) -> None:
    bars = bars_of((100, 100, 100, 100), (100, 100, 100, 100), (100, 100, 100, 100))
    result = outcome(run, bars, [0, 0, 1])
    assert len(result.trades) == 0
    assert result.equity.tolist() == [1000, 1000, 1000]


def test_trade_opened_at_the_last_open_is_closed_at_the_last_close(run: Run) -> None:
    bars = bars_of((100, 100, 100, 100), (100, 100, 100, 100), (200, 210, 190, 205))
    trades = outcome(run, bars, [0, 1, 1], FREE).trades
    assert (trades.entry_price[0], trades.exit_price[0], trades.bars_held[0]) == (200, 205, 1)
    assert (trades.entry_at[0], trades.exit_at[0], trades.forced_exit[0]) == (2 * HOUR, 3 * HOUR, True)
    assert trades.net_pnl == pytest.approx([25])


def test_no_positions_earn_and_cost_nothing(run: Run) -> None:
    result = outcome(run, bars_of((100, 110, 90, 105), (105, 110, 90, 95)), [0, 0])
    assert len(result.trades) == 0
    for series in (result.position, result.net_return, result.cost, result.turnover):
        assert series.tolist() == [0, 0]
    assert result.equity.tolist() == result.equity_low.tolist() == [1000, 1000]
    assert result.market_return == pytest.approx([0.05, 95 / 105 - 1])


def test_one_bar_holds_nothing(run: Run) -> None:
    result = outcome(run, bars_of((100, 110, 90, 105)), [1])
    assert len(result.trades) == 0
    assert result.equity.tolist() == [1000]


def test_asking_again_for_the_side_held_is_no_order(run: Run) -> None:
    bars = bars_of(*[(price, price, price, price) for price in (100, 100, 150, 200, 300)])
    result = outcome(run, bars, [1, 1, 1, 0, 0], FREE)
    assert result.trades.units == pytest.approx([10])
    assert result.turnover == pytest.approx([0, 1, 0, 0, 3])


def test_profits_are_not_reinvested(run: Run) -> None:
    bars = bars_of(*[(price, price, price, price) for price in (100, 100, 200, 200, 400, 400)])
    result = outcome(run, bars, [1, 0, 1, 0, 0, 0], FREE)
    # Doubled twice: +1000 each time, since every trade uses the capital of the start.
    assert result.trades.net_pnl == pytest.approx([1000, 1000])
    assert result.trades.units == pytest.approx([10, 5])


@pytest.mark.parametrize(
    ("volume", "coefficient", "rate"),
    [
        ((20.0, 80.0, 1.0), 2.0, math.sqrt(0.00125)),  # Q/V = 12.5/50: 2 * sigma * 0.5
        ((20.0, 80.0, 1e9), 2.0, math.sqrt(0.00125)),  # the fill's own volume is not known yet
        ((0.0, 0.0, 1.0), 0.1, math.sqrt(0.00125)),  # no volume: Q/V is taken as 100
        ((1e-9, 1e-9, 1.0), 0.1, math.sqrt(0.00125)),  # hardly any: Q/V is cut at 100
        ((20.0, 80.0, 1.0), 0.0, 0.0),
    ],
)
def test_impact_follows_the_square_root_law(
    run: Run, volume: tuple[float, ...], coefficient: float, rate: float
) -> None:
    # Log returns 0.03 and 0.04 before the fill: sigma = sqrt((0.0009 + 0.0016) / 2).
    first, second = 100 * math.exp(0.03), 100 * math.exp(0.07)
    bars = bars_of((100, 110, 100, first), (first, 110, 100, second), (80, 80, 80, 80), volume=volume)
    costs = Costs(fee_bps=10, half_spread_bps=0, slippage_bps=0, impact_coefficient=coefficient)
    result = outcome(run, bars, [0, 1, 0], costs)
    assert result.trades.units == pytest.approx([12.5])
    entry_cost = 1000 * (0.001 + rate)
    assert result.equity_low[-1] <= 1000 - entry_cost
    squares = 0.0025 + math.log(80 / second) ** 2
    exit_share = min(100.0, 12.5 / (sum(volume) / 3))
    exit_rate = 0.001 + coefficient * math.sqrt(squares / 3 * exit_share)
    assert result.trades.cost == pytest.approx([entry_cost + 1000 * exit_rate], rel=1e-12)


def test_multiplier_scales_every_cost(run: Run) -> None:
    bars = bars_of((100, 101, 99, 101), (100, 105, 98, 104), (105, 107, 103, 106))
    costs = Costs(fee_bps=5, half_spread_bps=3, slippage_bps=2, impact_coefficient=0.5)
    once, twice = outcome(run, bars, [1, 0, 0], costs), outcome(run, bars, [1, 0, 0], costs, multiplier=2.0)
    assert twice.trades.cost == pytest.approx(2 * once.trades.cost)
    assert twice.trades.gross_pnl == pytest.approx(once.trades.gross_pnl)
    assert outcome(run, bars, [1, 0, 0], costs, multiplier=0.0).trades.cost.tolist() == [0]


GOOD = (100.0, 101.0, 99.0, 100.0)


@pytest.mark.parametrize(
    ("rows", "target", "more", "says"),
    [
        ([GOOD, GOOD], [0], {}, "target does not fit"),
        ([GOOD, GOOD], [0, 2], {}, "something else than a side"),
        ([GOOD, (math.nan, 101, 99, 100)], [0, 0], {}, "open of bar 1 is no price"),
        ([GOOD, (100, 101, 0, 100)], [0, 0], {}, "low of bar 1 is no price"),
        ([GOOD, (100, math.inf, 99, 100)], [0, 0], {}, "high of bar 1 is no price"),
        ([GOOD, GOOD], [0, 0], {"capital": 0.0}, "capital is not usable"),
        ([GOOD, GOOD], [0, 0], {"capital": math.nan}, "capital is not usable"),
        ([GOOD, GOOD], [0, 0], {"multiplier": -1.0}, "cost multiplier is not usable"),
    ],
)
def test_unusable_input_is_refused(
    run: Run, rows: list[tuple[float, float, float, float]], target: list[int], more: dict[str, float], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        outcome(
            run, bars_of(*rows), target, capital=more.get("capital", 1000.0), multiplier=more.get("multiplier", 1.0)
        )


def test_no_bars_and_unordered_bars_are_refused(run: Run) -> None:
    bars = bars_of(GOOD, GOOD)
    with pytest.raises(DataError, match="has no bars"):
        outcome(run, bars.take(slice(0, 0)), [])
    with pytest.raises(DataError, match="do not ascend"):
        outcome(run, bars.take(np.array([1, 0])), [0, 0])


def test_costs_that_escaped_validation_are_refused(run: Run) -> None:
    with pytest.raises(DataError, match="costs are not usable"):
        outcome(run, bars_of(GOOD, GOOD), [0, 0], Costs.model_construct(fee_bps=-10.0))


def test_an_order_that_costs_all_it_trades_is_refused(run: Run) -> None:
    with pytest.raises(DataError, match="costs as much as it trades"):
        outcome(run, bars_of(GOOD, GOOD, GOOD), [1, 0, 0], TEN_BPS, multiplier=1000.0)
