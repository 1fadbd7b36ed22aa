"""Whole monitoring records for the page's tests: seeded random markets, traded by the real ledger, judged by the real tests."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Final, Literal

import numpy as np
from tests import report_records

from tidegate.backtest.metrics import summarise
from tidegate.backtest.portfolio import combine
from tidegate.backtest.positions import decide
from tidegate.backtest.reference import run
from tidegate.backtest.regimes import by_regime, classify, fit_regimes
from tidegate.backtest.result import Backtest, Floats
from tidegate.bars.bars import Bars
from tidegate.bars.interval import DAY_MS
from tidegate.monitoring import sequential
from tidegate.monitoring.calibration import calibration, estimated_win_rate
from tidegate.monitoring.drift import DriftSample, drift
from tidegate.monitoring.importance import importance_change
from tidegate.monitoring.page.record import ChecklistRow, FindingLine, MonitorRecord
from tidegate.monitoring.result import (
    Balance,
    Cause,
    Drift,
    ImportanceChange,
    LiveFigures,
    Reconciliation,
    Role,
    Sequential,
    VersionFigures,
)
from tidegate.monitoring.versions import closed_trades
from tidegate.strategy.strategy import Strategy

AS_OF: Final = report_records.AS_OF
WINDOW_START: Final = AS_OF - 30 * DAY_MS
ENTERED_AT: Final = AS_OF - 80 * DAY_MS
EDGE_ENDED_AT: Final = AS_OF - 34 * DAY_MS
POLICY: Final = report_records.POLICY.model_copy(update={"long_at": 0.57, "short_at": 0.43, "max_holding_bars": 8})
NAN: Final = float("nan")
SKILL: Final = 0.012


@dataclass(frozen=True, eq=False)
class Answers:
    """What one model said about one symbol's bars, and how each forecast ended."""

    bars: Bars
    probability: Floats
    outcome: Floats


@cache
def healthy() -> MonitorRecord:
    """A model that earns what it promised."""
    made = _record(_strategy(), SKILL, gone=False)
    return replace(made, outcome="healthy", reason="no rule fired")


