"""Probes of the ledgers: real rows in real databases, and what the lines say of them now and later."""

import hashlib
import json
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from tests.checklist_places import (
    DAY_MS,
    FOLD,
    NAME,
    act,
    context,
    found,
    promoted,
    registered,
    settings_of,
    strategy,
    written,
)
from tests.integration.backup.place import make_place
from tests.integration.checklist.live import answering
from tests.registry_factories import FakeVersions

from tidegate.backup.take import take_backup
from tidegate.backup.verify import verify_backups
from tidegate.checklist.context import Context
from tidegate.deployment.journal import STEPS as DEPLOYMENT_STEPS
from tidegate.deployment.journal import Entry, new_journal
from tidegate.registry.events import EventLedger
from tidegate.registry.trials import Trial, TrialLedger
from tidegate.rollback.incidents import close_incident, open_incident
from tidegate.settings.settings import Settings

HOUR_MS = 3_600_000


def now() -> int:
    return time.time_ns() // 1_000_000


class Place:
    """A project with ledgers."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings = settings_of(root)
        self.versions = FakeVersions()

    def event(self, kind: Any, subject: str, *, strategy: str = NAME, **content: Any) -> None:  # noqa: ANN401
        EventLedger.from_settings(self.settings).append(
            kind, strategy=strategy, subject=subject, actor="test", content=content
        )

    def promote(self) -> int:
        version = registered(self.versions)
        return promoted(self.settings, version, self.versions.manifests[version].digest())

    def later(self, days: float = 0.0, settings: Settings | None = None, **changes: Any) -> Context:  # noqa: ANN401
        return context(
            self.root, settings or self.settings, now_ms=now() + round(days * DAY_MS), versions=self.versions, **changes
        )

    def verdict(self, name: str, days: float = 0.0, **changes: Any) -> str:  # noqa: ANN401
        return found(name, self.later(days, **changes)).verdict


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# Monitoring

ROWS = {
    "daily.uptime": "uptime",
    "daily.latency": "average latency",
    "daily.errors": "error rate",
    "daily.logs": "no critical errors in logs",
    "after.error_logs": "no critical errors in logs",
    "weekly.performance": "win rate against its target",
    "weekly.drift": "drift analysis",
    "weekly.importance": "feature importance is stable",
    "monthly.retrained": "retrained with new data",
    "monthly.backtested": "backtested",
    "monthly.compared": "new model compared with the old one",
    "monthly.updated": "updated only if better than 5 %",
}


def run(place: Place, period: str, *, changed: str = "", verdict: str = "pass", **content: Any) -> None:  # noqa: ANN401
    names = {*ROWS.values(), "Sharpe ratio against its target"}
    rows = [
        {
            "row": name,
            "verdict": verdict if name == changed else "pass",
            "observed": "1",
            "threshold": "2",
            "reason": "told",
        }
        for name in sorted(names)
    ]
    at = now()
    findings = [{"rule": rule, "verdict": "quiet", "reason": "told"} for rule in ("win_rate", "sharpe")]
    told = {"period": period, "as_of": at, "checklist": rows, "findings": findings, "report": "report.html", **content}
    place.event("monitor_run", f"{period}/{at}", **told)


@pytest.mark.parametrize(("name", "row"), ROWS.items())
@pytest.mark.parametrize("verdict", ["pass", "fail", "not_measured"])
def test_a_row_of_monitoring_decides(place: Place, name: str, row: str, verdict: str) -> None:
    period = name.partition(".")[0].replace("after", "daily")
    assert place.verdict(name) == "not_measured"
    run(place, period, changed=row, verdict=verdict)
    finding = found(name, place.later())
    assert (finding.verdict, row in finding.evidence) == (verdict, True)


@pytest.mark.parametrize(("period", "days"), [("daily", 1.25), ("weekly", 8), ("monthly", 32)])
def test_an_old_run_fails(place: Place, period: str, days: float) -> None:
    name = {"daily": "daily.uptime", "weekly": "weekly.drift", "monthly": "monthly.retrained"}[period]
    run(place, period)
    assert [place.verdict(name, days + more) for more in (-0.1, 0.1)] == ["pass", "fail"]


def test_a_row_that_is_not_in_the_run_fails(place: Place) -> None:
    place.event("monitor_run", "daily/x", period="daily", as_of=now(), checklist=[])
    assert place.verdict("daily.uptime") == "fail"


def test_a_weekly_run_has_the_daily_rows_too_and_a_daily_one_has_no_weekly(place: Place) -> None:
    run(place, "weekly")
    assert place.verdict("daily.uptime") == "pass"
    assert place.verdict("monthly.retrained") == "not_measured"


@pytest.mark.parametrize("rule", ["win_rate", "sharpe"])
def test_a_performance_trigger_follows_the_newest_run(place: Place, rule: str) -> None:
    name = f"trigger.{rule}"
    assert place.verdict(name) == "not_measured"
    for verdict, expected in (
        ("quiet", "pass"),
        ("fired", "fail"),
        ("not_enough_evidence", "not_measured"),
        ("nonsense", "fail"),
    ):
        run(place, "daily", findings=[{"rule": rule, "verdict": verdict, "reason": "told"}])
        assert place.verdict(name) == expected
    run(place, "daily", findings=[])
    assert place.verdict(name) == "fail"


def test_live_trades_are_held_against_the_backtest(place: Place) -> None:
    assert place.verdict("after.accuracy") == "not_measured"
    test = {"alarm": False, "trades": 90, "statistic": 1.0, "threshold": 5.0}
    known: dict[str, Any] = {"live": {"win_rate": 0.6}, "promised": {"win_rate": 0.6}}
    for sequential, live, expected in (
        (test, known, "pass"),
        ({**test, "alarm": True}, known, "fail"),
        (None, known, "not_measured"),
        ({**test, "trades": 0}, known, "not_measured"),
        (test, {**known, "live": {}}, "fail"),
    ):
        run(place, "daily", sequential=sequential, **live)
        assert place.verdict("after.accuracy") == expected


# Deployments

STEPS = {
    "steps.stop_old": "stop",
    "steps.deploy_new": "start",
    "steps.health": "health",
    "steps.prediction": "prediction",
    "steps.logs": "verdict",
    "steps.restart_bot": "switch",
    "steps.bot_receives": "bots",
    "steps.monitored": "watch",
}


def deployment(
    place: Place, name: str = "deployment-1", *, without: str = "", failed: str = "", watched_min: float = 30
) -> None:
    at = now() - 2 * HOUR_MS
    told: dict[str, Any] = {"version": 1, "by": "Ada", "changes": "a new month", "rollback_plan_verified": True}
    for count, step in enumerate(DEPLOYMENT_STEPS):
        late = watched_min * 60_000 if step in {"watch", "verdict", "stop", "record"} else 0
        if step != without:
            entry(place, name, step, round(at + count + late), "failed" if step == failed else "done", **told)
            told = {}


def entry(place: Place, name: str, step: str, at: int, outcome: str = "done", **told: Any) -> None:  # noqa: ANN401
    evidence = f"{step} was seen"
    place.event("deployment", name, **{"name": step, "at": at, "outcome": outcome, "evidence": evidence, **told})


@pytest.mark.parametrize(("name", "step"), STEPS.items())
def test_a_step_of_the_newest_deployment_decides(place: Place, name: str, step: str) -> None:
    assert place.verdict(name) == "not_measured"
    deployment(place)
    assert place.verdict(name) == "pass", found(name, place.later())
    deployment(place, failed=step)
    assert place.verdict(name) == "fail"


@pytest.mark.parametrize(("name", "step"), STEPS.items())
def test_a_step_that_was_left_out_fails(place: Place, name: str, step: str) -> None:
    deployment(place, without=step)
    passes = name == "steps.logs"  # without a verdict of its own, the watch's word stands
    assert place.verdict(name) == ("pass" if passes else "fail")


def test_a_watch_of_less_than_half_an_hour_fails(place: Place) -> None:
    deployment(place, watched_min=29)
    assert place.verdict("steps.monitored") == "fail"


@pytest.mark.parametrize(
    ("name", "field", "empty"),
    [
        ("field.by", "by", ""),
        ("field.version", "version", None),
        ("field.rollback_verified", "rollback_plan_verified", False),
        ("field.date", "outcome", "failed"),
        ("after.documented", "changes", " "),
        ("after.documented", "version", 2),
    ],
)
def test_a_field_that_is_not_told_fails(place: Place, name: str, field: str, empty: object) -> None:
    place.promote()
    assert place.verdict(name) == "not_measured"
    deployment(place)
    assert place.verdict(name) == "pass"
    told: dict[str, Any] = {"version": 1, "by": "Ada", "changes": "x", "rollback_plan_verified": True, field: empty}
    entry(place, "deployment-2", "plan", now(), **told)
    assert place.verdict(name) == "fail"


def test_the_journal_of_a_deployment_is_read_while_it_is_written(place: Place) -> None:
    place.promote()
    journal = new_journal(EventLedger.from_settings(place.settings), NAME)
    told = {"version": 1, "by": "Ada", "changes": ["seed 7, was 6"], "rollback_plan_verified": True}
    journal.write(Entry("plan", "done", "v1", by="Ada"), told=told)
    assert [place.verdict(name) for name in (*STEPS, "field.by")] == ["not_measured"] * len(STEPS) + ["pass"]
    for step in DEPLOYMENT_STEPS[1:-1]:
        journal.write(Entry(step, "kept" if step == "verdict" else "done", f"{step} was seen", by="Ada"))
    verdicts = {name: place.verdict(name) for name in STEPS}
    assert verdicts == {**dict.fromkeys(STEPS, "pass"), "steps.monitored": "fail"}, (
        "it was not watched for half an hour"
    )
    journal.write(Entry("health", "failed", "503", by="Ada"))
    assert place.verdict("steps.health") == "fail"
    fields = ("field.date", "field.version", "field.rollback_verified", "after.documented", "corruption.backup_first")
    assert [place.verdict(name) for name in fields] == ["pass"] * len(fields)


def test_a_step_that_a_closed_journal_lacks_fails(place: Place) -> None:
    journal = new_journal(EventLedger.from_settings(place.settings), NAME)
    for step in ("start", "record"):
        journal.write(Entry(step, "done", "seen", by="Ada"))
    assert [place.verdict(f"steps.{name}") for name in ("deploy_new", "health", "monitored")] == [
        "pass",
        "fail",
        "fail",
    ]


def test_the_backup_comes_before_the_switch(place: Place) -> None:
    deployment(place)
    assert place.verdict("corruption.backup_first") == "pass"
    deployment(place, "without one", without="backup")
    assert "took no backup" in found("corruption.backup_first", place.later()).evidence
    assert place.verdict("corruption.backup_first") == "fail"
    deployment(place, "it failed", failed="backup")
    assert place.verdict("corruption.backup_first") == "fail"
    for step, at in (("backup", 2), ("switch", 1)):
        entry(place, "late", step, at)
    assert "AFTER" in found("corruption.backup_first", place.later()).evidence
    assert place.verdict("corruption.backup_first") == "fail"


@pytest.mark.parametrize("name", ["deployment.backup", "corruption.backup_first"])
def test_a_backup_of_the_day_before_the_newest_promotion(place: Place, name: str) -> None:
    place.event("backup", "one", strategy="", taken_at=now() - 25 * HOUR_MS)
    assert place.verdict(name) == "not_measured"
    place.promote()
    assert place.verdict(name) == "fail"
    place.event("backup", "two", strategy="", taken_at=now() - HOUR_MS)
    assert place.verdict(name) == "pass"


def test_a_maintenance_window_is_under_way(place: Place) -> None:
    assert place.verdict("deployment.window") == "not_measured"
    place.event("maintenance_started", f"{NAME}/x", until=now() + HOUR_MS, reason="deployment")
    assert place.verdict("deployment.window") == "pass"
    assert place.verdict("deployment.window", 1) == "fail"


def test_people_were_told_of_the_newest_change(place: Place) -> None:
    assert "ever put into production" in found("deployment.team_notified", place.later()).evidence
    place.promote()
    for name in ("", "another"):
        place.event("notification", "n", strategy=name, state="delivered", channel="webhook")
    assert place.verdict("deployment.team_notified") == "not_measured"
    place.event("notification", "n", state="failed", channel="webhook")
    assert place.verdict("deployment.team_notified") == "fail"
    place.event("notification", "n", state="delivered", channel="webhook")
    assert place.verdict("deployment.team_notified") == "pass"


def test_somebody_is_on_call(place: Place) -> None:
    assert place.verdict("outage.on_call") == "not_measured"
    settings = settings_of(place.root, notify={"webhook_urls": ("http://127.0.0.1:1/",)})
    assert place.verdict("outage.on_call", settings=settings) == "not_measured"
    for state, verdict in (("delivered", "pass"), ("failed", "fail")):
        place.event("notification", "n", state=state, channel="webhook")
        assert place.verdict("outage.on_call", settings=settings) == verdict
    assert place.verdict("outage.on_call", 32, settings=settings) == "not_measured"


def test_grafana_has_the_dashboards(place: Place) -> None:
    assert place.verdict("after.dashboard") == "not_measured"
    written(place.root / "docker" / "grafana" / "dashboards" / "tidegate-service.json", "{}")
    for uid, verdict in (("tidegate-service", "pass"), ("other", "fail")):
        with answering(200, json.dumps([{"uid": uid}]).encode()) as address:
            settings = settings_of(place.root, checklist={"grafana_url": address})
            assert place.verdict("after.dashboard", settings=settings) == verdict
    assert place.verdict("after.dashboard", settings=settings) == "fail", "nobody answers there any more"


def test_resource_trends_come_from_prometheus(place: Place) -> None:
    assert place.verdict("weekly.resources") == "not_measured"
    for result, verdict in (
        ([{"value": [0, "0.5"]}], "pass"),
        ([{"value": [0, "0.95"]}], "fail"),
        ([], "not_measured"),
    ):
        body = json.dumps({"status": "success", "data": {"result": result}}).encode()
        with answering(200, body) as address:
            settings = settings_of(place.root, checklist={"prometheus_url": address})
            assert place.verdict("weekly.resources", settings=settings) == verdict


# Versions and rollbacks


def test_what_is_in_production_is_what_the_ledger_names(place: Place) -> None:
    place.promote()
    assert place.verdict("model.versioning") == "pass"
    promoted(place.settings, 1, "e" * 64)
    assert place.verdict("model.versioning") == "fail"


def test_a_ledger_that_was_changed_fails(place: Place) -> None:
    place.promote()
    file = place.root / "data" / "ledger" / "ledger.db"
    with sqlite3.connect(file) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute("UPDATE promotion_ledger SET reason = 'another'")
    assert place.verdict("model.versioning") == "fail"


def test_there_is_a_version_to_go_back_to(place: Place) -> None:
    assert place.verdict("model.rollback_plan") == "not_measured"
    place.promote()
    assert place.verdict("model.rollback_plan") == "not_measured"
    place.promote()
    assert place.verdict("model.rollback_plan") == "pass"
    place.versions.broken.add(1)
    assert place.verdict("model.rollback_plan") == "fail"
    place.versions.broken.clear()
    act(place.settings, "bar", 1)
    assert place.verdict("model.rollback_plan") == "fail"


def test_the_last_three_versions_are_kept(place: Place) -> None:
    assert place.verdict("corruption.versions_kept") == "not_measured"
    for _ in range(4):
        place.promote()
    assert place.verdict("corruption.versions_kept") == "pass"
    place.versions.broken.add(1)
    assert place.verdict("corruption.versions_kept") == "pass", "the fourth newest"
    del place.versions.manifests[2]
    assert place.verdict("corruption.versions_kept") == "fail"


PROCEDURE = ("stopped", "known_good", "health", "monitored", "root_cause")


def rolled_back(
    place: Place,
    *,
    states: tuple[str, ...] = ("followed",),
    verdict: str = "verified",
    minutes: float = 30,
    to: int | None = 1,
) -> str:
    place.promote()
    place.promote()
    row = act(place.settings, "rollback" if to else "halt", to)
    at = now()
    instances = [{"instance": f"i{n}", "state": state} for n, state in enumerate(states)]
    told = {"verdict": verdict, "took_s": 1.5, "instances": instances}
    content = {
        "act": "rollback",
        "automatic": False,
        "ledger_row": row,
        "acted_at": at,
        "watch_until": at + round(minutes * 60_000),
        "verification": told,
    }
    open_incident(EventLedger.from_settings(place.settings), NAME, row, actor="test", content=content)
    return f"{NAME}/{row}"


@pytest.mark.parametrize("name", [*PROCEDURE, "bot"])
def test_without_a_rollback_nobody_knows_how_it_goes(place: Place, name: str) -> None:
    assert place.verdict(f"procedure.{name}") == "not_measured"


def test_a_rollback_that_went_well_passes(place: Place) -> None:
    incident = rolled_back(place)
    events = EventLedger.from_settings(place.settings)
    assert place.verdict("procedure.monitored") == "not_measured"
    events.append("incident_noted", strategy=NAME, subject=incident, actor="watch", content={"watched": "quiet"})
    assert place.verdict("procedure.root_cause") == "fail"
    close_incident(events, incident, actor="Ada", note="a leak in the new feature")
    assert {name: place.verdict(f"procedure.{name}") for name in PROCEDURE} == dict.fromkeys(PROCEDURE, "pass")


@pytest.mark.parametrize(
    ("name", "changes", "verdict"),
    [
        ("stopped", {"states": ("followed", "behind")}, "fail"),
        ("stopped", {"states": ()}, "fail"),
        ("health", {"verdict": "not_verified"}, "fail"),
        ("health", {"verdict": "no_instances"}, "fail"),
        ("known_good", {"to": None}, "fail"),
    ],
)
def test_a_rollback_that_went_wrong_fails(place: Place, name: str, changes: dict[str, Any], verdict: str) -> None:
    rolled_back(place, **changes)
    assert place.verdict(f"procedure.{name}") == verdict


@pytest.mark.parametrize(("word", "minutes"), [("fired", 30.0), ("not_watched", 30.0), ("quiet", 29.0)])
def test_a_rollback_that_was_not_watched_to_a_quiet_end_fails(place: Place, word: str, minutes: float) -> None:
    incident = rolled_back(place, minutes=minutes)
    EventLedger.from_settings(place.settings).append(
        "incident_noted", strategy=NAME, subject=incident, actor="watch", content={"watched": word}
    )
    assert place.verdict("procedure.monitored") == "fail"


def test_a_rollback_that_nobody_watched_fails_when_its_time_is_over(place: Place) -> None:
    rolled_back(place)
    assert place.verdict("procedure.monitored", 1) == "fail"


def test_a_bot_has_to_see_the_version_gone_back_to(place: Place) -> None:
    rolled_back(place)
    for version, ago_ms, verdict in ((1, 0, "pass"), (2, 0, "fail"), (1, HOUR_MS, "fail")):
        said = {"bot": "one", "strategy": NAME, "last_version": version, "received_at": now() + 1000 - ago_ms}
        with answering(200, json.dumps([said]).encode()) as address:
            settings = settings_of(place.root, checklist={"instances": (address,)})
            assert place.verdict("procedure.bot", settings=settings) == verdict


# Backups

CASES = ("model corruption", "outage", "data loss")
TIMES = {
    "corruption.recovery_time": ("model corruption", 300),
    "outage.recovery_time": ("outage", 900),
    "loss.recovery_time": ("data loss", 3600),
}


def drill(
    place: Place, *, passed: bool = True, case: str = "", took_s: float | None = 1.0, fault: str = "", without: str = ""
) -> None:
    told = [
        {
            "case": one,
            "took_s": took_s if one == case else 1.0,
            "verdict": "passed",
            "fault": fault if one == case else "",
        }
        for one in CASES
        if one != without
    ]
    place.event(
        "restore_drill", "b1", strategy="", backup="b1", passed=passed, cases=told, answered=["x v1"], ledger_head="h"
    )


def test_a_restore_drill_passed_lately(place: Place) -> None:
    assert place.verdict("corruption.restore_tested") == "not_measured"
    drill(place)
    assert [place.verdict("corruption.restore_tested", days) for days in (0, 30, 32)] == ["pass", "pass", "fail"]
    drill(place, passed=False)
    assert place.verdict("corruption.restore_tested") == "fail"


@pytest.mark.parametrize(("name", "case", "most_s"), [(name, *told) for name, told in TIMES.items()])
def test_a_loss_is_mended_within_the_lists_time(place: Place, name: str, case: str, most_s: float) -> None:
    assert place.verdict(name) == "not_measured"
    drill(place, case=case, took_s=most_s - 0.1)
    assert [place.verdict(name, days) for days in (0, 32)] == ["pass", "fail"]
    for changes in ({"took_s": float(most_s)}, {"took_s": None}, {"fault": "it did not answer"}):
        drill(place, case=case, **changes)
        assert place.verdict(name) == "fail"
    drill(place, without=case)
    assert place.verdict(name) == "fail"


def test_backups_are_young_whole_and_looked_at(place: Place) -> None:
    def taken(hours: float = 1.0, damaged: tuple[str, ...] = ()) -> None:
        place.event("backup", "b", strategy="", taken_at=now() - round(hours * HOUR_MS), damaged=list(damaged))

    def looked(*, well: bool) -> None:
        place.event("backup_verified", "b", strategy="", backup="b", well=well, findings=[], looked=[], notes=[])

    name = "infrastructure.backups"
    assert place.verdict(name) == "not_measured"
    taken()
    assert place.verdict(name) == "not_measured"
    looked(well=True)
    assert [place.verdict(name, days) for days in (0, 2)] == ["pass", "fail"]
    taken(31)
    assert place.verdict(name) == "fail"
    taken(damaged=("x/v1",))
    assert place.verdict(name) == "fail"
    taken()
    looked(well=False)
    assert place.verdict(name) == "fail"


def test_what_lies_in_the_repository_itself_is_looked_at(tmp_path: Path) -> None:
    """A real backup, then what it held is lost, then so is the repository."""
    where = make_place(tmp_path)
    parts = ("loss.training_data", "loss.models", "loss.configuration")

    def verdicts(days: float = 0.0) -> list[str]:
        alpha = strategy().model_copy(update={"name": "alpha"})
        looked = context(where.root, where.settings, strategy=alpha, now_ms=now() + round(days * DAY_MS))
        return [found(name, looked).verdict for name in parts]

    assert verdicts() == ["fail"] * 3, "the repository is empty"
    where.back_up("test")
    verify_backups(where.settings, where.root, actor="test")
    assert verdicts() == ["pass"] * 3
    assert verdicts(2) == ["fail"] * 3
    assert found("infrastructure.backups", context(where.root, where.settings, now_ms=now())).verdict == "pass"
    for path in sorted((where.root / "data" / "bars").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (where.root / "data" / "bars").rmdir()
    model = next(where.bundle("alpha", 1).glob("*.onnx"))
    model.write_bytes(b"another")
    take_backup(where.settings, where.root, reason="test", actor="test", accept_loss=True)
    assert verdicts() == ["fail", "fail", "pass"]
    (tmp_path / "repository" / "config").unlink()
    assert verdicts() == ["fail"] * 3
    assert found(parts[0], context(where.root, settings_of(where.root))).verdict == "not_measured"


def test_only_a_simulated_market_may_keep_no_bars(tmp_path: Path) -> None:
    where = make_place(tmp_path)
    shutil.rmtree(where.root / "data" / "bars")
    where.back_up("test")
    verdicts = []
    for kind in ("real", "simulated"):
        chosen = strategy().model_copy(update={"kind": kind})
        looked = context(where.root, where.settings, strategy=chosen, now_ms=now())
        verdicts.append(found("loss.training_data", looked).verdict)
    assert verdicts == ["fail", "not_measured"]
    written(where.root / "data" / "bars" / "one.parquet", "bars that were not backed up")
    assert (
        found("loss.training_data", context(where.root, where.settings, strategy=chosen, now_ms=now())).verdict
        == "fail"
    )


# The bots' own metrics and the trial ledger


def test_fallbacks_are_proved_by_the_kit_and_seen_live(place: Place) -> None:
    subjects = [{"name": "c", "subject": name, "passed": True} for name in ("fallbacks", "deadlines")]
    record = written(
        place.root / "runs" / "checklist" / "conformance.json", json.dumps({"passed": True, "cases": subjects})
    )

    def text(model: int, fallback: int, opened: int, slow: int = 0) -> bytes:
        made = model + fallback
        return (
            f'tidegate_client_decisions_total{{source="model"}} {model}\ntidegate_client_decisions_total{{source="fallback"}} {fallback}\n'
            f"tidegate_client_breaker_opened_total {opened}\n"
            f'tidegate_client_decide_seconds_bucket{{le="0.5"}} {made - slow}\ntidegate_client_decide_seconds_count {made}\n'
        ).encode()

    table = (
        (text(9, 1, 1), "pass", "pass"),
        (text(9, 0, 1), "fail", "pass"),
        (text(0, 0, 0), "fail", "not_measured"),
        (text(90, 10, 1, slow=2), "pass", "fail"),
    )
    for body, fallback, timeouts in table:
        with answering(200, body, content_type="text/plain") as address:
            settings = settings_of(place.root, checklist={"bot_metrics_urls": (address,)})
            assert place.verdict("outage.fallback", settings=settings) == fallback
            assert place.verdict("communication.timeouts", settings=settings) == timeouts
    record.write_text(json.dumps({"passed": False, "cases": [{**one, "passed": False} for one in subjects]}))
    with answering(200, text(9, 1, 1), content_type="text/plain") as address:
        settings = settings_of(place.root, checklist={"bot_metrics_urls": (address,)})
        for name in ("outage.fallback", "communication.timeouts"):
            assert place.verdict(name, settings=settings) == "fail"
    assert place.verdict("outage.fallback") == "not_measured", "no bot's metrics are named"


def test_figures_of_the_service_for_the_ml_test_score(place: Place) -> None:
    def said(role: str, *lines: str) -> bytes:
        return "\n".join(
            (f'tidegate_predictions_total{{strategy="{NAME}",role="{role}",version="1"}} 5', *lines, "")
        ).encode()

    withheld = f'tidegate_abstentions_total{{strategy="{NAME}",reason="features_not_finite"}} 1'
    broken = f'tidegate_prediction_outcomes_total{{strategy="{NAME}",version="1",outcome="failed"}} 1'
    table = (
        ("score.finite", said("production"), "pass"),
        ("score.finite", said("production", withheld), "fail"),
        ("score.finite", said("production", broken), "fail"),
        ("score.finite", b"tidegate_ready 1\n", "not_measured"),
        ("score.shadow", said("shadow"), "pass"),
        ("score.shadow", said("production"), "not_measured"),
    )
    for name, body, verdict in table:
        with answering(200, body, content_type="text/plain") as address:
            settings = settings_of(place.root, checklist={"instances": (address,)})
            assert place.verdict(name, settings=settings) == verdict
            if verdict == "not_measured" and name == "score.shadow":
                off = settings_of(place.root, checklist={"instances": (address,)}, serving={"shadow": False})
                assert place.verdict(name, settings=off) == "fail"


def test_parameters_were_searched(place: Place) -> None:
    returns = written(place.root / "returns.parquet", "returns")
    digest = hashlib.sha256(returns.read_bytes()).hexdigest()
    ledger = TrialLedger.from_settings(place.settings)
    for number, verdict in ((0, "fail"), (1, "pass")):
        key = f"{NAME}/2026-11"
        ledger.record(Trial(str(number), NAME, key, 0, {"max_depth": number}, 7, FOLD, 0.1, 9, returns, digest))
        assert place.verdict("score.tuned") == verdict
