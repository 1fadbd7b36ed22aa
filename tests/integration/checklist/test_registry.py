"""The lines about versions against a real MLflow server, whose files are then damaged on disk; and the command itself."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.checklist_places import DAY_MS, GOOD, NAME, REPOSITORY, promoted, settings_of, strategy
from tests.registry_factories import decision, gate, write_bundle
from tests.servers import mlflow_server
from tests.unit.cli.run import CommandLine

from tidegate.checklist.catalogue import probes
from tidegate.checklist.context import Context
from tidegate.checklist.examine import look
from tidegate.registry.database import system_clock
from tidegate.registry.tracking.versions import Tracking
from tidegate.settings.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.servers]


@dataclass
class Registry:
    """Three versions in MLflow, each of which was in production; a project's folder around it."""

    root: Path
    address: str
    settings: Settings

    def verdict(self, name: str) -> str:
        """What a probe says now."""
        return look(Context(self.settings, self.root, strategy(), system_clock()), name, probes()).verdict

    def model(self, version: int) -> Path:
        """The version's model file, as MLflow keeps it."""
        return next(
            path
            for path in (self.root / "mlruns").rglob("model.onnx")
            if path.read_bytes().startswith(f"model {version}".encode())
        )


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    root = tmp_path_factory.mktemp("registry")
    with mlflow_server(root / "mlruns") as address:
        settings = settings_of(root, mlflow={"tracking_uri": address})
        tracking = Tracking(settings)
        for version in (1, 2, 3):
            made = write_bundle(
                root / "made" / str(version),
                f"model {version}".encode(),
                **{**GOOD, "seed": version, "created_at": system_clock() - DAY_MS},
            )
            results = tuple(
                gate(name) for name in ("out_of_sample_folds", "no_look_ahead", "costs_above_zero", "engines_agree")
            )
            with tracking.start_run(NAME, "test") as run:
                run.decision(decision(made, results=results))
                tracking.register(
                    root / "made" / str(version), run, [one.name for one in made.features], description="test"
                )
            promoted(settings, version, made.digest())
        for name in ("checklist.yaml", "ml-test-score.yaml"):
            (root / "configs" / name).write_text(
                (REPOSITORY / "configs" / name).read_text(encoding="utf-8"), encoding="utf-8"
            )
        yield Registry(root, address, settings)


VERSIONS = ("training.days", "training.out_of_sample", "training.win_rate", "training.costs", "model.versioning", "model.rollback_plan", "corruption.versions_kept")  # fmt: skip


@pytest.mark.parametrize("name", VERSIONS)
def test_what_is_in_the_registry_passes(registry: Registry, name: str) -> None:
    assert registry.verdict(name) == "pass"


def test_the_command_writes_page_markdown_and_json_and_ends_with_5(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("TIDEGATE_ROOT", str(registry.root))
    monkeypatch.setenv("TIDEGATE_MLFLOW__TRACKING_URI", registry.address)
    tidegate = CommandLine(monkeypatch, capsys)
    page, text = tmp_path / "a" / "checklist.html", tmp_path / "checklist.md"
    told = tidegate(
        "checklist", NAME, "--section", "model training", "--html", str(page), "--markdown", str(text), "--json"
    )
    looked = json.loads(told.out)
    states = {line["id"]: line["state"] for line in looked["lines"]}
    assert told.code == 5
    assert looked["version"] == 3
    assert (states["training.days"], states["training.latency"]) == ("pass", "fail")
    assert looked["blocking"][0] == "training.targets"
    assert "training.latency" in page.read_text(encoding="utf-8")
    assert "# Production checklist of eurusd-sample, v3: Not ready" in text.read_text(encoding="utf-8")
    assert f"{registry.address}/#/models/{NAME}/versions/3" in told.out
    old = json.loads(tidegate("checklist", NAME, "--section", "training.days", "--version", "1", "--json").out)
    assert (old["version"], old["passes"]) == (1, True)
    shown = tidegate("checklist", NAME, "--section", "training.days")
    assert (shown.code, "In part: Only the section 'training.days'" in shown.out) == (0, True)


def test_a_signature_by_the_command_is_seen_by_the_command(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEGATE_ROOT", str(registry.root))
    monkeypatch.setenv("TIDEGATE_MLFLOW__TRACKING_URI", registry.address)
    tidegate = CommandLine(monkeypatch, capsys)
    assert tidegate("checklist", NAME, "--section", "sign-off").code == 5
    for name in ("development", "operations", "security"):
        told = tidegate("sign", f"approval.{name}", "--by", "Ada", "--note", "seen", "--strategy", NAME)
        assert (told.code, f"approval.{name}: signed by Ada" in told.out) == (0, True)
    assert tidegate("checklist", NAME, "--section", "approval.").code == 0
    assert json.loads(tidegate("checklist", "--section", "approval.", "--json").out)["passes"] is False, (
        "no strategy was named"
    )
    for words in (
        ("training.days", "--by", "A", "--note", "n"),
        ("nothing", "--by", "A", "--note", "n"),
        ("approval.security", "--by", "A", "--note", "n", "--days", "91"),
    ):
        assert tidegate("sign", *words).code == 2
    assert (
        json.loads(tidegate("sign", "field.notes", "--by", "A", "--note", "n", "--json").out)["item"] == "field.notes"
    )


def test_a_flipped_byte_in_the_artifacts_fails(registry: Registry) -> None:
    earlier, newest = registry.model(2), registry.model(3)
    kept = {path: path.read_bytes() for path in (earlier, newest)}
    try:
        earlier.write_bytes(kept[earlier] + b"x")
        assert registry.verdict("corruption.versions_kept") == "fail"
        assert registry.verdict("model.rollback_plan") == "pass", "there is v1"
        newest.write_bytes(kept[newest] + b"x")
        for name in ("training.days", "model.versioning", "corruption.versions_kept"):
            assert registry.verdict(name) == "fail"
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
    assert registry.verdict("corruption.versions_kept") == "pass"


def test_files_that_everybody_may_write_fail(registry: Registry) -> None:
    assert registry.verdict("model.files") == "pass"
    mode = registry.model(3).stat().st_mode
    try:
        registry.model(3).chmod(0o666)
        assert registry.verdict("model.files") == "fail"
    finally:
        os.chmod(registry.model(3), mode)  # noqa: PTH101
