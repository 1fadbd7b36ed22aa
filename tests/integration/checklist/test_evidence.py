"""Evidence that looks good and is not about this: of another version, another commit, another time, in part, or no number. None of it passes."""

import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from tests.checklist_places import (
    DAY_MS,
    FOLD,
    NAME,
    REPOSITORY,
    checkout,
    context,
    found,
    git,
    promoted,
    registered,
    settings_of,
    strategy,
    written,
)
from tests.integration.backup.place import make_place
from tests.integration.checklist.test_files import docker
from tests.registry_factories import FakeVersions

import tidegate
from tidegate.checklist.context import Context
from tidegate.registry.events import EventLedger
from tidegate.registry.retrains import RetrainLedger
from tidegate.registry.trials import Trial, TrialLedger

HOUR_MS = 3_600_000
GATED = ("training.out_of_sample", "training.latency", "training.drawdown", "training.costs", "training.regimes")


def now() -> int:
    return time.time_ns() // 1_000_000


def later(root: Path, days: float = 0.0, **changes: Any) -> Context:  # noqa: ANN401  arguments of a context
    return context(root, changes.pop("settings", None), now_ms=now() + round(days * DAY_MS), **changes)


def event(root: Path, kind: Any, subject: str, *, of: str = NAME, **content: Any) -> None:  # noqa: ANN401
    ledger = EventLedger.from_settings(settings_of(root))
    ledger.append(kind, strategy=of, subject=subject, actor="test", content=content)


# Of another version


@pytest.mark.parametrize("name", GATED)
def test_gates_that_judged_another_manifest_say_nothing(tmp_path: Path, name: str) -> None:
    settings, versions = settings_of(tmp_path), FakeVersions()
    version = registered(versions)
    promoted(settings, version)
    assert found(name, context(tmp_path, settings, versions=versions)).verdict == "pass"
    other = registered(versions, seed=8)
    versions.decisions[version] = versions.decisions[other]
    finding = found(name, context(tmp_path, settings, versions=versions))
    assert (finding.verdict, "not on record" in finding.evidence) == ("fail", True)


# Of another time


@pytest.mark.parametrize("name", ["trigger.win_rate", "trigger.sharpe", "after.accuracy"])
def test_the_word_of_a_monitoring_run_of_long_ago_is_none(tmp_path: Path, name: str) -> None:
    content: dict[str, Any] = {
        "period": "daily",
        "as_of": now(),
        "version": 1,
        "findings": [{"rule": rule, "verdict": "quiet", "reason": "told"} for rule in ("win_rate", "sharpe")],
        "sequential": {"alarm": False, "trades": 90, "statistic": 1.0, "threshold": 5.0},
        "live": {"win_rate": 0.6},
        "promised": {"win_rate": 0.6},
    }
    promoted(settings_of(tmp_path), 1)
    event(tmp_path, "monitor_run", "daily/1", **content)
    assert [found(name, later(tmp_path, days)).verdict for days in (0, 1.2, 1.3)] == ["pass", "pass", "fail"]
    promoted(settings_of(tmp_path), 2)
    finding = found(name, later(tmp_path))
    assert (finding.verdict, "v1" in finding.evidence) == ("not_measured", True), "it is about the version before"


@pytest.mark.parametrize("days", [4, 60])
def test_a_trigger_that_waits_longer_than_the_list_fails(tmp_path: Path, days: int) -> None:
    name = "trigger.win_rate"
    event(
        tmp_path,
        "monitor_run",
        "daily/1",
        period="daily",
        as_of=now(),
        findings=[{"rule": "win_rate", "verdict": "quiet", "reason": "told"}],
    )
    assert found(name, later(tmp_path)).verdict == "pass"
    finding = found(name, later(tmp_path, strategy=strategy(win_rate_days=days)))
    assert finding.verdict == "fail", finding


