"""Probes of files, git, programs and this machine: each on a folder that is sound, and on the same folder broken."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.checklist_places import (
    NOW,
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
from tests.registry_factories import FakeVersions

from tidegate.checklist.context import Context
from tidegate.checklist.probes import resources
from tidegate.settings.reference import reference

NOW_MS = time.time_ns() // 1_000_000
GITIGNORE = (REPOSITORY / ".gitignore").read_text(encoding="utf-8")


def of_today(root: Path, **sections: Any) -> Context:  # noqa: ANN401  sections of settings
    return context(root, settings_of(root, **sections), now_ms=time.time_ns() // 1_000_000)


def junit(commit: str, *, failures: int = 0, errors: int = 0, tests: int = 3, skipped: int = 1) -> str:
    cases = (
        '<testcase classname="tests.unit.features.test_values" name="test_one"/>'
        '<testcase classname="tests.unit.model.test_training" name="test_two">'
        f"{'<failure/>' if failures else ''}</testcase>"
        '<testcase classname="tests.e2e.test_story" name="test_three"><skipped/></testcase>'
    )
    counts = f'tests="{tests}" failures="{failures}" errors="{errors}" skipped="{skipped}"'
    return f'<testsuites><testsuite name="{commit}" {counts}>{cases}</testsuite></testsuites>'


def test_the_record_of_the_tests_is_of_this_commit_young_and_without_a_failure(tmp_path: Path) -> None:
    commit = checkout(tmp_path)
    record = tmp_path / "runs" / "checklist" / "tests.xml"
    assert found("code.tests", of_today(tmp_path)).verdict == "not_measured"
    for text, verdict in (
        (junit(commit), "pass"),
        (junit(f"{commit}-dirty"), "fail"),
        (junit("0" * 40), "fail"),
        (junit(commit, failures=1), "fail"),
        (junit(commit, errors=1), "fail"),
        (junit(commit, tests=1, skipped=1), "fail"),
        (junit(commit)[:-20], "fail"),
    ):
        written(record, text)
        finding = found("code.tests", of_today(tmp_path))
        assert finding.verdict == verdict, finding
    written(record, junit(commit))
    os.utime(record, (time.time() - 32 * 86_400,) * 2)
    assert "too old" in found("code.tests", of_today(tmp_path)).evidence
    written(record, junit(commit))
    git(tmp_path, "commit", "-qm", "another", "--allow-empty")
    assert found("code.tests", of_today(tmp_path)).verdict == "fail"


def test_a_record_of_pytest_itself_is_read(tmp_path: Path) -> None:
    """As `make test` writes it: the suite's name is the commit."""
    commit = checkout(tmp_path, {"test_it.py": "def test_it():\n    pass\n"})
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert "--junitxml runs/checklist/tests.xml -o junit_suite_name=$(COMMIT)" in makefile
    assert "git describe --always --dirty --abbrev=40 --exclude='*'" in makefile
    named = git(tmp_path, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    assert named == commit
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml", "runs/checklist/tests.xml"]
    subprocess.run(
        [*command, "-o", f"junit_suite_name={named}", "test_it.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        check=True,
        capture_output=True,
    )
    assert found("code.tests", of_today(tmp_path)).verdict == "pass"


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("features", "tests.unit.features.test_values"),
        ("model", "tests.unit.model.test_training"),
        ("pipeline", "tests.e2e.test_story"),
    ],
)
def test_tests_of_a_folder_ran_and_none_failed(tmp_path: Path, name: str, module: str) -> None:
    commit = checkout(tmp_path)
    record = tmp_path / "runs" / "checklist" / "tests.xml"
    for inside, verdict in (("", "pass"), ("<failure/>", "fail"), ("<error/>", "fail"), ("<skipped/>", "fail")):
        case = f'<testcase classname="{module}" name="test_it">{inside}</testcase>'
        written(record, f'<testsuite name="{commit}">{case}</testsuite>')
        assert found(f"score.tests_{name}", of_today(tmp_path)).verdict == verdict
    other = '<testcase classname="tests.unit.other.test_x" name="test_it"/>'
    written(record, f'<testsuite name="{commit}">{other}</testsuite>')
    assert found(f"score.tests_{name}", of_today(tmp_path)).verdict == "fail"


