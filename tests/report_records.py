"""Whole run records for the report's tests, from seeded random markets traded by the real ledger, metrics and gates."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from tidegate.backtest.baselines import RandomBaseline, random_entries
from tidegate.backtest.costs import STRESS_MULTIPLIERS, stressed_returns
from tidegate.backtest.metrics import summarise
from tidegate.backtest.portfolio import combine, join
from tidegate.backtest.positions import decide
from tidegate.backtest.ratios import sharpe
from tidegate.backtest.reference import run
from tidegate.backtest.regimes import REGIMES, by_regime, classify, fit_regimes
from tidegate.backtest.result import Backtest
from tidegate.bars.bars import Bars, Floats, parse_time
from tidegate.bars.interval import DAY_MS, Interval
from tidegate.dataset.windows import FoldWindows, Window
from tidegate.features.spec import FeatureSpec
from tidegate.gates.evaluation import Measurement
from tidegate.gates.result import Verdict
from tidegate.gates.verdicts import decide_by
from tidegate.model.manifest import Calibration, FeatureReference, Manifest
from tidegate.pipeline.evidence import plain
from tidegate.pipeline.evidence import skill as skill_at
from tidegate.policy.policy import PositionPolicy
from tidegate.report.record import (
    CalibrationCurve,
    ContestRecord,
    FoldRecord,
    PromotionRecord,
    RunRecord,
    SymbolRecord,
)
from tidegate.statistics.proportions import break_even_win_rate
from tidegate.statistics.sharpe import deflated_sharpe, minimum_track_record, skill_p_value
from tidegate.statistics.spending import Allowance
from tidegate.strategy.gates import Gates
from tidegate.strategy.policies import built_in
from tidegate.strategy.strategy import FileSource, SimulatedSource, Strategy

AS_OF: Final = parse_time("2026-11-01T00:00:00Z")
TRAIN_DAYS, TEST_DAYS, FOLDS = 90, 30, 6
NAN: Final = float("nan")
ALLOWED: Final = Allowance(level=0.05 / 12, budget=0.05, charged=0.0, returns_at=None)
POLICY: Final = PositionPolicy(long_at=0.62, short_at=0.38, take_profit=0.011, stop_loss=0.019, max_holding_bars=12)
PROMOTED_SKILL, REFUSED_SKILL, CHAMPION_SKILL = 0.012, 0.002, 0.004
FEATURES: Final = tuple(
    f"{family}_{length}"
    for family in (
        "return",
        "volatility",
        "range_position",
        "efficiency",
        "signed_volume",
        "rsi",
        "volume_z",
        "trend_slope",
    )
    for length in (6, 24, 48, 96)
)


@dataclass(frozen=True)
class Tested:
    """A model's test on all folds: per fold the portfolio, and forecasts with their outcomes."""

    folds: tuple[Backtest, ...]
    bars: Mapping[str, Bars]
    probability: Floats
    outcome: Floats


def promoted(*, simulated: bool = True, champion: int | None = None) -> RunRecord:
    """A model with an edge that no real one has; every gate passes."""
    made = record(PROMOTED_SKILL, simulated=simulated, champion=champion)
    assert made.decision.promote, made.decision.summary
    before = champion
    return replace(made, promotion=PromotionRecord("promoted", (champion or 0) + 1, before, "committed"))


def refused(*, simulated: bool = False, champion: int | None = 3) -> RunRecord:
    """A model with hardly any edge: costs eat it, and the gates refuse."""
    made = record(REFUSED_SKILL, simulated=simulated, champion=champion)
    assert not made.decision.promote
    return replace(made, promotion=PromotionRecord("refused", 4, None, made.decision.summary))


def empty() -> RunRecord:
    """A model that never traded: much is NaN, and the contest was never held."""
    made = record(0.0, simulated=False, champion=None, margin=0.5)
    assert len(made.pooled.trades) == 0
    return replace(made, promotion=PromotionRecord("not_tried", None, None, ""), timings_s={}, run_id=None, links={})


