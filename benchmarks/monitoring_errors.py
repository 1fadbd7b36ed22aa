"""How often monitoring errs, and how late it is: `python -m benchmarks.monitoring_errors [--paths N] [--windows N]`.

A healthy model wins 60 % of its trades with a payoff ratio of 1 and has a Sharpe ratio of 2; once its edge is gone it wins 50 % and the
ratio is 0. Every path is five years of trades. A rule that acts restarts at the next trade or day, as a new version would.
"""

import argparse
import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.stats import ks_2samp

from tidegate.backtest.ratios import wilson_interval
from tidegate.bars.bars import parse_time
from tidegate.bars.interval import DAY_MS, Interval
from tidegate.bars.simulated import simulate
from tidegate.features.features import resolve
from tidegate.monitoring.drift import DriftSample, drift
from tidegate.monitoring.multiple import q_values
from tidegate.monitoring.point_rules import sharpe_fires, win_rate_fires
from tidegate.monitoring.sequential import Design, between, cusum, design
from tidegate.strategy.strategy import Monitor, Rollback, SimulatedSource

HEALTHY, GONE, SHARPE = 0.6, 0.5, 2.0
YEARS, YEAR = 5, 365
MOST_CHANGED = 40  # windows that a change is looked for in
CHUNK = 20  # paths at once
Wins = NDArray[np.bool_]
Draw = Callable[[np.random.Generator, int, int], Wins]
MONITOR, ROLLBACK = Monitor(), Rollback()
# A day that the features' names and the simulator's seeds have nothing to do with.
AS_OF = "2026-11-01T00:00:00Z"


def independent(win_rate: float) -> Draw:
    """Trades that win independently."""
    return lambda generator, trades, paths: generator.random((paths, trades), np.float32) < win_rate