def test_security_lint_is_run_over_the_projects_own_code(tmp_path: Path) -> None:
    written(tmp_path / "flows" / "sound.py", "assert 1 + 1 == 2\n")
    assert found("code.security", context(tmp_path)).verdict == "pass"
    written(tmp_path / "flows" / "open.py", "import subprocess\nsubprocess.call('ls ' + input(), shell=True)\n")
    finding = found("code.security", context(tmp_path))
    assert (finding.verdict, "open.py:2" in finding.evidence) == ("fail", True)


def docker(
    folder: Path, *, engine: int = 0, image: int = 0, created: str = "2999-01-01T00:00:00Z", lint: str = "exit 0"
) -> dict[str, str]:
    """Programs in the place of an engine and a linter, for machines without an engine."""
    told = json.dumps([{"Created": created}])
    script = f"#!/bin/sh\ncase $1 in info) exit {engine};; image) echo '{told}'; exit {image};; esac\n"
    for name, text in (("docker", script), ("hadolint", f"#!/bin/sh\n{lint}\n")):
        path = written(folder / name, text)
        path.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "pass"),
        ({"engine": 1}, "not_measured"),
        ({"image": 1}, "fail"),
        ({"created": "2001-01-01T00:00:00.123456789Z"}, "fail"),
        ({"created": "nonsense"}, "fail"),
    ],
)
def test_the_image_is_there_and_younger_than_its_sources(tmp_path: Path, changes: dict[str, Any], verdict: str) -> None:
    dockerfile = (REPOSITORY / "docker" / "serving" / "Dockerfile").read_text(encoding="utf-8")
    commit = checkout(tmp_path, {"src/a.py": "\n", "docker/serving/Dockerfile": dockerfile})
    tested = f'<testsuite name="{commit}"><testcase classname="tests.container.test_a" name="test_it"/></testsuite>'
    written(tmp_path / "runs" / "checklist" / "tests.xml", tested)
    programs = docker(tmp_path.parent / f"{tmp_path.name}-programs", **changes)
    where = context(tmp_path, environment=programs, now_ms=NOW_MS)
    finding = found("infrastructure.image", where)
    assert finding.verdict == verdict, finding


def test_a_dockerfile_with_faults_fails(tmp_path: Path) -> None:
    checkout(tmp_path, {"docker/serving/Dockerfile": "FROM debian\nRUN cd /tmp && sudo ls\n"})
    finding = found(
        "infrastructure.image", context(tmp_path, environment=docker(tmp_path.parent / f"{tmp_path.name}-programs"))
    )
    assert (finding.verdict, "DL3004" in finding.evidence) == ("fail", True)


