from typing import Any

from tests.unit.watch.looks import gone, look

from tidegate.registry.events import Event
from tidegate.registry.retrains import RetrainRun
from tidegate.registry.state import LedgerRow
from tidegate.rollback.finding import Finding
from tidegate.watch.exporter import DESCRIPTIONS
from tidegate.watch.figures import Ledgers, Sample, backup_samples, findings_samples, instance_samples, samples_of

WHOLE: dict[str, Any] = {
    "period": "daily",
    "bars_newest_closed_at": 90_000,
    "live": {"win_rate": 0.55, "sharpe": 1.5, "max_drawdown": 0.1, "trades": 40, "total_return": 0.02, "exposure": 0.5},
    "promised": {"win_rate": 0.6, "sharpe": 2.0},
    "calibration_error": 0.03,
    "estimated_win_rate": 0.57,
    "shadow": {"9": {"win_rate": 0.5, "sharpe": 0.1}, "10": {"win_rate": 0.7, "sharpe": 3.0}},
    "sequential": {"statistic": 1.25, "threshold": 4.5, "alarm": False},
    "drift": {"drifted": ["a"], "effects": {"a": 0.3, "b": None}},
    "importance_moved": 0.2,
    "findings": [
        {"rule": "win_rate", "action": "alert", "verdict": "quiet"},
        {"rule": "drift", "action": "alert", "verdict": "fired"},
        {"rule": "sharpe", "action": "alert", "verdict": "not_enough_evidence"},
    ],
}


def run(at: int, **changes: Any) -> Event:  # noqa: ANN401
    return Event(at, "s", "monitor_run", "x", "flow", {**WHOLE, "as_of": at, **changes}, at * 1000, "", "")


def row(number: int, action: Any, to: int | None, state: Any = "committed", at: int = 0) -> LedgerRow:  # noqa: ANN401
    return LedgerRow(number, "s", action, None, to, None, state, None, number, "a", "r", {}, at, "", "")


def shown(*, acts: list[LedgerRow] | None = None, runs: list[Event] | None = None, **changes: Any) -> dict[str, float]:  # noqa: ANN401
    fields: dict[str, Any] = {"retrains": (), "open_incidents": 0, "maintenance": False, **changes}
    return named(samples_of(Ledgers("s", acts or (), runs=runs or (), **fields)))


def named(samples: list[Sample]) -> dict[str, float]:
    found = {}
    for sample in samples:
        assert sample.name in DESCRIPTIONS
        labels = ",".join(value for name, value in sample.labels if name != "strategy")
        found[f"{sample.name.removeprefix('tidegate_')}{{{labels}}}".replace("{}", "")] = sample.value
    assert len(found) == len(samples), "a sample is there twice"
    return found


EMPTY = {"production_version": 0, "strategy_halted": 0, "open_incidents": 0, "maintenance": 0}


def test_without_any_history_what_is_unknown_has_no_sample() -> None:
    assert shown() == EMPTY


def test_the_promotion_ledger() -> None:
    acts = [
        row(1, "promote", 1, at=1000),
        row(2, "promote", 2, "intent"),
        row(3, "promote", 2, at=5000),
        row(4, "rollback", 1, at=9000),
        row(5, "halt", 1, at=9500),
        row(6, "external", 7, "aborted"),
    ]
    run_of = RetrainRun("s/2026-01", "s", "finished", None, 1, 0, 1, 3000)
    failed = RetrainRun("s/2026-02", "s", "failed", None, 1, 0, 1, 8000)
    assert shown(acts=acts, retrains=[run_of, failed], open_incidents=2, maintenance=True) == {
        "production_version": 1,
        "strategy_halted": 1,
        "promoted_timestamp_seconds": 9,
        "ledger_acts{promote}": 2,
        "ledger_acts{rollback}": 1,
        "ledger_acts{halt}": 1,
        "retrain_finished_timestamp_seconds": 3,
        "open_incidents": 2,
        "maintenance": 1,
    }


def test_a_whole_run_of_monitoring() -> None:
    assert shown(runs=[run(5)]) == EMPTY | {
        "monitor_last_run_timestamp_seconds{daily}": 5,
        "live_win_rate": 0.55,
        "live_sharpe": 1.5,
        "live_max_drawdown": 0.1,
        "live_trades": 40,
        "live_return": 0.02,
        "promised_win_rate": 0.6,
        "promised_sharpe": 2.0,
        "calibration_error": 0.03,
        "estimated_win_rate": 0.57,
        "shadow_win_rate": 0.7,
        "shadow_sharpe": 3.0,
        "sequential_statistic": 1.25,
        "sequential_threshold": 4.5,
        "drifted_features": 1,
        "drift_effect{a}": 0.3,
        "importance_moved": 0.2,
        "bars_newest_timestamp_seconds": 90,
        "rule_fired{win_rate,alert}": 0,
        "rule_fired{drift,alert}": 1,
        "rule_fired{sharpe,alert}": -1,
    }