def in_clusters(win_rate: float, size: int, correlation: float) -> Draw:
    """Trades in clusters, as of several symbols at one time: any two of a cluster win together with this correlation (beta-binomial)."""
    weight = (1 - correlation) / correlation

    def draw(generator: np.random.Generator, trades: int, paths: int) -> Wins:
        shape = (paths, -(-trades // size))
        rate = generator.beta(win_rate * weight, (1 - win_rate) * weight, shape).astype(np.float32)
        return generator.random((paths, trades), np.float32) < np.repeat(rate, size, axis=1)[:, :trades]

    return draw


def over_threshold(plan: Design, won: Wins) -> Wins:
    """(..., trades) where the statistic is at or above the threshold, without a restart."""
    steps = np.where(won, np.int32(-plan.win_steps), np.int32(plan.loss_steps))
    statistic = cusum(steps.T).T
    return statistic >= plan.threshold_steps


def alarms(plan: Design, won: Wins) -> NDArray[np.int64]:
    """Alarms of each path, the statistic restarted after each."""
    over = over_threshold(plan, won)
    found = np.zeros(len(won), np.int64)
    for path in np.flatnonzero(over.any(axis=1)):
        hit, begin = np.flatnonzero(over[path]), 0
        while len(hit):
            found[path] += 1
            begin += int(hit[0]) + 1
            hit = np.flatnonzero(over_threshold(plan, won[path, begin:]))
    return found


def first_alarm(plan: Design, won: Wins) -> NDArray[np.float64]:
    """Trades to the first alarm of each path, infinite without."""
    over = over_threshold(plan, won)
    return np.where(over.any(axis=1), over.argmax(axis=1) + 1.0, math.inf)


def chunks(paths: int, seed: int) -> Iterator[tuple[np.random.Generator, int]]:
    """A generator of chance for each chunk, and its number of paths."""
    for index in range(-(-paths // CHUNK)):
        yield np.random.default_rng([seed, index]), min(CHUNK, paths - index * CHUNK)


def sequential_row(title: str, plan: Design, healthy: Draw, gone: Draw, paths: int) -> None:
    """Print what the sequential test does to a healthy model and to one whose edge is gone."""
    trades = round(plan.trades_per_year * YEARS)
    found = np.concatenate([alarms(plan, healthy(chance, trades, size)) for chance, size in chunks(paths, 1)])
    long = round(20 * plan.median_trades_to_detection)
    seen = np.concatenate([first_alarm(plan, gone(chance, long, size)) for chance, size in chunks(paths, 2)])
    days = np.quantile(seen, (0.5, 0.9)) / plan.trades_per_year * YEAR
    print(
        f"{title:58} {plan.healthy:.3f}/{plan.gone:.3f} {plan.false_alarms_per_year:8.3f} {found.mean() / YEARS:8.3f} "
        f"{np.mean(found > 0):6.1%} {np.mean(found > 1):6.1%} {plan.median_days_to_detection:7.1f} {days[0]:7.1f} {days[1]:7.1f}",
        flush=True,
    )


def sequential_table(paths: int) -> None:
    """The sequential test, by trades a day."""
    print(
        f"{'sequential test':58} {'tells':>11} {'computed':>8} {'a year':>8} {'5 years':>6} {'twice':>6} {'comp.':>7} {'median':>7} {'90 %':>7}"
    )
    for per_day in (5, 20, 50):
        plan = between(HEALTHY, GONE, per_day, MONITOR.yearly_false_alarms)
        sequential_row(f"{per_day} a day, true 60 %", plan, independent(HEALTHY), independent(GONE), paths)
        title = f"{per_day} a day, backtest says 60 %, true 58 %, taken at 60 %"
        sequential_row(title, plan, independent(0.58), independent(GONE), paths)
        for size, correlation in ((2, 0.3), (5, 0.3)):
            title = f"{per_day} a day, wins in clusters of {size}, correlation {correlation}"
            draws = in_clusters(HEALTHY, size, correlation), in_clusters(GONE, size, correlation)
            sequential_row(title, plan, *draws, paths)
            known = 1 + (size - 1) * correlation
            wider = between(HEALTHY, GONE, per_day, MONITOR.yearly_false_alarms, dispersion=known)
            sequential_row(f"{per_day} a day, the same, dispersion {known:g} known", wider, *draws, paths)
        trades = 90 * per_day
        low = wilson_interval(round(HEALTHY * trades), trades)[0]
        said = {"win_rate": HEALTHY, "win_rate_low": low, "payoff_ratio": 1.0, "trades_per_day": float(per_day)}
        careful = design(said, MONITOR.yearly_false_alarms)
        for truth in (HEALTHY, 0.58, careful.healthy):
            title = f"{per_day} a day, as designed from {trades} trades, true {truth:.1%}"
            sequential_row(title, careful, independent(truth), independent(GONE), paths)


def point_rule_rows(paths: int) -> None:
    """The checklist's point rules, were they to act."""
    print(f"\n{'point rule':58} {'a year':>8} {'5 years':>6} {'twice':>6} {'median':>7} {'90 %':>7}")
    for per_day in (5, 20, 50):
        for truth in (HEALTHY, 0.58):
            point_rule_row(f"win rate under 52 %, {per_day} a day, true {truth:.0%}", per_day, truth, paths)
    for truth in (SHARPE, 1.5):
        sharpe_row(f"Sharpe ratio under 1, true {truth}", truth, paths)


def point_rule_row(title: str, per_day: float, truth: float, paths: int) -> None:
    """Print the win rate's rule at a true win rate."""
    chance = np.random.default_rng(3)
    trades = chance.poisson(per_day, (paths, YEARS * YEAR))
    before = ROLLBACK.win_rate_window_days + ROLLBACK.win_rate_days - 2
    after = chance.poisson(per_day, (paths, before + 200))
    rate = np.where(np.arange(before + 200) < before, truth, GONE)
    spells_row(
        title,
        win_rate_fires(chance.binomial(trades, truth), trades, ROLLBACK),
        win_rate_fires(chance.binomial(after, rate), after, ROLLBACK),
        before,
    )


def sharpe_row(title: str, truth: float, paths: int) -> None:
    """Print the Sharpe ratio's rule at a true ratio."""
    chance = np.random.default_rng(4)
    before = ROLLBACK.sharpe_window_days - 1
    returns = chance.normal(truth / math.sqrt(YEAR), 1.0, (paths, YEARS * YEAR))
    after = chance.normal(0.0, 1.0, (paths, before + 200))
    after[:, :before] += truth / math.sqrt(YEAR)
    spells_row(
        title,
        sharpe_fires(returns, np.full(returns.shape, 5), ROLLBACK),
        sharpe_fires(after, np.full(after.shape, 5), ROLLBACK),
        before,
    )


def spells_row(title: str, healthy: Wins, gone: Wins, restart: int) -> None:
    """Print acts on a healthy model, each followed by `restart` days to fill the windows anew, and days until the edge is missed.

    Where a rule already fires on the day before, that is luck; it counts as one day.
    """
    acts = np.zeros(len(healthy))
    for path, fires in enumerate(healthy):
        day = 0
        while len(hit := np.flatnonzero(fires[day:])):
            acts[path] += 1
            day += int(hit[0]) + 1 + restart
    seen = np.where(gone.any(axis=1), gone.argmax(axis=1) + 1.0, math.inf)
    days = np.quantile(seen, (0.5, 0.9))
    print(
        f"{title:58} {acts.mean() / YEARS:8.3f} {np.mean(acts > 0):6.1%} {np.mean(acts > 1):6.1%} {days[0]:7.1f} {days[1]:7.1f}",
        flush=True,
    )


def autoregressive_market(seed: int) -> tuple[DriftSample, DriftSample]:
    """90 and 7 days of 15-minute rows: 16 features that remember from nothing to two days, and 4 whose volatility does."""
    chance = np.random.default_rng([7, seed])
    rows, warm = 97 * 96, 4000
    rhos = np.concatenate(([0.0, 0.0], 1 - np.geomspace(0.5, 0.005, 14), np.full(4, 0.98)))
    noise = chance.standard_normal((rows + warm, len(rhos)))
    columns = [lfilter([math.sqrt(1 - rho**2)], [1.0, -rho], noise[:, k])[warm:] for k, rho in enumerate(rhos.tolist())]
    features = np.stack(columns, axis=1)
    features[:, 16:] = np.exp(0.5 * features[:, 16:]) * chance.standard_normal((rows, 4))
    names = tuple(f"f{k}" for k in range(len(rhos)))
    return halves(names, features, (chance.random(rows) < HEALTHY).astype(float), np.arange(rows) * DAY_MS // 96)


def simulated_market(seed: int) -> tuple[DriftSample, DriftSample]:
    """90 and 7 days of the simulated market's 15-minute bars through the standard features; labels are rises over 12 bars."""
    features = resolve(())
    source = SimulatedSource(type="simulated", seed=5000 + seed, days=105)
    bars = simulate("SIM/USD", Interval("15m"), source, parse_time(AS_OF))
    rows = 97 * 96
    rises = np.full(len(bars), np.nan)
    rises[:-12] = bars.close[12:] > bars.close[:-12]
    return halves(features.names, features.matrix(bars)[-rows:], rises[-rows:], bars.closed_at[-rows:])


def halves(
    names: tuple[str, ...], features: NDArray[np.float64], label: NDArray[np.float64], closed_at: NDArray[np.int64]
) -> tuple[DriftSample, DriftSample]:
    """Reference and current window."""
    probability = 1 / (1 + np.exp(-features[:, :3].sum(axis=1) / features[:, :3].sum(axis=1).std()))
    whole = DriftSample(names, features, probability, label, closed_at)
    return whole.take(np.arange(90 * 96)), whole.take(np.arange(90 * 96, len(label)))


def drifted(reference: DriftSample, current: DriftSample) -> list[str]:
    """Names of what drifted, by the defaults."""
    found = drift(
        1,
        reference,
        current,
        false_discovery_rate=MONITOR.drift_false_discovery_rate,
        effect=MONITOR.drift_effect,
        seed=1,
    )
    return [item.name for item in found.items if item.drifted]


def naive(reference: DriftSample, current: DriftSample) -> bool:
    """Whether Kolmogorov and Smirnov's test on rows taken as independent finds drift, with Benjamini-Hochberg."""
    pairs = zip(reference.features.T, current.features.T, strict=True)
    return bool((q_values(np.array([ks_2samp(*pair).pvalue for pair in pairs])) <= 0.05).any())


def drift_table(windows: int) -> None:
    """False alarms on stationary windows, and what is found of shifts."""
    print(
        f"\n{'drift, 90 days against 7, 15-minute rows':58} {'windows with any':>17} {'of features':>12} {'naive':>7}"
    )
    for title, market in (("autoregressive features", autoregressive_market), ("simulated market", simulated_market)):
        pairs = [market(seed) for seed in range(windows)]
        found = [drifted(*pair) for pair in pairs]
        features = sum(len(names) for names in found) / windows / (len(pairs[0][0].names) + 2)
        alarmed, plain = np.mean([bool(names) for names in found]), np.mean([naive(*pair) for pair in pairs])
        print(f"{title:58} {alarmed:17.1%} {features:12.2%} {plain:7.0%}", flush=True)
    print(
        f"\n{'drift found, autoregressive features, one of 22 changed':58} {'white':>7} {'memory 1 h':>11} {'1 day':>7}"
    )
    pairs = [autoregressive_market(1000 + seed) for seed in range(min(windows, MOST_CHANGED))]
    for title, shift, scale in (
        ("mean by half a standard deviation", 0.5, 1.0),
        ("mean by one standard deviation", 1.0, 1.0),
        ("mean by two standard deviations", 2.0, 1.0),
        ("standard deviation doubled", 0.0, 2.0),
    ):
        shares = [
            np.mean(
                [f"f{k}" in drifted(reference, with_change(current, k, shift, scale)) for reference, current in pairs]
            )
            for k in (0, 6, 14)
        ]
        print(f"{title:58} {shares[0]:7.0%} {shares[1]:11.0%} {shares[2]:7.0%}", flush=True)


def with_change(current: DriftSample, column: int, shift: float, scale: float) -> DriftSample:
    """The window with one feature changed."""
    features = current.features.copy()
    features[:, column] = features[:, column] * scale + shift
    return DriftSample(current.names, features, current.probability, current.label, current.closed_at)


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--paths", type=int, default=400)
    parser.add_argument("--windows", type=int, default=100)
    chosen = parser.parse_args()
    sequential_table(chosen.paths)
    point_rule_rows(chosen.paths)
    drift_table(chosen.windows)


if __name__ == "__main__":
    main()