def record(
    skill: float,
    *,
    simulated: bool,
    champion: int | None,
    margin: float = 0.09,
    symbols: int = 1,
    notes: tuple[str, ...] = ("Times were in seconds; turned into milliseconds.", "2 rows were out of order; sorted."),
) -> RunRecord:
    """A record of a model whose forecasts are right by as much as `skill` says."""
    strategy = _strategy(simulated=simulated, symbols=symbols)
    policy = POLICY.model_copy(update={"long_at": 0.5 + margin, "short_at": 0.5 - margin})
    tested = _test(strategy, policy, skill, seed=11)
    per_year = strategy.periods_per_year
    pooled = join(tested.folds)
    metrics = summarise(pooled, per_year)
    regimes = by_regime(pooled, per_year)
    contest, improvement = _contest(strategy, policy, tested, champion)
    manifest = _manifest(strategy, policy, metrics, tested)
    baseline = random_entries(tested.bars, pooled, strategy.costs, per_year, seed=5)
    found = _measurements(metrics, regimes, len(tested.folds), champion, improvement)
    found |= _chance(pooled, metrics, baseline, per_year, champion)

    def under(gates: Gates) -> Mapping[str, Measurement]:
        return found | {"skill": skill_at(found["skill"], ALLOWED, strategy.gates, gates)}

    decided = decide_by(strategy.name, manifest.digest(), under, strategy.gates, built_in())
    return RunRecord(
        strategy=strategy,
        retrain_key=f"{strategy.name}/2026-11",
        as_of=AS_OF,
        created_at=AS_OF + 95_000,
        decision=decided,
        manifest=manifest,
        symbols=tuple(_symbol(bars, notes) for bars in tested.bars.values()),
        folds=tuple(_fold(number, fold, per_year) for number, fold in enumerate(tested.folds)),
        pooled=pooled,
        metrics=metrics,
        regimes=regimes,
        stress={times: _stress(pooled, times, per_year) for times in STRESS_MULTIPLIERS},
        random_baseline=baseline,
        calibration=_calibration(tested),
        contest=contest,
        promotion=PromotionRecord("not_tried", None, None, ""),
        timings_s={
            "bars": 0.41, "validation": 0.62, "features": 1.93, "labels": 0.18, "training": 6.71, "backtest": 0.87,
            "gates": 1.22, "bundle": 0.33, "registry": 1.64, "report": 0.29,
        },
        run_id="8c1f0a3be1d94d0aa6c8a4f7d5b3e291",
        links={"MLflow run": "http://127.0.0.1:5000/#/experiments/1/runs/8c1f0a3b", "Data docs": "data_docs/index.html"},
    )  # fmt: skip


def _strategy(*, simulated: bool, symbols: int) -> Strategy:
    names = ("SIM/USDT", "SIM2/USDT", "SIM3/USDT") if simulated else ("BTC/USDT", "ETH/USDT", "SOL/USDT")
    source = (
        SimulatedSource(type="simulated", seed=1) if simulated else FileSource(type="file", path="bars/{symbol}.csv")
    )
    name = "simulated-edge" if simulated else "btc-1h"
    return Strategy(
        version=1,
        name=name,
        kind="simulated" if simulated else "real",
        symbols=names[:symbols],
        interval="1h",
        source=source,
    )


def _test(strategy: Strategy, policy: PositionPolicy, skill: float, seed: int) -> Tested:
    folds: list[list[Backtest]] = [[] for _ in range(FOLDS)]
    found: dict[str, Bars] = {}
    probabilities, outcomes = [], []
    for at, symbol in enumerate(strategy.symbols):
        bars = _walk(symbol, strategy.bar, seed=3 + at)
        regime = classify(bars, fit_regimes(bars.until(_fold_start(0))))
        ahead = np.append(np.log(bars.close[8:] / bars.close[:-8]), np.zeros(8))
        rng = np.random.default_rng([seed, at])
        hint = skill * np.sign(ahead) * (np.abs(ahead) > 0.002)
        probability = np.clip(0.5 + hint + 0.055 * rng.standard_normal(len(bars)), 0.02, 0.98)
        parts = []
        for number in range(FOLDS):
            rows = (bars.opened_at >= _fold_start(number)) & (bars.closed_at <= _fold_start(number + 1))
            part = bars.take(rows)
            target = decide(probability[rows], part.close, part.open, policy)
            share = strategy.capital / len(strategy.symbols)
            folds[number].append(run(part, target, strategy.costs, share, regime[rows]))
            parts.append(part)
        tested_rows = bars.opened_at >= _fold_start(0)
        probabilities.append(probability[tested_rows])
        outcomes.append((ahead > 0)[tested_rows].astype(np.float64))
        found[symbol] = Bars.concatenate(parts)
    joined = tuple(combine(dict(zip(strategy.symbols, fold, strict=True))) for fold in folds)
    return Tested(joined, found, np.concatenate(probabilities), np.concatenate(outcomes))