def test_the_syslog_server_takes_connections_or_not(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        assert found("infrastructure.log_aggregation", of_today(tmp_path, logs={"syslog": address})).verdict == "pass"
    assert found("infrastructure.log_aggregation", of_today(tmp_path, logs={"syslog": address})).verdict == "fail"
    assert found("infrastructure.log_aggregation", of_today(tmp_path)).verdict == "not_measured"


def test_git_holds_no_model_and_ignores_where_they_are_made(tmp_path: Path) -> None:
    checkout(tmp_path, {".gitignore": GITIGNORE})
    assert found("model.not_in_git", context(tmp_path)).verdict == "pass"
    written(tmp_path / "models" / "v1.joblib", "model")
    git(tmp_path, "add", "models")
    assert "models/v1.joblib" in found("model.not_in_git", context(tmp_path)).evidence
    git(tmp_path, "rm", "-qf", "--cached", "models/v1.joblib")
    written(tmp_path / ".gitignore", GITIGNORE.replace("*.onnx\n", ""))
    assert found("model.not_in_git", context(tmp_path)).verdict == "fail"
    shutil.rmtree(tmp_path / ".git")
    assert found("model.not_in_git", context(tmp_path)).verdict == "not_measured"


@pytest.mark.parametrize(
    "leak",
    [
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n",
        "key = AKIA" + "ABCDEFGHIJKLMNOP",
        'password: "hunter2hunter2hunter2"',
        "tg_bot-1_" + "A" * 43,
        "ghp_" + "a" * 36,
    ],
)
def test_a_secret_in_a_tracked_file_fails(tmp_path: Path, leak: str) -> None:
    checkout(tmp_path, {"configs/a.yaml": "password: null\n"})
    assert found("environment.secrets", context(tmp_path)).verdict == "pass"
    written(tmp_path / "configs" / "b.yaml", leak + "\n")
    assert found("environment.secrets", context(tmp_path)).verdict == "pass", "git does not track it yet"
    git(tmp_path, "add", "configs/b.yaml")
    finding = found("environment.secrets", context(tmp_path))
    assert (finding.verdict, "configs/b.yaml" in finding.evidence, leak in finding.evidence) == ("fail", True, False)


def test_where_git_tracks_nothing_yet_no_file_was_looked_at(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    written(tmp_path / "configs" / "b.yaml", "ghp_" + "a" * 36)
    assert found("environment.secrets", context(tmp_path)).verdict == "not_measured"


def test_a_key_that_others_may_read_fails(tmp_path: Path) -> None:
    checkout(tmp_path)
    key = written(tmp_path / "private.pem", "key")
    key.chmod(0o600)
    signing = {"private_key_file": key}
    assert found("environment.secrets", of_today(tmp_path, signing=signing)).verdict == "pass"
    key.chmod(0o640)
    assert found("environment.secrets", of_today(tmp_path, signing=signing)).verdict == "fail"


def test_every_variable_stands_on_the_page(tmp_path: Path) -> None:
    page = written(tmp_path / "docs" / "settings.md", reference())
    assert found("environment.documented", context(tmp_path)).verdict == "pass"
    page.write_text(reference().replace("| `watch.poll_s`", "| `watch.pole_s`"), encoding="utf-8")
    finding = found("environment.documented", context(tmp_path))
    assert (finding.verdict, "TIDEGATE_WATCH__POLL_S" in finding.evidence) == ("fail", True)
    page.unlink()
    assert found("environment.documented", context(tmp_path)).verdict == "not_measured"


@pytest.mark.parametrize(
    ("production", "verdict"),
    [
        ({"validation": {"stale": "fatal"}}, "pass"),
        ({"serving": {"allow_unsigned": True}}, "fail"),
        ({"serving": {"cors_origins": ["*"]}}, "fail"),
        ({"serving": {"log_sync": False}}, "fail"),
        ({"validation": {"missing_share": "warn"}}, "fail"),
        ({"serving": {"no_such_key": 1}}, "fail"),
        ({}, "fail"),
    ],
)
def test_productions_settings_are_its_own_and_strict(tmp_path: Path, production: dict[str, Any], verdict: str) -> None:
    written(tmp_path / "configs" / "production.yaml", production)
    written(tmp_path / "configs" / "development.yaml", {})
    assert found("environment.production_config", context(tmp_path)).verdict == verdict


def test_the_projects_own_settings_and_files_pass() -> None:
    for name in (
        "environment.production_config",
        "documentation.api",
        "documentation.integration",
        "documentation.runbook",
    ):
        finding = found(name, context(REPOSITORY, settings_of_nothing()))
        assert finding.verdict == "pass", finding


def settings_of_nothing() -> Any:  # noqa: ANN401
    from tidegate.settings.settings import Settings

    return Settings()


def test_production_without_a_file_of_its_own_fails(tmp_path: Path) -> None:
    assert found("environment.production_config", context(tmp_path)).verdict == "fail"


def test_the_service_loads_no_database_driver(tmp_path: Path) -> None:
    assert found("latency.database", context(tmp_path)).verdict == "pass"
    written(tmp_path / "site" / "sitecustomize.py", "import sqlite3\n")
    where = context(tmp_path, environment={"PYTHONPATH": str(tmp_path / "site")})
    finding = found("latency.database", where)
    assert (finding.verdict, "sqlite3" in finding.evidence) == ("fail", True)


def load(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    one = {"p50_ms": 0.4, "p99_ms": 1.2, "answers": 100, "failures": 0, **changes}
    return {
        "one_client": {"tidegate, one new bar": [one], "rival": [{**one, "p99_ms": 99.0}]},
        "many_clients_rps": {"tidegate, one new bar": [900.0]},
    }


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        (load(), "pass"),
        (load(p99_ms=10.0), "fail"),
        (load(failures=1), "fail"),
        ({**load(), "one_client": {}}, "fail"),
        ({**load(), "many_clients_rps": {"tidegate, one new bar": [19.0]}}, "fail"),
        ({}, "fail"),
        ([], "fail"),
        ("{", "fail"),
    ],
)  # fmt: skip
def test_the_record_of_a_load_test_decides(tmp_path: Path, told: object, verdict: str) -> None:
    assert found("latency.load_test", of_today(tmp_path)).verdict == "not_measured"
    written(tmp_path / "runs" / "checklist" / "load.json", told if isinstance(told, str) else json.dumps(told))
    assert found("latency.load_test", of_today(tmp_path)).verdict == verdict


def cases(
    *failed: str, subjects: tuple[str, ...] = ("fallbacks", "deadlines", "retries", "rate_limits", "breaker")
) -> str:
    told = [
        {"name": f"{one} case", "subject": one, "why": "", "passed": one not in failed, "seconds": 0.1}
        for one in subjects
    ]
    return json.dumps({"passed": not failed, "seconds": 1.0, "cases": told})


CONFORMANCE = [
    ("bot.fallback", "fallbacks"),
    ("communication.retries", "retries"),
    ("communication.retries", "rate_limits"),
    ("communication.breaker", "breaker"),
]


@pytest.mark.parametrize(("name", "subject"), CONFORMANCE)
def test_the_conformance_kits_record_decides(tmp_path: Path, name: str, subject: str) -> None:
    record = tmp_path / "runs" / "checklist" / "conformance.json"
    assert found(name, of_today(tmp_path)).verdict == "not_measured"
    for text, verdict in ((cases(), "pass"), (cases(subject), "fail"), (cases(subjects=("health",)), "fail")):
        written(record, text)
        assert found(name, of_today(tmp_path)).verdict == verdict


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        ({"passed": True, "checked": [{"name": "network", "passed": True}]}, "pass"),
        ({"passed": False, "checked": [{"name": "network", "passed": False}]}, "fail"),
        ({"passed": True, "checked": [{"name": "network", "passed": False}]}, "fail"),
        ({"passed": True, "checked": []}, "fail"),
    ],
)
def test_the_bots_own_check_decides(tmp_path: Path, told: object, verdict: str) -> None:
    assert found("bot.configuration", of_today(tmp_path)).verdict == "not_measured"
    written(tmp_path / "runs" / "checklist" / "bot-check.json", json.dumps(told))
    assert found("bot.configuration", of_today(tmp_path)).verdict == verdict


