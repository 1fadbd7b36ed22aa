"""The backtest's two engines against a plain numba loop of the same rules: `python -m benchmarks.backtest`.

The loop has the rules and nothing else: no check of its inputs, no trade as a record with times and symbol, no portfolio library. It fills arrays of
numbers in one pass over the bars. Its results are made into the engines' form outside the measured time, and all three must agree to 1e-9.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from benchmarks.tables import arguments, interleaved, keep, require, show
from numba import njit

from tidegate.backtest import reference, vectorbt_engine
from tidegate.backtest.comparison import difference
from tidegate.backtest.costs import BPS, IMPACT_BARS, MAX_PARTICIPATION
from tidegate.backtest.result import Backtest, Trades
from tidegate.bars.bars import Bars, parse_time
from tidegate.bars.interval import Interval
from tidegate.bars.simulated import simulate
from tidegate.strategy.strategy import Costs, SimulatedSource

SIZES = (26_000, 525_600)
CAPITAL, HELD_BARS = 10_000.0, 12
COSTS = {"fixed costs": Costs(), "with impact": Costs(impact_coefficient=0.5)}
Numbers = np.ndarray[Any, np.dtype[np.float64]]


@njit(cache=False)
def _rate(row, units, opens, close, volume, side_bps, impact):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    rate = side_bps * BPS
    if impact > 0.0:
        first = max(0, row - IMPACT_BARS)
        squares, traded = 0.0, 0.0
        for bar in range(first, row):
            previous = close[bar - 1] if bar else opens[0]
            squares += np.log(close[bar] / previous) ** 2
            traded += volume[bar]
        known = row - first
        share = MAX_PARTICIPATION
        if traded > 0.0:
            share = min(units / (traded / known), MAX_PARTICIPATION)
        rate += impact * np.sqrt(squares / known) * np.sqrt(share)
    return rate


@njit(cache=False)
def _loop(opens, high, low, close, volume, target, capital, side_bps, impact):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    n = len(close)
    series = np.zeros((7, n))
    trades = np.zeros((n + 1, 9))
    count, side, entry_row = 0, 0, 0
    cash = units = entry_price = entry_cost = 0.0
    before, close_before = capital, opens[0]
    for row in range(n):
        cost = traded = 0.0
        for leave in range(2):
            # The last bar has a second fill: what is held is closed at its close.
            if leave == 0:
                at, price = row, opens[row]
                wanted = target[row - 1] if row else 0
            else:
                at, price, wanted = row + 1, close[row], 0
                position = side
                worst = high[row] if side < 0 else low[row]
                lowest = capital + cash + side * units * worst
                if row < n - 1:
                    continue
            if wanted == side:
                continue
            opening = capital / price if wanted else 0.0
            rate = _rate(at, units + opening, opens, close, volume, side_bps, impact)
            cost += rate * (units + opening) * price
            traded += (units + opening) * price
            if side:
                paid = rate * units * price
                cash += side * units * price - paid
                gross = side * units * (price - entry_price)
                fee = entry_cost + paid
                trade = (float(side), float(entry_row), float(at), entry_price, price, units, gross, fee, gross - fee)
                for column in range(9):
                    trades[count, column] = trade[column]
                count += 1
                units = 0.0
            if wanted:
                paid = rate * opening * price
                cash -= wanted * opening * price + paid
                units, entry_row, entry_price, entry_cost = opening, at, price, paid
            side = wanted
        equity = capital + cash + side * units * close[row]
        series[0, row] = position
        series[1, row] = (equity - before) / capital
        series[2, row] = cost / capital
        series[3, row] = traded / capital
        series[4, row] = equity
        series[5, row] = min(lowest, equity)
        series[6, row] = close[row] / close_before - 1.0
        before, close_before = equity, close[row]
    return series, trades[:count]


def loop(bars: Bars, target: Any, costs: Costs) -> tuple[Numbers, Numbers]:  # noqa: ANN401  int8 sides
    """(7, n) series a bar and (t, 9) trades."""
    found: tuple[Numbers, Numbers] = _loop(
        bars.open,
        bars.high,
        bars.low,
        bars.close,
        bars.volume,
        target,
        CAPITAL,
        costs.side_bps,
        costs.impact_coefficient,
    )
    return found


def as_backtest(bars: Bars, regime: Any, found: tuple[Numbers, Numbers]) -> Backtest:  # noqa: ANN401  int8 regimes
    """The loop's numbers in the engines' form."""
    series, trades = found
    entry, leave = trades[:, 1].astype(int), trades[:, 2].astype(int)
    names = ("position", "net_return", "cost", "turnover", "equity", "equity_low", "market_return")
    columns: dict[str, Any] = {
        "symbol": np.full(len(trades), bars.symbol),
        "side": trades[:, 0].astype(int),
        "entry_at": bars.opened_at[entry],
        "exit_at": np.append(bars.opened_at, bars.closed_at[-1])[leave],
        "signal_at": bars.closed_at[entry - 1],
        "entry_price": trades[:, 3],
        "exit_price": trades[:, 4],
        "units": trades[:, 5],
        "gross_pnl": trades[:, 6],
        "cost": trades[:, 7],
        "net_pnl": trades[:, 8],
        "net_return": trades[:, 8] / CAPITAL,
        "bars_held": leave - entry,
        "regime": regime[entry - 1],
        "forced_exit": leave == len(bars),
    }
    return Backtest(
        opened_at=bars.opened_at,
        closed_at=bars.closed_at,
        **dict(zip(names, series, strict=True)),
        regime=regime,
        capital=CAPITAL,
        trades=Trades.of(**columns),
    )


def measured(bars: Bars, costs: Costs, rounds: int) -> dict[str, float]:
    """Median seconds of the three, after they have been found to agree."""
    rng = np.random.default_rng(1)
    sides = rng.choice(np.array([-1, 0, 1], np.int8), size=len(bars) // HELD_BARS + 1)
    target = np.repeat(sides, HELD_BARS)[: len(bars)]
    regime = np.zeros(len(bars), np.int8)
    given = (bars, target, costs, CAPITAL, regime)
    plain = as_backtest(bars, regime, loop(bars, target, costs))
    for name, engine in (("vectorbt", vectorbt_engine.run), ("ledger", reference.run)):
        apart = difference(engine(*given), plain)
        require(apart < 1e-9, f"{name} and the loop by {apart:.1e} at {len(bars):,} bars")
    return interleaved(
        {
            "numba loop": lambda: loop(bars, target, costs),
            "vectorbt engine": lambda: vectorbt_engine.run(*given),
            "reference ledger": lambda: reference.run(*given),
        },
        rounds,
    )


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the table."""

    bars: int
    costs: str
    seconds: Mapping[str, float]


def main() -> None:
    """Print seconds and ratios."""
    parser = arguments(main.__doc__, rounds=3)
    parser.add_argument("--bars", type=int, nargs="+", default=list(SIZES))
    chosen = parser.parse_args()
    source = SimulatedSource(type="simulated", seed=1, days=366)
    year = simulate("SIM/USD", Interval("1m"), source, parse_time("2026-11-01"))
    cases = [
        Case(size, name, measured(year.take(slice(-size, None)), costs, chosen.rounds))
        for size in chosen.bars
        for name, costs in COSTS.items()
    ]
    rows = []
    for case in cases:
        bare = case.seconds["numba loop"]
        for side, seconds in case.seconds.items():
            name = f"{case.bars:,} bars, {case.costs}: {side}"
            rows.append((name, f"{seconds * 1e3:.1f}", f"{seconds / bare:.1f}", f"{seconds / case.bars * 1e9:.0f}"))
    show(f"a trade every {HELD_BARS} bars at most; all agree to 1e-9", ("side", "ms", "x the loop", "ns a bar"), rows)
    keep(chosen.json, {"cases": [dataclasses.asdict(case) for case in cases]})


if __name__ == "__main__":
    main()