def _walk(symbol: str, interval: Interval, seed: int) -> Bars:
    """Bars of a random walk whose volatility comes in spells."""
    rng = np.random.default_rng(seed)
    opened_at = np.arange(AS_OF - (TRAIN_DAYS + FOLDS * TEST_DAYS) * DAY_MS, AS_OF, interval.milliseconds)
    n = len(opened_at)
    spell = np.repeat(rng.choice([0.7, 1.0, 1.7], n // 72 + 1), 72)[:n]
    moves = 0.0042 * spell * rng.standard_t(5, n) / 1.29
    close = 64_000.0 * np.exp(np.cumsum(moves))
    opens = np.append(64_000.0, close[:-1]) * (1 + 0.0002 * rng.standard_normal(n))
    reach = 0.0016 * spell * np.abs(rng.standard_normal((2, n)))
    high, low = np.maximum(opens, close) * (1 + reach[0]), np.minimum(opens, close) * (1 - reach[1])
    volume = 800 * np.exp(0.5 * rng.standard_normal(n))
    return Bars.of(symbol, interval, opened_at=opened_at, open=opens, high=high, low=low, close=close, volume=volume)


def _fold_start(number: int) -> int:
    return AS_OF - (FOLDS - number) * TEST_DAYS * DAY_MS


def _fold(number: int, backtest: Backtest, per_year: float) -> FoldRecord:
    start = _fold_start(number)
    return FoldRecord(
        train_start_at=start - TRAIN_DAYS * DAY_MS,
        train_end_at=start - 12 * 3_600_000,
        test_start_at=start,
        test_end_at=start + TEST_DAYS * DAY_MS,
        training_rows=2039 + 7 * number,
        rounds=84 + 13 * number,
        margin=0.09,
        log_loss=0.6817 - 0.0021 * number,
        metrics=summarise(backtest, per_year),
    )


def _stress(pooled: Backtest, times: float, per_year: float) -> dict[str, float]:
    returns = stressed_returns(pooled, times)
    return {"sharpe": sharpe(returns, per_year), "total_return": float(returns.sum())}


def _calibration(tested: Tested) -> CalibrationCurve:
    edges = np.linspace(0.25, 0.75, 11)
    place = np.digitize(tested.probability, edges)
    rows = [place == number for number in range(len(edges) + 1)]
    some = [chosen for chosen in rows if chosen.any()]
    return CalibrationCurve(
        forecast=np.array([tested.probability[chosen].mean() for chosen in some]),
        observed=np.array([tested.outcome[chosen].mean() for chosen in some]),
        count=np.array([float(chosen.sum()) for chosen in some]),
    )


def _contest(
    strategy: Strategy, policy: PositionPolicy, tested: Tested, champion: int | None
) -> tuple[ContestRecord, float | None]:
    if champion is None:
        return ContestRecord(None, "first model of this strategy"), None
    per_year = strategy.periods_per_year
    rival = _test(strategy, policy, CHAMPION_SKILL, seed=29).folds[-1]
    ours, theirs = summarise(tested.folds[-1], per_year), summarise(rival, per_year)
    improvement = (ours["sharpe"] - theirs["sharpe"]) / max(abs(theirs["sharpe"]), 0.5)
    record = ContestRecord(
        champion, "both models on the newest fold's window", tested.folds[-1].closed_at, tested.folds[-1].equity,
        rival.equity, ours, theirs,
    )  # fmt: skip
    return record, improvement


def _measurements(
    metrics: Mapping[str, float],
    regimes: Mapping[str, Mapping[str, float]],
    folds: int,
    champion: int | None,
    improvement: float | None,
) -> dict[str, Measurement]:
    n = int(metrics["trades"])
    rate, error = metrics["win_rate"], metrics["sharpe_standard_error"]
    rate_error = (rate * (1 - rate) / n) ** 0.5 if n else None
    ends = (metrics["win_rate_low"], metrics["win_rate_high"])
    around = (metrics["sharpe"] - 1.96 * error, metrics["sharpe"] + 1.96 * error)
    first = Measurement(None, ruling=Verdict.PASS, reason="first model, no champion to beat")
    return {
        "min_train_days": Measurement(90.0, 1),
        "recommended_train_days": Measurement(90.0, 1),
        "validation_passed": Measurement(0.0, evidence={"rules": 19}),
        "out_of_sample_folds": Measurement(float(folds), folds),
        "costs_above_zero": Measurement(metrics["min_cost_bps"], n),
        "win_rate": Measurement(rate, n, rate_error, ends),
        "sharpe": Measurement(metrics["sharpe"], FOLDS * TEST_DAYS * 24, error, around),
        "max_drawdown": Measurement(metrics["max_drawdown"], FOLDS * TEST_DAYS * 24),
        "trades": Measurement(metrics["trades"], n),
        "newest_fold_sharpe": Measurement(metrics["sharpe"], TEST_DAYS * 24, error * FOLDS**0.5),
        "newest_fold_trades": Measurement(metrics["trades"] // FOLDS, n // FOLDS),
        **{f"regime_{name}": Measurement(regimes[name]["profit_factor"], int(regimes[name]["trades"])) for name in REGIMES},
        "too_good_win_rate": Measurement(min(rate, 0.64), n, rate_error),
        "too_good_sharpe": Measurement(min(metrics["sharpe"], 5.0), n, max(error, 1.4)),
        "engines_agree": Measurement(3.1e-14, n),
        "no_look_ahead": Measurement(0.0, 4000, evidence={"cuts": 25, "newest_cut": "2026-10-28T07:00:00Z"}),
        "onnx_parity": Measurement(2.98e-7, 720, evidence={"rows": 720, "median_difference": 3.1e-8}),
        "serving_parity": Measurement(0.0, 720),
        "reproducible": Measurement(0.0, 2, evidence={"sha256": "9f2c" * 16}),
        "latency_p95_ms": Measurement(0.412, 500, evidence={"p50_ms": 0.288, "p99_ms": 0.83}),
        "champion": first if champion is None else Measurement(improvement, TEST_DAYS, evidence={"champion_version": champion}),
    }  # fmt: skip


def _chance(
    pooled: Backtest, metrics: Mapping[str, float], baseline: RandomBaseline, per_year: float, champion: int | None
) -> dict[str, Measurement]:
    """The statistical gates, of the record's own returns where one line says them."""
    n, bars, returns = int(metrics["trades"]), len(pooled), pooled.net_return
    error, year = metrics["sharpe_standard_error"], per_year**0.5
    evidence = {
        "sharpe": plain(metrics["sharpe"]), "standard_error": plain(error), "days": float(FOLDS * TEST_DAYS),
    }  # fmt: skip
    needed = minimum_track_record(returns, per_year) if n else NAN
    deflated = deflated_sharpe(returns, np.linspace(-1.0, 1.0, 42) / year)
    even = break_even_win_rate(metrics["payoff_ratio"])
    stressed = _stress(pooled, 1.5, per_year)["sharpe"] if n else NAN
    first = Measurement(None, ruling=Verdict.PASS, reason="first model, no champion to beat")
    return {
        "skill": Measurement(skill_p_value(returns, per_year) if n else NAN, bars, error, evidence=evidence),
        "deflated_sharpe": Measurement(
            deflated.probability if n else NAN, 42,
            evidence={"benchmark_sharpe": deflated.benchmark * year, "standard_error": plain(error), "trials": 42},
        ),
        "track_record": Measurement(
            bars / needed, bars, evidence=evidence | {"needed_days": plain(needed / bars * FOLDS * TEST_DAYS)}
        ),
        "sharpe_lower": Measurement(metrics["sharpe"] - 1.96 * error, bars, evidence=evidence),
        "win_rate_lower": Measurement(
            metrics["win_rate_low"] - even, n,
            evidence={"wins": round(metrics["win_rate"] * n) if n else 0, "break_even": plain(even)},
        ),
        "overfitting": Measurement(0.31, 42),
        "cost_stress": Measurement(
            stressed, bars, evidence={"break_even_multiple": plain(metrics["break_even_cost_multiple"])}
        ),
        "break_even_cost": Measurement(metrics["break_even_cost_multiple"], n),
        "capacity": Measurement(38.0 if n else None, n, evidence={"capacity": 380_000.0}),
        "random_entries": Measurement(baseline.sharpe_percentile, 200),
        "permuted_labels": Measurement(0.05 if n else None, 19),
        "champion_difference": first if champion is None else Measurement(0.031, TEST_DAYS * 24),
        "superior": Measurement(0.021, TRAIN_DAYS * 24),
    }  # fmt: skip


def _manifest(strategy: Strategy, policy: PositionPolicy, metrics: Mapping[str, float], tested: Tested) -> Manifest:
    rng = np.random.default_rng(8)
    gains = np.sort(rng.gamma(1.1, 1.0, len(FEATURES)))[::-1]
    at = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
    windows = tuple(
        FoldWindows(
            train=Window(
                start_at=_fold_start(number) - TRAIN_DAYS * DAY_MS, end_at=_fold_start(number) - 12 * 3_600_000
            ),
            test=Window(start_at=_fold_start(number), end_at=_fold_start(number + 1)),
        )
        for number in range(FOLDS)
    )
    fields: dict[str, Any] = {
        "strategy": strategy.name,
        "kind": strategy.kind,
        "symbols": strategy.symbols,
        "interval": strategy.interval,
        "calendar": strategy.calendar,
        "features": tuple(
            FeatureSpec(name=name, use=name.rsplit("_", 1)[0], length=int(name.rsplit("_", 1)[1]), lookback=97)
            for name in FEATURES
        ),
        "feature_hash": "5d41" * 16,
        "lookback": 193,
        "policy": policy,
        "calibration": Calibration(slope=1.07, intercept=-0.02),
        "labels": strategy.labels.model_dump(),
        "costs": strategy.costs.model_dump(),
        "model": {"max_depth": 4, "rounds": 149},
        "windows": windows,
        "last_seen_at": AS_OF,
        "snapshots": {symbol: bars.content_hash() for symbol, bars in tested.bars.items()},
        "seed": 7,
        "threads": 2,
        "reference": {},
        "probability_reference": FeatureReference(probabilities=at, values=tuple(np.quantile(tested.probability, at))),
        "label_rate": 0.497,
        "importance": dict(zip(FEATURES, (gains / gains.sum()).tolist(), strict=True)),
        "out_of_sample": {name: value if np.isfinite(value) else None for name, value in metrics.items()},
        "regimes": {"window_bars": 48},
        "files": {"model.onnx": "0" * 64},
        "library_versions": {
            "numpy": "2.4.6", "onnxruntime": "1.32.0", "python": "3.11.14", "scikit-learn": "1.9.1", "tidegate": "0.1.0",
            "vectorbt": "1.2.0", "xgboost": "3.2.0",
        },
        "created_at": AS_OF + 80_000,
        "expires_at": AS_OF + 45 * DAY_MS,
    }  # fmt: skip
    return Manifest(**fields)


def _symbol(bars: Bars, notes: tuple[str, ...]) -> SymbolRecord:
    findings = (
        {"rule": "gaps", "severity": "warn", "count": 3, "share": 0.0011, "message": "3 gaps, 7 bars missing.", "rows": []},
        {
            "rule": "jumps", "severity": "warn", "count": 2, "share": 0.0003, "rows": [],
            "message": "2 returns beyond 10 robust standard deviations, the first at 2026-06-03T14:00:00Z; kept, since real crashes are real.",
        },
        {"rule": "high_low", "severity": "quarantine", "count": 1, "share": 0.0002, "message": "1 row: high below close.", "rows": []},
    )  # fmt: skip
    validation = {
        "schema_version": 1, "symbol": bars.symbol, "interval": "1h", "calendar": "24/7", "passed": True,
        "rows_in": len(bars) + 1, "rows_clean": len(bars), "rows_quarantined": 1, "expected_bars": len(bars) + 7,
        "missing_bars": 7, "gaps": 3, "findings": list(findings),
        "expectations": {"success": True, "evaluated": 17, "failed": 0, "results": []},
    }  # fmt: skip
    return SymbolRecord(
        symbol=bars.symbol,
        origin="bars/btcusdt.csv (1 file, 1.2 MB)",
        notes=notes,
        snapshot=bars.content_hash(),
        bars=len(bars),
        first_at=int(bars.opened_at[0]),
        last_at=int(bars.closed_at[-1]),
        validation=validation,
    )
