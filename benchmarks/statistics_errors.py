"""How often the statistics err: `python -m benchmarks.statistics_errors [--worlds N]`.

Every world is drawn without skill (a true mean of zero) unless a row says otherwise.
"""

import argparse
import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.special import expit

from tidegate.backtest.ratios import payoff_ratio, profit_factor, sharpe, sharpe_standard_error, win_rate
from tidegate.backtest.result import Backtest, Floats, Trades
from tidegate.bars.interval import DAY_MS
from tidegate.statistics.bootstrap import metric_intervals
from tidegate.statistics.overfitting import probability_of_overfitting
from tidegate.statistics.paired import sharpe_difference
from tidegate.statistics.proportions import wilson_interval
from tidegate.statistics.sharpe import deflated_sharpe, power, probabilistic_sharpe, skill_p_value
from tidegate.statistics.spending import yearly_false_rate, yearly_pass_rate
from tidegate.statistics.superior import superior_ability

YEAR, HOURS = 365, 8760
MONTHLY = 0.05 / 12  # level of one look at policy `balanced`
HELD = 12  # bars of a trade
DRAWS = 400  # resamples where a test needs them
SIZE = 0.3  # standard deviation of the log of what a trade wins or loses
Draw = Callable[[np.random.Generator, int], Floats]


def normal(chance: np.random.Generator, n: int) -> Floats:
    """Independent normal returns."""
    return chance.standard_normal(n)


def heavy(chance: np.random.Generator, n: int) -> Floats:
    """Student's t with 3 degrees of freedom: no kurtosis exists."""
    return chance.standard_t(3, n)


def following(share: float) -> Draw:
    """AR(1) returns."""

    def draw(chance: np.random.Generator, n: int) -> Floats:
        return np.asarray(lfilter([1.0], [1.0, -share], chance.standard_normal(n + 100))[100:], np.float64)

    return draw


def in_storms(chance: np.random.Generator, n: int) -> Floats:
    """Normal returns whose volatility comes and goes over weeks."""
    log_volatility = lfilter([0.15], [1.0, -0.98], chance.standard_normal(n + 500))[500:]
    return np.asarray(np.exp(log_volatility) * chance.standard_normal(n), np.float64)


def with_trades(trades: int, rate: float, held: int = 1) -> Draw:
    """Returns that are zero but in trades, so many on average; wins come at this rate, and losses are so large that nothing is left.

    Within a trade of several bars the price walks to where the trade ends, as a price without memory does.
    """
    loss = rate / (1.0 - rate)
    step = math.sqrt(loss * math.exp(2.0 * SIZE**2) / held)

    def draw(chance: np.random.Generator, n: int) -> Floats:
        slots = n // held
        traded = chance.random(slots) < trades / slots
        won = np.where(chance.random(slots) < rate, 1.0, -loss) * np.exp(SIZE * chance.standard_normal(slots))
        walk = chance.standard_normal((slots, held)) * step if held > 1 else np.zeros((slots, 1))
        walk += (won / held - walk.mean(axis=1))[:, None]
        returns = np.zeros(n)
        returns[: slots * held] = (walk * traded[:, None]).ravel()
        return returns

    return draw


DAILY: Mapping[str, Draw] = {
    "normal": normal,
    "Student's t, 3 degrees": heavy,
    "volatility in storms": in_storms,
    "AR(1) 0.2": following(0.2),
    "AR(1) -0.2": following(-0.2),
    "250 trades, 60 % win": with_trades(250, 0.6),
    "40 trades, 60 % win": with_trades(40, 0.6),
    "40 trades, 85 % win": with_trades(40, 0.85),
    "40 trades, 20 % win": with_trades(40, 0.2),
}
ENOUGH: Mapping[str, Draw] = {
    "75 trades, 60 % win": with_trades(75, 0.6),
    "100 trades, 85 % win": with_trades(100, 0.85),
}
TOO_FEW: Mapping[str, Draw] = {"21 trades, 85 % win": with_trades(21, 0.85)}
CHOSEN = (
    "normal",
    "Student's t, 3 degrees",
    "AR(1) 0.2",
    "40 trades, 60 % win",
    "40 trades, 85 % win",
)  # where it takes long
HOURLY: Mapping[str, Draw] = {
    f"{trades} trades of {HELD} bars, {rate:.0%} win".replace("%", " %"): with_trades(trades, rate, HELD)
    for trades, rate in ((500, 0.6), (100, 0.6), (100, 0.85), (30, 0.6))
}