def test_what_the_newest_run_could_not_compute_is_unknown() -> None:
    newest = run(
        6,
        live={"win_rate": None, "sharpe": 1.1, "trades": True, "total_return": "0.1"},
        promised={},
        shadow={},
        sequential=None,
        drift={"drifted": [], "effects": {}},
        calibration_error=None,
        estimated_win_rate=None,
        importance_moved=None,
        bars_newest_closed_at=None,
        findings=[],
    )
    assert shown(runs=[run(5), newest]) == EMPTY | {
        "monitor_last_run_timestamp_seconds{daily}": 6,
        "live_sharpe": 1.1,
        "drifted_features": 0,
        "importance_moved": 0.2,
    }


def test_content_of_another_kind_shows_nothing_and_fails_nowhere() -> None:
    event = Event(1, "s", "monitor_run", "x", "flow", {"live": 3, "drift": [], "findings": None}, 0, "", "")
    assert shown(runs=[event]) == EMPTY


def test_daily_runs_give_the_figures_and_each_period_its_time() -> None:
    found = shown(runs=[run(3, period="monthly"), run(5), run(7, period="weekly", live={"win_rate": 0.1})])
    assert found["live_win_rate"] == 0.55
    times = {name: value for name, value in found.items() if name.startswith("monitor_last")}
    assert times == {
        "monitor_last_run_timestamp_seconds{daily}": 5,
        "monitor_last_run_timestamp_seconds{weekly}": 7,
        "monitor_last_run_timestamp_seconds{monthly}": 3,
    }


def test_service_rules_and_instances() -> None:
    finding = Finding("latency", "roll_back", "fired", 30.0, 20.0, "ms", 9, None, "slow", "-")
    assert named(findings_samples("s", [finding])) == {"rule_fired{latency,roll_back}": 1}
    looks = [look(0, version=3), look(0, version=None, instance="two"), gone(0, "three")]
    assert named(instance_samples(looks)) == {
        "instance_up{one}": 1,
        "instance_up{two}": 1,
        "instance_up{three}": 0,
        "instance_version{one}": 3,
        "instance_version{two}": 0,
    }


def test_a_look_at_the_past_replaces_no_live_figure_and_no_sign_of_life() -> None:
    today = run(5, as_of=500, live={"sharpe": -3.0}, importance_moved=0.4)
    past = run(9, as_of=100, live={"sharpe": 2.5})
    again = run(7, as_of=500, live={"sharpe": -2.0}, importance_moved=0.4)

    found = shown(runs=[today, past])
    assert (found["live_sharpe"], found["importance_moved"]) == (-3.0, 0.4)
    assert found["monitor_last_run_timestamp_seconds{daily}"] == 5

    found = shown(runs=[today, again, past])  # done again with rows that came late: its figures count, not its time
    assert found["live_sharpe"] == -2.0
    assert found["monitor_last_run_timestamp_seconds{daily}"] == 5

    found = shown(runs=[past, run(10, as_of=None)])
    assert found["monitor_last_run_timestamp_seconds{daily}"] == 9


def event(kind: Any, at: int, **content: Any) -> Event:  # noqa: ANN401
    return Event(at, "", kind, "x", "flow", content, at * 1000, "", "")


def test_backups_that_are_not_known_have_no_samples() -> None:
    assert backup_samples(None, (), ()) == []
    assert backup_samples(event("backup", 1), (), (event("restore_drill", 2, passed=False),)) == []


def test_the_newest_look_and_the_newest_passed_drill_tell() -> None:
    looks = [event("backup_verified", 1, well=False), event("backup_verified", 2, well=True)]
    drills = [event("restore_drill", 3, passed=True), event("restore_drill", 4, passed=False)]
    found = named(backup_samples(event("backup", 5, taken_at=90_000), looks, drills))
    assert found == {
        "backup_taken_timestamp_seconds": 90,
        "backup_whole": 1,
        "restore_drill_passed_timestamp_seconds": 3,
    }
    assert named(backup_samples(None, looks[:1], ())) == {"backup_whole": 0}
    assert named(backup_samples(None, [event("backup_verified", 1, well="yes")], ())) == {"backup_whole": 0}