def test_fewer_processors_are_told_as_they_are(tmp_path: Path) -> None:
    """In a process of its own that may use one processor only."""
    told = "from tests.checklist_places import context, found; from pathlib import Path; import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); print(found('resources.cpu', context(Path('.'))))"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", told], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, check=True, capture_output=True, text=True)  # fmt: skip
    assert "'fail'" in done.stdout
    assert "1 processors" in done.stdout


def test_a_container_that_allows_less_is_told_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "_CGROUP", tmp_path)
    written(tmp_path / "memory.max", "1000000000\n")
    written(tmp_path / "cpu.max", "150000 100000\n")
    assert found("resources.memory", context(tmp_path)).verdict == "fail"
    finding = found("resources.cpu", context(tmp_path))
    assert (finding.verdict, "allows 1.5" in finding.evidence) == ("fail", True)
    written(tmp_path / "memory.max", "max\n")
    assert "GB of the machine's are free" in found("resources.memory", context(tmp_path)).evidence


def test_a_small_disk_fails(tmp_path: Path) -> None:
    small = Path("/dev/shm")  # a file system in memory, smaller than what is asked
    if not small.is_dir() or shutil.disk_usage(small).total >= 50e9:
        pytest.skip("no small file system is on this machine")
    finding = found("resources.disk", of_today(tmp_path, paths={"data": small / "no-such-folder"}))
    assert (finding.verdict, str(small) in finding.evidence) == ("fail", True)


def test_a_slow_link_fails_and_an_unknown_one_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "_NETWORKS", tmp_path / "net")
    assert found("resources.network", context(tmp_path)).verdict == "not_measured"
    written(tmp_path / "net" / "lo" / "speed", "-1\n")
    assert found("resources.network", context(tmp_path)).verdict == "not_measured"
    for speed, verdict in (("1000", "pass"), ("100", "fail")):
        written(tmp_path / "net" / "eth0" / "speed", speed)
        assert found("resources.network", context(tmp_path)).verdict == verdict


def test_model_files_that_others_may_write_fail(tmp_path: Path) -> None:
    settings, versions = settings_of(tmp_path), FakeVersions()
    promoted(settings, registered(versions))
    where = context(tmp_path, settings, versions=versions)
    assert found("model.files", where).verdict == "not_measured"
    model = written(tmp_path / "mlruns" / "artifacts" / "1" / "model.onnx", "model")
    assert found("model.files", where).verdict == "pass"
    model.chmod(0o664)
    assert found("model.files", where).verdict == "fail"
    model.chmod(0o444)
    model.parent.chmod(0o777)
    assert found("model.files", where).verdict == "fail"