def share(passed: NDArray[np.bool_]) -> str:
    """A share with its standard error."""
    p = float(np.mean(passed))
    return f"{p:7.2%} ±{math.sqrt(p * (1 - p) / len(passed)):.2%}"


def skill_table(worlds: int) -> None:
    """Sizes of the test of one Sharpe ratio, with the robust standard error and by the probabilistic Sharpe ratio."""
    levels = (0.05, MONTHLY)
    print(
        f"{'no skill passes at':44} "
        + " ".join(f"{name:>15}" for name in ("skill 5 %", "skill 0.42 %", "PSR 5 %", "PSR 0.42 %"))
    )
    records = [("365 days, ", YEAR, {**DAILY, **ENOUGH}, worlds), ("8760 hours, ", HOURS, HOURLY, worlds // 3)]
    for row, (title, n, cases, count) in enumerate(records):
        for column, (name, draw) in enumerate(cases.items()):
            chance = np.random.default_rng([1, row, column])
            found = np.array([_both(draw(chance, n), n) for _ in range(count)])
            cells = [share(found[:, test] <= level) for test in (0, 1) for level in levels]
            print(f"{title + name:44} " + " ".join(f"{cell:>15}" for cell in cells), flush=True)


def _both(returns: Floats, n: int) -> tuple[float, float]:
    return skill_p_value(returns, n), 1.0 - probabilistic_sharpe(returns, n)


def year_table(worlds: int) -> None:
    """How often any of twelve monthly looks at the last 365 days passes."""
    print(f"\n{'12 monthly looks at a year, 0.42 % each':44} {'passes in a year':>17}")
    records = [
        ("365 days, ", YEAR, {**DAILY, **ENOUGH, **TOO_FEW}, worlds),
        ("8760 hours, ", HOURS, HOURLY, worlds // 2),
    ]
    for row, (title, n, cases, count) in enumerate(records):
        for column, (name, draw) in enumerate(cases.items()):
            chance = np.random.default_rng([6, row, column])
            passed = np.array([_any_look(draw, chance, n) for _ in range(count)])
            print(f"{title + name:44} {share(passed):>17}", flush=True)


def _any_look(draw: Draw, chance: np.random.Generator, n: int) -> bool:
    """Two years, so that trades are as many in each as said."""
    returns, month = np.concatenate((draw(chance, n), draw(chance, n))), n // YEAR * 30
    return any(skill_p_value(returns[look : look + n], n) <= MONTHLY for look in range(0, 12 * month, month))


def power_table(worlds: int) -> None:
    """Power of one look and of a year of looks, computed and drawn."""
    print(f"\n{'365 normal days, level 0.42 %':44} {'computed':>15} {'drawn':>15} {'12 looks a year':>16}")
    for true in (0.0, 1.0, 2.0, 3.0):
        chance = np.random.default_rng([2, round(true)])
        pool = [normal(chance, YEAR) + true / math.sqrt(YEAR) for _ in range(worlds)]
        passed = np.array([skill_p_value(returns, YEAR) <= MONTHLY for returns in pool])
        error = float(np.mean([sharpe_standard_error(returns, YEAR) for returns in pool[:500]]))
        yearly = yearly_pass_rate(MONTHLY, 11 / 12, 12, true / error)
        print(f"true Sharpe {true:<32} {power(true, error, MONTHLY):15.1%} {share(passed):>15} {yearly:16.1%}")
    print(f"\n{'12 looks, each at 5 % / 12, share in common':44} {'pass without skill in a year':>30}")
    for overlap in (0.0, 0.5, 11 / 12):
        print(f"{overlap:<44.2f} {yearly_false_rate(MONTHLY, overlap, 12):30.2%}", flush=True)


def paired_table(worlds: int) -> None:
    """Sizes of the paired difference of two equal strategies, two-sided at 5 %, and coverage of its interval."""
    print(f"\n{'equal strategies, 365 days, differ at 5 %':44} {'correlation 0':>15} {'0.8':>15} {'0.8, plain z':>15}")
    for column, (name, draw) in enumerate(DAILY.items()):
        cells = []
        for correlation in (0.0, 0.8):
            chance = np.random.default_rng([3, column])
            found = [_paired(draw, correlation, chance, seed) for seed in range(worlds)]
            cells.append(share(np.array([p <= 0.05 for p, _ in found])))
            plain = share(np.array([abs(z) > 1.96 for _, z in found]))
        print(f"{name:44} {cells[0]:>15} {cells[1]:>15} {plain:>15}", flush=True)


def _paired(draw: Draw, correlation: float, chance: np.random.Generator, seed: int) -> tuple[float, float]:
    shared, *own = (draw(chance, YEAR) for _ in range(3))
    pair = [math.sqrt(1.0 - correlation) * each + math.sqrt(correlation) * shared for each in own]
    found = sharpe_difference(pair[0], pair[1], YEAR, seed=seed, draws=DRAWS)
    return found.p_value, found.difference / found.standard_error


def record(chance: np.random.Generator, n: int, trades: int, *, in_clusters: bool) -> Backtest:
    """A strategy with an edge: 60 % of its trades win what losses cost; in clusters, the rate itself wanders."""
    capital = 1000.0
    rate = np.full(n, math.log(1.5))
    if in_clusters:
        rate += lfilter([0.17], [1.0, -0.9], chance.standard_normal(n + 200))[200:]
    traded = chance.random(n) < trades / n
    won = np.where(chance.random(n) < expit(rate), 0.01, -0.01) * np.exp(SIZE * chance.standard_normal(n))
    returns = np.where(traded, won, 0.0)
    width = DAY_MS * YEAR // n
    opened = np.arange(n, dtype=np.int64) * width
    equity = capital * (1.0 + np.cumsum(returns))
    rows = np.flatnonzero(traded)
    columns = dict.fromkeys(Trades.names(), np.zeros(len(rows))) | {
        "exit_at": opened[rows] + width,
        "net_pnl": returns[rows] * capital,
    }
    nothing = np.zeros(n)
    return Backtest(
        opened_at=opened,
        closed_at=opened + width,
        position=nothing,
        net_return=returns,
        cost=nothing,
        turnover=nothing,
        equity=equity,
        equity_low=equity,
        market_return=nothing,
        regime=np.zeros(n, np.int8),
        capital=capital,
        trades=Trades.of(**columns),
    )


def drawdown(backtest: Backtest) -> float:
    """Largest fall from a peak over that peak."""
    equity = np.concatenate(([backtest.capital], backtest.equity))
    return float(np.max(1.0 - equity / np.maximum.accumulate(equity)))


def coverage_table(worlds: int) -> None:
    """How often 95 % intervals hold the truth: of the drawdown, how often that of another year."""
    names = ("sharpe", "total_return", "win_rate", "profit_factor", "payoff_ratio")
    print(
        f"\n{'95 % intervals hold the truth':44} "
        + " ".join(f"{name:>15}" for name in (*names, "Wilson", "next drawdown"))
    )
    for row, (title, n, trades, in_clusters) in enumerate(
        (
            ("365 days, 250 trades", YEAR, 250, False),
            ("365 days, 250 trades in clusters", YEAR, 250, True),
            ("365 days, 40 trades", YEAR, 40, False),
            ("8760 hours, 500 trades, drawn by days", HOURS, 500, False),
            ("8760 hours, 500 trades in clusters, by days", HOURS, 500, True),
        )
    ):
        chance = np.random.default_rng([4, row])
        truth = _truth(record(chance, 400 * n, 400 * trades, in_clusters=in_clusters), n)
        seen = [_intervals(record(chance, n, trades, in_clusters=in_clusters), n, seed) for seed in range(worlds)]
        cells = [share(np.array([each[name][0] <= truth[name] <= each[name][1] for each, _ in seen])) for name in names]
        cells.append(share(np.array([each["Wilson"][0] <= truth["win_rate"] <= each["Wilson"][1] for each, _ in seen])))
        after = [fall for _, fall in seen[1:] + seen[:1]]
        falls = [each["max_drawdown"] for each, _ in seen]
        cells.append(share(np.array([low <= fall <= high for (low, high), fall in zip(falls, after, strict=True)])))
        print(f"{title:44} " + " ".join(f"{cell:>15}" for cell in cells), flush=True)


def _intervals(backtest: Backtest, n: int, seed: int) -> tuple[dict[str, tuple[float, float]], float]:
    found = metric_intervals(backtest, n, seed=seed, draws=DRAWS)
    ends = {name: (interval.low, interval.high) for name, interval in found.items()}
    net = backtest.trades.net_pnl
    return ends | {"Wilson": wilson_interval(int(np.sum(net > 0)), len(net))}, drawdown(backtest)


def _truth(long: Backtest, n: int) -> dict[str, float]:
    net = long.trades.net_pnl
    return {
        "sharpe": sharpe(long.net_return, n),
        "total_return": float(long.net_return.mean()) * n,
        "win_rate": win_rate(net),
        "profit_factor": profit_factor(net),
        "payoff_ratio": payoff_ratio(net),
    }


def many_table(worlds: int) -> None:
    """What choosing among many strategies without skill does to the tests that are made for it."""
    print(
        f"\n{'best of 20 strategies without skill, 365 days':44} {'PSR >= 95 %':>15} {'DSR >= 95 %':>15} {'SPA <= 5 %':>15} {'PBO, mean':>15}"
    )
    for column, (name, draw) in enumerate((name, DAILY[name]) for name in CHOSEN):
        chance = np.random.default_rng([5, column])
        found = np.array(
            [_best_of_many(np.stack([draw(chance, YEAR) for _ in range(20)], axis=1), seed) for seed in range(worlds)]
        )
        cells = [share(found[:, test] >= 0.95) for test in (0, 1)] + [share(found[:, 2] <= 0.05)]
        print(
            f"{name:44} " + " ".join(f"{cell:>15}" for cell in cells) + f" {np.nanmean(found[:, 3]):15.2f}", flush=True
        )


def _best_of_many(returns: Floats, seed: int) -> tuple[float, float, float, float]:
    ratios = np.array([sharpe(column, 1.0) for column in returns.T])
    best = returns[:, np.nanargmax(ratios)]
    superior = superior_ability(np.zeros(len(returns)), returns, seed=seed, draws=DRAWS)
    overfitting = probability_of_overfitting(returns, 10)
    return (
        probabilistic_sharpe(best, YEAR),
        deflated_sharpe(best, ratios).probability,
        superior.consistent,
        overfitting.probability,
    )


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "--worlds", type=int, default=5_000, help="of the quick tests; those that resample get a tenth or a twentieth"
    )
    chosen = parser.parse_args()
    skill_table(chosen.worlds)
    year_table(chosen.worlds // 5)
    power_table(chosen.worlds)
    paired_table(chosen.worlds // 10)
    many_table(chosen.worlds // 20)
    coverage_table(chosen.worlds // 20)


if __name__ == "__main__":
    main()