@cache
def early() -> MonitorRecord:
    """A healthy model of a real market, first day in production: too few trades for the rules."""
    made = _record(_strategy(simulated=False), SKILL, gone=False, entered_at=AS_OF - DAY_MS // 3)
    blind = tuple(
        replace(line, verdict="not_enough_evidence", observed=None, n=0, reason="no trade has been closed yet") for line in made.findings
    )  # fmt: skip
    reason = "no rule fired; not enough evidence for drift, sequential, sharpe, win_rate"
    rows = (*_service_rows(measured=True), *_weekly_rows(blind))
    return replace(made, outcome="watch", reason=reason, findings=blind, checklist=rows, drift=_no_drift(), importance=None)  # fmt: skip


@cache
def edge_gone() -> MonitorRecord:
    """A model whose edge ended, held back by a cooldown: rules fire, nothing was done."""
    made = _record(_strategy(), SKILL, gone=True)
    reason = (
        f"{made.findings[0].reason}; a rollback was held back: a maintenance window is open until 2026-11-01 04:00 UTC"
    )
    return replace(made, outcome="watch", reason=reason)


@cache
def rolled_back() -> MonitorRecord:
    """The same, and the version was left."""
    made = _record(_strategy(), SKILL, gone=True, before=4)
    trail = (
        "2026-11-01 00:01 UTC rollback v5 to v4 by monitor: sequential",
        "2026-09-18 03:12 UTC promote v5 by retrain: all 23 gates passed",
        "2026-08-18 03:10 UTC promote v4 by retrain: all 23 gates passed",
    )
    return replace(made, outcome="rolled_back", reason=f"sequential: {made.findings[0].reason}", now=4, trail=trail)


@cache
def halted() -> MonitorRecord:
    """The second failure in a row: nothing good is left."""
    made = _record(_strategy(), SKILL, gone=True)
    return replace(
        made, outcome="halted", reason="sequential: an incident of v6 is open, so the bot goes flat", now=None
    )


@cache
def nothing() -> MonitorRecord:
    """No version in production and no log."""
    return MonitorRecord(
        strategy=_strategy(), period="daily", as_of=AS_OF, window_start_at=WINDOW_START, outcome="nothing_to_monitor",
        reason="no version is in production", version=None, now=None, live=None, own=None, since=None, promised={},
        sequential=None, drift=None, importance=None, findings=(), checklist=_service_rows(measured=False), alerts=(),
    )  # fmt: skip


@cache
def several() -> MonitorRecord:
    """A monthly run over three symbols and three versions, with a challenger in shadow; a real market."""
    strategy = _strategy(simulated=False, symbols=3)
    made = _record(strategy, SKILL, gone=False, versions=(3, 4, 5), shadow=6)
    alerts = (
        "v3's bundle is not to be had: no figures by regime",
        "production was moved by hand at 2026-10-28 14:02 UTC",
    )
    monthly = (
        ChecklistRow("retrained with new data", "monthly", "pass", "2026-10-18", "within 31 days", "retrain btc-1h/2026-10, v5"),
        ChecklistRow("configuration reviewed", "monthly", "not_measured", "", "", "a person reviews the strategy file and the settings"),
    )  # fmt: skip
    return replace(
        made,
        outcome="healthy",
        reason="no rule fired",
        period="monthly",
        alerts=alerts,
        checklist=(*made.checklist, *monthly),
    )


@cache
def broken() -> MonitorRecord:
    """Every number that can be is no number."""
    made = edge_gone()
    assert made.live is not None
    assert made.own is not None
    assert made.sequential is not None
    assert made.drift is not None
    assert made.live.reconciliation is not None
    unknown = replace(
        made.own, metrics=dict.fromkeys(made.own.metrics, NAN), estimated_win_rate=NAN, trade_won=np.empty(0, np.bool_),
        trade_exit_at=np.empty(0, np.int64), trade_net_return=np.empty(0), regimes={"trending": {"trades": NAN}},
        calibration=calibration(np.empty(0), np.empty(0)), bundle_digest="",
    )  # fmt: skip
    series = made.live.series
    assert series is not None
    return replace(
        made,
        own=unknown,
        since=unknown,
        live=replace(
            made.live,
            production=(unknown,),
            series=replace(series, equity=np.full(len(series), NAN), net_return=np.full(len(series), NAN)),
            reconciliation=replace(made.live.reconciliation, promised=NAN, live=NAN),
        ),
        promised=dict.fromkeys(made.promised, None),
        sequential=replace(made.sequential, statistic=np.full(5, NAN), threshold=NAN, alarm_trade=None, healthy=NAN, gone=NAN),
        drift=replace(
            made.drift, items=tuple(replace(item, effect=NAN, q_value=NAN, p_value=NAN, drifted=False, current_mean=NAN) for item in made.drift.items)
        ),
        importance=ImportanceChange(5, 4, NAN, NAN, {"return_6": NAN}),
        findings=tuple(replace(line, observed=NAN, threshold=NAN, verdict="not_enough_evidence") for line in made.findings),
    )  # fmt: skip


def _strategy(*, simulated: bool = True, symbols: int = 1) -> Strategy:
    return report_records._strategy(simulated=simulated, symbols=symbols)


def _record(
    strategy: Strategy,
    skill: float,
    *,
    gone: bool,
    before: int | None = 4,
    versions: tuple[int, ...] = (5,),
    shadow: int | None = None,
    entered_at: int = ENTERED_AT,
) -> MonitorRecord:
    said = _answers(strategy, skill, -0.012 if gone else skill)
    starts = [max(entered_at, WINDOW_START + at * (AS_OF - WINDOW_START) // (2 * len(versions))) for at in range(len(versions))]  # fmt: skip
    ends = [*starts[1:], AS_OF]
    production = tuple(
        _figures(version, "production", said, start, end, strategy) for version, start, end in zip(versions, starts, ends, strict=True)
    )  # fmt: skip
    own = production[-1]
    entered = entered_at if len(versions) == 1 else starts[-1]
    since = _figures(own.version, "production", said, entered, AS_OF, strategy)
    promised = _promised(said, strategy)
    test = sequential.test(
        sequential.design(promised, strategy.monitor.yearly_false_alarms), own.version, since.trade_won
    )
    challengers = (
        ()
        if shadow is None
        else (_figures(shadow, "shadow", _answers(strategy, skill, 1.4 * skill), starts[-1], AS_OF, strategy),)
    )
    live = LiveFigures(
        strategy=strategy.name, as_of=AS_OF, window_start_at=WINDOW_START, window_end_at=AS_OF,
        balance=_balance(production, challengers), production=production, shadow=challengers,
        series=closed_trades(_run(said, max(WINDOW_START, starts[0]), AS_OF, strategy)),
        reconciliation=_reconciled(own, promised, strategy), snapshot={part.bars.symbol: part.bars.content_hash() for part in said.values()},
    )  # fmt: skip
    moved = _drift(own.version, gone=gone)
    findings = _findings(test, own, moved, strategy)
    return MonitorRecord(
        strategy=strategy, period="weekly", as_of=AS_OF, window_start_at=WINDOW_START, outcome="watch", reason="",
        version=own.version, now=own.version, live=live, own=own, since=since, promised=promised, sequential=test,
        drift=moved, importance=None if before is None else _importance(own.version, before), findings=findings,
        checklist=(*_service_rows(measured=True), *_weekly_rows(findings)), alerts=(),
    )  # fmt: skip


@cache
def _bars(symbol: str, interval: str, seed: int) -> Bars:
    return report_records._walk(
        symbol, Strategy.model_validate(_strategy().model_dump() | {"interval": interval}).bar, seed
    )


def _answers(strategy: Strategy, skill: float, live_skill: float) -> dict[str, Answers]:
    found = {}
    for at, symbol in enumerate(strategy.symbols):
        bars = _bars(symbol, strategy.interval, 3 + at)
        ahead = np.append(np.log(bars.close[8:] / bars.close[:-8]), np.full(8, NAN))
        rng = np.random.default_rng([17, at])
        strength = np.where(bars.opened_at >= EDGE_ENDED_AT, live_skill, skill)
        hint = strength * np.sign(np.nan_to_num(ahead)) * (np.abs(np.nan_to_num(ahead)) > 0.002)
        probability = np.clip(0.5 + hint + 0.05 * rng.standard_normal(len(bars)), 0.02, 0.98)
        found[symbol] = Answers(bars, probability, np.where(np.isnan(ahead), NAN, (ahead > 0).astype(np.float64)))
    return found


def _run(said: Mapping[str, Answers], start: int, end: int, strategy: Strategy) -> Backtest:
    parts = {}
    for symbol, answers in said.items():
        rows = (answers.bars.opened_at >= start) & (answers.bars.closed_at <= end)
        regime = classify(answers.bars, fit_regimes(answers.bars.until(ENTERED_AT)))
        part = answers.bars.take(rows)
        target = decide(answers.probability[rows], part.close, part.open, POLICY)
        parts[symbol] = run(part, target, strategy.costs, strategy.capital / len(said), regime[rows])
    return combine(parts)


def _figures(
    version: int, role: Role, said: Mapping[str, Answers], start: int, end: int, strategy: Strategy
) -> VersionFigures:
    found = closed_trades(_run(said, start, end, strategy))
    probability, outcome = (
        np.concatenate([getattr(each, name)[(each.bars.opened_at >= start) & (each.bars.closed_at <= end)] for each in said.values()])
        for name in ("probability", "outcome")
    )  # fmt: skip
    return VersionFigures(
        version=version,
        bundle_digest=f"{version:02d}9f" * 16,
        role=role,
        first_bar_at=int(found.closed_at[0]),
        last_bar_at=int(found.closed_at[-1]),
        predictions=len(found) * len(said),
        abstentions={"stale_bars": 5, "not_enough_history": 2},
        metrics=summarise(found, strategy.periods_per_year),
        regimes=by_regime(found, strategy.periods_per_year),
        calibration=calibration(probability, outcome),
        estimated_win_rate=estimated_win_rate(np.where(found.trades.side > 0, 0.584, 0.416), found.trades.side),
        trade_won=found.trades.net_pnl > 0,
        trade_exit_at=found.trades.exit_at,
        trade_net_return=found.trades.net_return,
    )


def _promised(said: Mapping[str, Answers], strategy: Strategy) -> dict[str, float | None]:
    metrics = summarise(_run(said, ENTERED_AT - 180 * DAY_MS, ENTERED_AT, strategy), strategy.periods_per_year)
    return {name: value if np.isfinite(value) else None for name, value in metrics.items()}


def _balance(production: tuple[VersionFigures, ...], shadow: tuple[VersionFigures, ...]) -> Balance:
    counted = sum(each.predictions for each in (*production, *shadow))
    abstained = sum(sum(each.abstentions.values()) for each in (*production, *shadow))
    return Balance(
        rows=counted + abstained + 3 + 2 + 1 + 4, repeated=3, without_bar=2, refused=4, abstained=abstained, not_yet_known=1,
        unmatched=0, counted=counted, bars_without_answer=6, damaged=0,
    )  # fmt: skip


def _reconciled(own: VersionFigures, promised: Mapping[str, float | None], strategy: Strategy) -> Reconciliation:
    bars = (own.last_bar_at - own.first_bar_at) / strategy.bar.milliseconds + 1
    mean = (promised["annual_return"] or 0.0) / strategy.periods_per_year * bars
    skew, missing, positions, costs = -0.0011, -0.0024, 0.0, -0.0032
    earned = own.metrics["total_return"] + costs
    market = earned - mean - skew - missing - positions - costs
    word = "less" if market < 0 else "more"
    causes = (
        Cause("market", market, f"the same model on these bars earns {word} than the backtest's mean: {mean + market:.4f} against {mean:.4f}"),
        Cause("skew", skew, "logged probabilities differ from those recomputed from the stored bars, by up to 0.00213"),
        Cause("missing", missing, "13 bars without an answer, where the bot was flat"),
        Cause("positions", positions, "targets are what the position policy makes of the probabilities"),
        Cause("costs", costs, f"5.20 bps a side paid in {len(own.trade_won)} round trips, 4.70 assumed in {len(own.trade_won)}"),
    )  # fmt: skip
    return Reconciliation(own.version, bars / 24, mean, earned, causes, 0.00213, 5.2, 4.7)


@cache
def _drift(version: int, *, gone: bool) -> Drift:
    rng = np.random.default_rng(2)
    names, n, now = report_records.FEATURES[:16], 2000, 168

    def sample(rows: int, first_at: int, shift: float) -> DriftSample:
        features = rng.standard_normal((rows, len(names)))
        features[:, [4, 5, 6, 7]] *= 1 + shift
        features[:, 12] += shift
        label = (rng.random(rows) < 0.5 - 0.06 * shift).astype(np.float64)
        return DriftSample(names, features, rng.normal(0.5, 0.05, rows), label, first_at + 3_600_000 * np.arange(rows))

    reference = sample(n, AS_OF - 100 * DAY_MS, 0.0)
    current = sample(now, AS_OF - 7 * DAY_MS, 0.9 if gone else 0.0)
    return drift(version, reference, current, false_discovery_rate=0.05, effect=0.2, seed=4)


def _no_drift() -> Drift:
    return Drift(5, (), AS_OF - 7 * DAY_MS, AS_OF, "8 bars in the current window, at least 50 are needed")


def _importance(version: int, before: int) -> ImportanceChange:
    rng = np.random.default_rng(6)
    now, then = (dict(zip(report_records.FEATURES, rng.gamma(1.1, 1.0, len(report_records.FEATURES)).tolist(), strict=True)) for _ in range(2))  # fmt: skip
    return importance_change(version, before, now, then)


def _findings(test: Sequential, own: VersionFigures, moved: Drift, strategy: Strategy) -> tuple[FindingLine, ...]:
    """As the rules of `tidegate.rollback` word them."""
    bounds, alarm, n = strategy.rollback, test.alarm_trade, len(test.statistic)
    rate, ratio = own.metrics["win_rate"], own.metrics["sharpe"]
    drifted = sum(item.drifted for item in moved.items)
    verdict: Literal["fired", "quiet"] = "fired" if alarm is not None else "quiet"
    if alarm is None:
        said = f"{n} closed trades speak no louder for a win rate of {test.gone:.1%} than chance may"
    else:
        said = f"after trade {alarm + 1} of {n} the wins speak for a win rate of {test.gone:.1%} instead of {test.healthy:.1%}"
    statistic = float(test.statistic[-1 if alarm is None else alarm]) if n else None
    return (
        FindingLine(
            "sequential", "roll_back", verdict if n else "not_enough_evidence", statistic, test.threshold, "log-likelihood ratio", n, said,
            sequential.error_rate_words(test),
        ),
        FindingLine(
            "win_rate", "alert", "fired" if rate < bounds.win_rate else "quiet", rate, bounds.win_rate, "fraction", n,
            f"win rates of 7 days, newest day first: {rate:.1%}, {rate + 0.002:.1%}, {rate - 0.004:.1%}",
            "3.1 times a year on a model with the backtest's win rate, by computation for independent trades",
        ),
        FindingLine(
            "sharpe", "alert", "fired" if ratio < bounds.sharpe else "quiet", ratio, bounds.sharpe, "ratio", n,
            f"the annual Sharpe ratio of 30 days is {ratio:.2f}", "on 24 % of windows of a model with the backtest's ratio",
        ),
        FindingLine(
            "drift", "alert", "fired" if drifted else "quiet", float(drifted), 1.0, "count", len(moved.items),
            f"{drifted} of {len(moved.items)} items drifted", "of what is called drifted, 5% at most by chance",
        ),
    )  # fmt: skip


def _service_rows(*, measured: bool) -> tuple[ChecklistRow, ...]:
    if not measured:
        names = (
            "uptime above 99.9 %",
            "average latency under 10 ms",
            "error rate under 1 %",
            "no critical errors in the log",
        )
        return tuple(ChecklistRow(name, "daily", "not_measured", "", "", "Prometheus did not answer") for name in names)
    return (
        ChecklistRow("uptime above 99.9 %", "daily", "pass", "99.98 %", "> 99.9 %", "share of scrapes that answered within the last day"),
        ChecklistRow("average latency under 10 ms", "daily", "pass", "1.84 ms", "< 10 ms", "mean of 24,312 predictions"),
        ChecklistRow("error rate under 1 %", "daily", "fail", "1.31 %", "< 1 %", "318 of 24,312 predictions failed by the service"),
        ChecklistRow("no critical errors in the log", "daily", "not_measured", "", "0", "no log folder is set"),
    )  # fmt: skip


def _weekly_rows(findings: tuple[FindingLine, ...]) -> tuple[ChecklistRow, ...]:
    told = {"quiet": "pass", "fired": "fail", "not_enough_evidence": "not_measured"}
    return tuple(
        ChecklistRow(f"{line.rule} against its target", "weekly", told[line.verdict], "", "", line.reason)  # type: ignore[arg-type]
        for line in findings
        if line.rule in {"win_rate", "sharpe", "drift"}
    )