@pytest.mark.parametrize(("rule", "field"), [("latency", "latency_minutes"), ("errors", "error_minutes")])
def test_a_rule_that_waits_for_hours_does_not_fire_in_one(tmp_path: Path, rule: str, field: str) -> None:
    finding = found(f"trigger.{rule}", later(tmp_path, strategy=strategy(**{field: 1440})))
    assert (finding.verdict, "it says fired" in finding.evidence) == ("fail", False)


# Of another commit


def test_a_checkout_that_was_changed_since_its_tests_fails(tmp_path: Path) -> None:
    commit = checkout(tmp_path, {".gitignore": "runs\ndata\n", "src/a.py": "A = 1\n"})
    record = tmp_path / "runs" / "checklist" / "tests.xml"
    counts = 'tests="3" failures="0" errors="0" skipped="0"'
    written(record, f'<testsuites><testsuite name="{commit}" {counts}/></testsuites>')
    assert found("code.tests", later(tmp_path)).verdict == "pass"
    written(tmp_path / "src" / "a.py", "A = 2\n")
    assert found("code.tests", later(tmp_path)).verdict == "fail"
    written(record, f'<testsuites><testsuite name="{commit}-dirty" {counts}/></testsuites>')
    assert found("code.tests", later(tmp_path)).verdict == "fail", "nobody knows whether it was this change"


@pytest.mark.parametrize(
    ("name", "module"),
    [("features", "tests.unit.features.a"), ("model", "tests.unit.model.a"), ("pipeline", "tests.e2e.a")],
)
def test_tests_of_another_commit_give_no_point(tmp_path: Path, name: str, module: str) -> None:
    commit = checkout(tmp_path, {".gitignore": "runs\ndata\n"})
    told = f'<testcase classname="{module}" name="test_it"/>'
    written(tmp_path / "runs" / "checklist" / "tests.xml", f'<testsuite name="{commit}">{told}</testsuite>')
    assert found(f"score.tests_{name}", later(tmp_path)).verdict == "pass"
    git(tmp_path, "commit", "-qm", "another", "--allow-empty")
    assert found(f"score.tests_{name}", later(tmp_path)).verdict == "fail"


# In part


