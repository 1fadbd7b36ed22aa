"""What the ledgers say, as samples for Prometheus: an unknown figure has no sample, never NaN and never 0.

Pure: in come rows of the ledgers, out go names, labels and numbers. The newest daily run of monitoring, which is the one of the newest time and not the
one recorded last, gives the live figures; what that run could not compute is unknown, also where an older run knew it. Only the importance, which not every run computes, comes from the newest run that did.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tidegate.registry.events import Event
from tidegate.registry.retrains import RetrainRun
from tidegate.registry.state import LedgerRow, derive
from tidegate.rollback.finding import Finding
from tidegate.watch.scrape import Look

PERIODS: Final = ("daily", "weekly", "monthly")
FIRED: Final[Mapping[str, float]] = {"fired": 1.0, "quiet": 0.0, "not_enough_evidence": -1.0}

_LIVE: Final = {
    "tidegate_live_win_rate": "win_rate",
    "tidegate_live_sharpe": "sharpe",
    "tidegate_live_max_drawdown": "max_drawdown",
    "tidegate_live_trades": "trades",
    "tidegate_live_return": "total_return",
}
_PROMISED: Final = {"tidegate_promised_win_rate": "win_rate", "tidegate_promised_sharpe": "sharpe"}
_SHADOW: Final = {"tidegate_shadow_win_rate": "win_rate", "tidegate_shadow_sharpe": "sharpe"}
_TOP: Final = {
    "tidegate_calibration_error": "calibration_error",
    "tidegate_estimated_win_rate": "estimated_win_rate",
}
_SEQUENTIAL: Final = {"tidegate_sequential_statistic": "statistic", "tidegate_sequential_threshold": "threshold"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One number of one metric."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


@dataclass(frozen=True, slots=True)
class Ledgers:
    """What was read for one strategy. `runs` are `monitor_run` events, oldest first."""

    strategy: str
    acts: Sequence[LedgerRow]
    retrains: Sequence[RetrainRun]
    runs: Sequence[Event]
    open_incidents: int
    maintenance: bool


def samples_of(ledgers: Ledgers) -> list[Sample]:
    """All figures of one strategy."""
    return [*_promotion(ledgers), *_flows(ledgers)]


def findings_samples(strategy: str, findings: Iterable[Finding]) -> list[Sample]:
    """What the service rules say now."""
    return [
        _sample("tidegate_rule_fired", FIRED[one.verdict], strategy=strategy, rule=one.rule, action=one.action)
        for one in findings
    ]


def backup_samples(backup: Event | None, looks: Sequence[Event], drills: Sequence[Event]) -> list[Sample]:
    """What is known of backups.

    Args:
        backup: the newest.
        looks: `backup_verified` events, oldest first; the newest tells.
        drills: `restore_drill` events, oldest first; the newest that passed tells.
    """
    found: list[Sample] = []
    taken_at = None if backup is None else _number(backup.content.get("taken_at"))
    if taken_at is not None:
        found.append(_sample("tidegate_backup_taken_timestamp_seconds", taken_at / 1000))
    if looks:
        found.append(_sample("tidegate_backup_whole", looks[-1].content.get("well") is True))
    passed = [one.created_at for one in drills if one.content.get("passed") is True]
    if passed:
        found.append(_sample("tidegate_restore_drill_passed_timestamp_seconds", passed[-1] / 1000))
    return found


def instance_samples(looks: Iterable[Look]) -> list[Sample]:
    """What the newest look at each instance saw."""
    found = []
    for look in looks:
        found.append(_sample("tidegate_instance_up", look.reachable, instance=look.instance))
        for strategy, version in (look.versions or {}).items():
            labels = {"instance": look.instance, "strategy": strategy}
            found.append(_sample("tidegate_instance_version", version or 0, **labels))
    return found


def _promotion(ledgers: Ledgers) -> Iterable[Sample]:
    strategy = ledgers.strategy
    state = derive(strategy, ledgers.acts)
    yield _sample("tidegate_production_version", state.current or 0, strategy=strategy)
    yield _sample("tidegate_strategy_halted", state.halt is not None, strategy=strategy)
    yield _sample("tidegate_open_incidents", ledgers.open_incidents, strategy=strategy)
    yield _sample("tidegate_maintenance", ledgers.maintenance, strategy=strategy)
    if state.current is not None and state.last_change is not None:
        yield _sample("tidegate_promoted_timestamp_seconds", state.last_change.created_at / 1000, strategy=strategy)
    acts: dict[str, int] = {}
    for row in ledgers.acts:
        if row.state == "committed":
            acts[row.action] = acts.get(row.action, 0) + 1
    for action, count in sorted(acts.items()):
        yield _sample("tidegate_ledger_acts", count, strategy=strategy, action=action)
    finished = [run.created_at for run in ledgers.retrains if run.state == "finished"]
    if finished:
        yield _sample("tidegate_retrain_finished_timestamp_seconds", max(finished) / 1000, strategy=strategy)


def _flows(ledgers: Ledgers) -> Iterable[Sample]:
    strategy = ledgers.strategy
    # A look at the past, done later, says nothing about today.
    runs = sorted(ledgers.runs, key=lambda event: (_as_of(event), event.id))
    newest = {str(event.content.get("period")): event for event in runs}
    for period in PERIODS:
        if period in newest:
            # By the first run of its time: one that is done again proves nobody to be looking at newer bars.
            as_of = _as_of(newest[period])
            same = [each for each in runs if each.content.get("period") == period and _as_of(each) == as_of]
            at_s = min(each.created_at for each in same) / 1000
            yield _sample("tidegate_monitor_last_run_timestamp_seconds", at_s, strategy=strategy, period=period)
    moved = [_number(event.content.get("importance_moved")) for event in runs]
    yield from _known(
        "tidegate_importance_moved", next((one for one in reversed(moved) if one is not None), None), strategy
    )
    shown = next((newest[period] for period in PERIODS if period in newest), None)
    if shown is not None:
        yield from _run(strategy, shown.content)


def _as_of(event: Event) -> float:
    found = _number(event.content.get("as_of"))
    return -math.inf if found is None else found


def _run(strategy: str, content: Mapping[str, Any]) -> Iterable[Sample]:
    shadows = _part(content, "shadow")
    challenger = max(shadows, key=lambda name: int(name) if name.isdigit() else -1, default="")
    for names, part in (
        (_LIVE, _part(content, "live")),
        (_PROMISED, _part(content, "promised")),
        (_SHADOW, _part(shadows, challenger)),
        (_TOP, content),
        (_SEQUENTIAL, _part(content, "sequential")),
    ):
        for name, key in names.items():
            yield from _known(name, part.get(key), strategy)
    newest_s = _number(content.get("bars_newest_closed_at"))
    yield from _known("tidegate_bars_newest_timestamp_seconds", None if newest_s is None else newest_s / 1000, strategy)
    drift = _part(content, "drift")
    if isinstance(drift.get("drifted"), list):
        yield _sample("tidegate_drifted_features", len(drift["drifted"]), strategy=strategy)
    for feature, effect in sorted(_part(drift, "effects").items()):
        yield from _known("tidegate_drift_effect", effect, strategy, feature=str(feature))
    for finding in content.get("findings") or ():
        fired = FIRED.get(str(finding.get("verdict")))
        rule, action = str(finding.get("rule")), str(finding.get("action"))
        yield from _known("tidegate_rule_fired", fired, strategy, rule=rule, action=action)


def _part(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = content.get(key)
    return found if isinstance(found, Mapping) else {}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _known(name: str, value: object, strategy: str, **labels: str) -> Iterable[Sample]:
    number = _number(value)
    if number is not None:
        yield _sample(name, number, strategy=strategy, **labels)


def _sample(name: str, value: float, **labels: str) -> Sample:
    return Sample(name, tuple(labels.items()), float(value))