PAGES: list[tuple[str, str, Callable[[str], str]]] = [
    ("documentation.api", "docs/contracts/openapi.json", lambda text: text.replace('"/v1/bots"', '"/v1/robots"')),
    ("documentation.integration", "docs/bot.md", lambda text: text.replace("(serving-api.md)", "(no-such-page.md)")),
    ("documentation.integration", "docs/bot.md", lambda text: text.replace("(runbook.md#botcutoff)", "(runbook.md#nowhere)")),
    ("documentation.integration", "docs/bot.md", lambda text: text.replace("dry_run", "dry")),
    ("documentation.runbook", "docs/runbook.md", lambda text: text.replace("### ServiceDown", "### Something")),
    ("documentation.runbook", "docker/prometheus/rules/alerts.yml", lambda text: text.replace("#watchdown", "#watch")),
]  # fmt: skip


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's pages and rules, with links to all else that pages link to."""
    root = tmp_path_factory.mktemp("pages")
    for path in REPOSITORY.iterdir():
        if path.name in {"docs", "docker"}:
            shutil.copytree(path, root / path.name)
        else:
            (root / path.name).symlink_to(path)
    return root


@pytest.mark.parametrize(("name", "path", "change"), PAGES)
def test_pages_that_were_not_kept_up_fail(pages: Path, name: str, path: str, change: Callable[[str], str]) -> None:
    where = context(pages, settings_of_nothing())
    sound = found(name, where)
    assert sound.verdict == "pass", sound
    text = (pages / path).read_text(encoding="utf-8")
    assert change(text) != text
    try:
        (pages / path).write_text(change(text), encoding="utf-8")
        assert found(name, context(pages, settings_of_nothing())).verdict == "fail"
    finally:
        (pages / path).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("heading", ["plan", "rollback_plan"])
def test_a_plan_has_steps(tmp_path: Path, heading: str) -> None:
    name, title = f"deployment.{heading}", heading.replace("_", " ").capitalize()
    title = "Deployment plan" if heading == "plan" else title
    assert found(name, context(tmp_path)).verdict == "not_measured"
    page = written(
        tmp_path / "docs" / "deployment.md", f"# Deployment\n\n## {title}\n" + "".join(f"{n}. step\n" for n in range(6))
    )
    assert found(name, context(tmp_path)).verdict == "pass"
    written(page, f"# Deployment\n\n## {title}\n1. step\n\n## Other\n" + "text\n" * 9)
    assert found(name, context(tmp_path)).verdict == "fail"
    written(page, "# Deployment\n\nNothing.\n")
    assert found(name, context(tmp_path)).verdict == "fail"


def test_the_strategy_is_needed_for_what_is_about_one(tmp_path: Path) -> None:
    where = Context(settings_of(tmp_path), tmp_path, None, NOW)
    for name in ("training.days", "daily.uptime", "trigger.latency", "bot.client", "corruption.versions_kept"):
        assert found(name, where).verdict != "pass"
    assert strategy().name


def test_subjects_of_the_conformance_kit_are_named_as_it_names_them() -> None:
    known = {path.stem for path in (REPOSITORY / "clients" / "conformance" / "cases").glob("*.json")}
    assert {subject for _, subject in CONFORMANCE} | {"deadlines", "fallbacks"} <= known


def test_the_parts_are_drawn_and_every_link_of_every_page_leads_somewhere(tmp_path: Path) -> None:
    name, drawing = "documentation.architecture", "bars --> features\nfeatures --> model\nmodel --> gates\n"
    assert found(name, context(tmp_path)).verdict == "not_measured"
    page = written(tmp_path / "docs" / "how-it-works.md", f"# Parts\n\n{drawing}\n[more](sub/other.md#a-part)\n")
    assert found(name, context(tmp_path)).verdict == "fail"
    other = written(
        tmp_path / "docs" / "sub" / "other.md",
        "# Other\n\n## A part\n\n[back](../how-it-works.md), [web](https://example.org)\n",
    )
    assert found(name, context(tmp_path)).verdict == "pass"
    written(other, "# Other\n\n## Another part\n")
    assert "sub/other.md#a-part" in found(name, context(tmp_path)).evidence
    written(page, "# Parts\n\nbars --> features\n")
    assert found(name, context(tmp_path)).verdict == "fail"