def test_a_drill_whose_service_answered_nothing_fails(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = [{"case": "outage", "took_s": 1.0, "verdict": "passed", "fault": ""}]
    for answered, cases, verdict in (([f"{NAME} v1"], told, "pass"), ([], told, "fail"), ([f"{NAME} v1"], [], "fail")):
        event(tmp_path, "restore_drill", "b1", of="", passed=True, cases=cases, answered=answered)
        assert found("corruption.restore_tested", later(tmp_path)).verdict == verdict


def test_a_backup_without_this_strategys_models_fails(tmp_path: Path) -> None:
    where = make_place(tmp_path)
    where.back_up("test")
    alpha = strategy().model_copy(update={"name": "alpha"})
    other = strategy().model_copy(update={"name": "no-such-strategy"})
    verdicts = [
        found("loss.models", context(where.root, where.settings, strategy=one, now_ms=now())).verdict
        for one in (alpha, other, None)
    ]
    assert verdicts == ["pass", "fail", "pass"]


def test_a_folder_above_the_models_that_others_may_write_fails(tmp_path: Path) -> None:
    settings, versions = settings_of(tmp_path), FakeVersions()
    promoted(settings, registered(versions))
    model = written(tmp_path / "mlruns" / "artifacts" / "1" / "run" / "model" / "model.onnx", "model")
    where = context(tmp_path, settings, versions=versions)
    assert found("model.files", where).verdict == "pass"
    for folder in (model.parents[1], model.parents[2], tmp_path / "mlruns" / "artifacts"):
        folder.chmod(0o777)
        assert found("model.files", where).verdict == "fail", folder
        folder.chmod(0o755)


def test_a_record_of_some_of_the_kits_cases_fails(tmp_path: Path) -> None:
    kit = tmp_path / "clients" / "conformance" / "cases"
    written(kit / "breaker.json", json.dumps({"cases": [{"name": "it opens"}, {"name": "it closes"}]}))
    record = tmp_path / "runs" / "checklist" / "conformance.json"
    for names, verdict in ((("it opens", "it closes"), "pass"), (("it opens",), "fail")):
        cases = [{"name": name, "subject": "breaker", "passed": True} for name in names]
        written(record, json.dumps({"passed": True, "cases": cases}))
        finding = found("communication.breaker", later(tmp_path))
        assert finding.verdict == verdict, finding
    assert "it closes" in finding.evidence


# No number


def test_a_load_test_with_a_round_that_is_no_number_fails(tmp_path: Path) -> None:
    sound = {"p50_ms": 0.4, "p99_ms": 1.2, "answers": 100, "failures": 0}
    record = tmp_path / "runs" / "checklist" / "load.json"
    for worst, verdict in ((2.0, "pass"), (float("nan"), "fail"), (float("-inf"), "fail"), (-1.0, "fail")):
        rounds = {"tidegate, one new bar": [sound, {**sound, "p99_ms": worst}]}
        written(record, json.dumps({"one_client": rounds, "many_clients_rps": {"tidegate": [900.0]}}))
        assert found("latency.load_test", later(tmp_path)).verdict == verdict
    rounds = {"tidegate, one new bar": [sound]}
    written(record, json.dumps({"one_client": rounds, "many_clients_rps": {"tidegate": [float("inf")]}}))
    assert found("latency.load_test", later(tmp_path)).verdict == "fail"


# Secrets under other names


@pytest.mark.parametrize(
    ("name", "leak"),
    [
        ("src/a.py", 'SMTP_PASSWORD = "q7Rw2mXk9Lp4Tz8Vb3Nc"'),
        ("src/a.py", 'smtp_password="q7Rw2mXk9Lp4Tz8Vb3Nc"'),
        ("configs/a.yaml", "registry_token: q7Rw2mXk9Lp4Tz8Vb3Nc"),
        (".env", "AWS_SECRET_ACCESS_KEY=q7Rw2mXk9Lp4Tz8Vb3Ncq7Rw2mXk9Lp4Tz8Vb3Nc"),
        ("configs/a.toml", "api_key = 'q7Rw2mXk9Lp4Tz8Vb3Nc'"),
        ("src/large.txt", "#" * 2_100_000 + "\nghp_" + "a" * 36),
    ],
)
def test_a_secret_under_another_name_or_in_a_large_file_fails(tmp_path: Path, name: str, leak: str) -> None:
    checkout(tmp_path, {name: leak + "\n"})
    assert found("environment.secrets", context(tmp_path)).verdict == "fail"


def test_this_repository_holds_no_secret() -> None:
    finding = found("environment.secrets", context(REPOSITORY, settings_of_nothing()))
    assert finding.verdict == "pass", finding


def settings_of_nothing() -> Any:  # noqa: ANN401
    from tidegate.settings.settings import Settings

    return Settings()


def test_one_set_of_parameters_over_folds_and_months_is_no_search(tmp_path: Path) -> None:
    returns = written(tmp_path / "returns.parquet", "returns")
    digest = hashlib.sha256(returns.read_bytes()).hexdigest()
    ledger = TrialLedger.from_settings(settings_of(tmp_path))
    verdicts = []
    for number, (month, fold, depth) in enumerate((("10", 0, 3), ("10", 1, 3), ("11", 0, 4), ("11", 0, 5))):
        key, parameters = f"{NAME}/2026-{month}", {"max_depth": depth}
        ledger.record(Trial(str(number), NAME, key, fold, parameters, 7, FOLD, 0.1, 9, returns, digest))
        verdicts.append(found("score.tuned", later(tmp_path)).verdict)
    assert verdicts == ["fail", "fail", "fail", "pass"]


def test_an_hour_of_figures_is_no_trend_of_a_week(tmp_path: Path) -> None:
    where = later(tmp_path)

    class Young:
        address = "http://127.0.0.1:9090"

        def values(self, query: str) -> list[float]:
            return [] if "offset 1d" in query else [0.5]

    where.__dict__["prometheus"] = Young()
    finding = found("weekly.resources", where)
    assert (finding.verdict, "no trend" in finding.evidence) == ("not_measured", True)


def test_a_deployment_that_switched_outside_its_window_was_not_made_in_it(tmp_path: Path) -> None:
    """The window begins after the plan and ends before the record; what bots see is the switch."""

    def deployed(name: str, switched_at: int) -> str:
        for step, at in (("plan", now() - 3 * HOUR_MS), ("switch", switched_at), ("record", now())):
            event(tmp_path, "deployment", name, name=step, at=at, outcome="done", evidence="x")
        return found("deployment.window", later(tmp_path, 0.5)).verdict

    event(tmp_path, "maintenance_started", "w1", until=now() + HOUR_MS, reason="x")
    switches = [("one", 1000, "pass"), ("two", -2 * HOUR_MS, "fail"), ("three", 2 * HOUR_MS, "fail")]
    for name, after_ms, verdict in switches:
        assert deployed(name, now() + after_ms) == verdict, name
    event(tmp_path, "maintenance_ended", "w1", reason="x", warnings=[])
    assert deployed("four", now() + 1000) == "fail", "the window had been ended"


def test_an_image_that_nobody_tested_fails(tmp_path: Path) -> None:
    dockerfile = (REPOSITORY / "docker" / "serving" / "Dockerfile").read_text(encoding="utf-8")
    commit = checkout(tmp_path, {".gitignore": "runs\n", "docker/serving/Dockerfile": dockerfile})
    where = later(tmp_path, environment=docker(tmp_path.parent / f"{tmp_path.name}-programs"))
    assert found("infrastructure.image", where).verdict == "not_measured"
    for inside, verdict in (("", "pass"), ("<skipped/>", "fail"), ("<failure/>", "fail")):
        case = f'<testcase classname="tests.container.test_serving" name="test_it">{inside}</testcase>'
        written(tmp_path / "runs" / "checklist" / "tests.xml", f'<testsuite name="{commit}">{case}</testsuite>')
        assert found("infrastructure.image", where).verdict == verdict


def test_each_disk_counts_and_not_only_that_of_the_data(tmp_path: Path) -> None:
    small = Path("/dev/shm")  # a file system in memory, smaller than what is asked
    if not small.is_dir() or shutil.disk_usage(small).total >= 50e9:
        pytest.skip("no small file system is on this machine")
    for name in ("mlruns", "runs"):
        settings = settings_of(tmp_path, paths={name: small / "no-such-folder"})
        finding = found("resources.disk", context(tmp_path, settings))
        assert (finding.verdict, str(small) in finding.evidence) == ("fail", True)


def test_the_program_itself_is_looked_at_where_a_project_has_code_of_its_own(tmp_path: Path) -> None:
    written(tmp_path / "flows" / "sound.py", "assert 1 + 1 == 2\n")
    finding = found("code.security", context(tmp_path))
    assert (finding.verdict, str(Path(tidegate.__file__).parent) in finding.evidence) == ("pass", True)


@pytest.mark.parametrize(("days", "verdict"), [(0, "pass"), (34, "pass"), (36, "fail"), (-2, "fail")])
def test_a_simulated_models_age_is_told_by_its_own_market(tmp_path: Path, days: float, verdict: str) -> None:
    settings, versions = settings_of(tmp_path), FakeVersions("simulated")
    year = 365 * DAY_MS
    promoted(settings, registered(versions, kind="simulated", created_at=now(), expires_at=now() + year))
    simulated = strategy().model_copy(update={"kind": "simulated"})
    as_of = FOLD.test.end_at + round(days * DAY_MS)
    with RetrainLedger.from_settings(settings).retrain_lock(NAME, "2026-11") as lock:
        lock.record("finished", as_of=as_of, run_id="r", version=1)
    where = later(tmp_path, settings=settings, versions=versions, strategy=simulated)
    finding = found("score.fresh", where)
    assert finding.verdict == verdict, finding
