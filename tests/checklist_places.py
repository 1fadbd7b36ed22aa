"""Small projects for the checklist's probes: folders, ledgers and registries that are real, and broken by the tests."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from tests.registry_factories import FakeVersions, decision, gate

from tidegate.checklist.catalogue import probes
from tidegate.checklist.context import Context
from tidegate.checklist.examine import look
from tidegate.checklist.finding import Finding
from tidegate.dataset.windows import FoldWindows, Window
from tidegate.registry.ledger import Ledger
from tidegate.registry.rules import REQUIRED_GATES
from tidegate.registry.state import Draft
from tidegate.settings.settings import Settings
from tidegate.strategy.strategy import Strategy, load_strategy

REPOSITORY = Path(__file__).parents[1]
NAME = "eurusd-sample"
DAY_MS = 86_400_000
NOW = 1_790_000_000_000
FOLD = FoldWindows(
    train=Window(start_at=NOW - 150 * DAY_MS, end_at=NOW - 60 * DAY_MS),
    test=Window(start_at=NOW - 60 * DAY_MS, end_at=NOW - 30 * DAY_MS),
)
GOOD: Mapping[str, Any] = {
    "windows": (FOLD,),
    "out_of_sample": {"win_rate": 0.6, "sharpe": 1.8, "max_drawdown": 0.1},
    "created_at": NOW - DAY_MS,
}
GATES: Mapping[str, Mapping[str, Any]] = {
    "latency_p95_ms": {"observed": 1.2},
    "max_drawdown": {"observed": 0.11},
    **{f"regime_{name}": {"observed": 1.3, "n": 80} for name in ("trending", "ranging", "volatile")},
}
NAMES = sorted({
    *REQUIRED_GATES, *GATES, "out_of_sample_folds", "no_look_ahead", "too_good_win_rate", "too_good_sharpe", "costs_above_zero", "engines_agree",
    "validation_passed", "reproducible", "onnx_parity", "serving_parity", "random_entries", "permuted_labels",
})  # fmt: skip


def settings_of(root: Path, **sections: Any) -> Settings:  # noqa: ANN401  sections of settings
    """Settings of a project in a folder."""
    strategies = root / "configs" / "strategies"
    strategies.mkdir(parents=True, exist_ok=True)
    source = REPOSITORY / "configs" / "strategies" / f"{NAME}.yaml"
    if not (strategies / source.name).exists():
        (strategies / source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    folders = {
        "data": root / "data",
        "runs": root / "runs",
        "mlruns": root / "mlruns",
        "cache": root / ".cache",
        "strategies": strategies,
    }
    given = {"paths": folders, "checklist": {"records": root / "runs" / "checklist"}}
    merged = {name: {**given.get(name, {}), **sections.get(name, {})} for name in {*given, *sections}}
    return Settings.model_validate(merged)


def strategy(**rollback: Any) -> Strategy:  # noqa: ANN401  fields of many types
    """The sample's strategy, with other rules."""
    found = load_strategy(REPOSITORY / "configs" / "strategies" / f"{NAME}.yaml")
    return found.model_copy(update={"rollback": found.rollback.model_copy(update=rollback)})


def registered(versions: FakeVersions, gates: Mapping[str, Mapping[str, Any]] | None = None, **changes: Any) -> int:  # noqa: ANN401
    """A further version with a decision; one gate may be changed, or left out by an empty mapping of None."""
    version = versions.add(**{**GOOD, **changes})
    made = versions.manifests[version]
    told = {**GATES, **(gates or {})}
    results = tuple(
        gate(name, **told.get(name, {})) for name in NAMES if told.get(name, {}).get("observed") != "absent"
    )
    versions.decisions[version] = decision(made, results=results)
    return version


def promoted(settings: Settings, version: int, digest: str = "d" * 64, name: str = NAME) -> int:
    """Rows of a promotion in the ledger; gives the id of the row that closes it."""
    return act(settings, "promote", version, digest=digest, name=name)


def act(settings: Settings, action: Any, version: int | None, *, digest: str = "d" * 64, name: str = NAME) -> int:  # noqa: ANN401
    """Rows of an act in the ledger; gives the id of the row that closes it."""
    ledger = Ledger.from_settings(settings)
    draft = Draft(name, action, ledger.state(name).current, version, "test", "test", digest)
    with ledger.writing() as writer:
        row = writer.append(draft, "intent")
        return writer.close(row, "committed", reason="test", evidence={}).id


def context(root: Path, settings: Settings | None = None, **changes: Any) -> Context:  # noqa: ANN401
    """A context of the project in a folder."""
    given = {"strategy": strategy(), "now_ms": NOW, **changes}
    return Context(settings or settings_of(root), root, given.pop("strategy"), given.pop("now_ms"), **given)


def found(name: str, where: Context) -> Finding:
    """What a probe says, as the checklist has it."""
    return look(where, name, probes())


def git(root: Path, *words: str) -> str:
    """Git in a folder."""
    names = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *names, *words], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def checkout(root: Path, files: Mapping[str, str] | None = None) -> str:
    """A git checkout with these files, committed; gives the commit."""
    root.mkdir(parents=True, exist_ok=True)
    git(root, "init", "-q")
    for name, text in (files or {"README.md": "hello\n"}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "test")
    return git(root, "rev-parse", "HEAD")


def written(path: Path, content: object) -> Path:
    """A YAML or JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return path
