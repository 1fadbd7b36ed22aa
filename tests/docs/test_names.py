"""Keys, modules and files that pages name exist."""

import importlib
import re
from pathlib import Path

import pytest
from tests.docs.pages import PAGES, ROOT, name_of, prose

from tidegate.settings.reference import rows
from tidegate.settings.settings import Settings
from tidegate.strategy.reference import reference
from tidegate.strategy.strategy import Strategy

KEYS = {row.key for row in rows()} | set(re.findall(r"^\| `([^`]+)` \|", reference(), flags=re.MULTILINE))
SECTIONS = {*Strategy.model_fields, *Settings.model_fields}
PACKAGES = {path.name for path in (ROOT / "src" / "tidegate").iterdir() if path.is_dir()}
FOLDERS = ("src/", "flows/", "configs/", "docs/", "requirements/", "benchmarks/", "tests/")


def codes(page: Path) -> list[str]:
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose(page))


def is_key(code: str) -> bool:
    parents = {key.rpartition(".")[0] for key in KEYS}
    return code in KEYS or code in parents


def is_module(path: str) -> bool:
    """Whether a dotted path below tidegate names a module, or something in one."""
    try:
        importlib.import_module(f"tidegate.{path}")
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        return bool(module) and holds(module, name)
    return True


def holds(module: str, name: str) -> bool:
    try:
        return hasattr(importlib.import_module(f"tidegate.{module}"), name)
    except ModuleNotFoundError:
        return False


def unknown(code: str) -> bool:
    """Whether a code word looks like a key, a module or a file of the project, and is none."""
    if re.fullmatch(r"tidegate(\.\w+)+", code):
        return not is_module(code.removeprefix("tidegate."))
    if re.fullmatch(r"\w+(\.\w+)+", code):
        first = code.partition(".")[0]
        if first in SECTIONS | PACKAGES and not code.endswith((".parquet", ".json", ".onnx", ".ubj", ".md")):
            return not is_key(code) and not is_module(code)
    if code.startswith(FOLDERS) and re.fullmatch(r"[\w./-]+", code):
        return not (ROOT / code).exists()
    return False


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_names_in_the_text_exist(page: Path) -> None:
    assert [code for code in codes(page) if unknown(code)] == []


@pytest.mark.parametrize(
    "code",
    [
        "windows.train_day",
        "gates.sharp",
        "mlflow.tracking_url",
        "registry.opened",
        "tidegate.policy.policy.target",
        "tidegate.nothing",
        "flows/train.py",
    ],
)
def test_a_wrong_name_is_noticed(code: str) -> None:
    assert unknown(code)


@pytest.mark.parametrize(
    "code",
    ["windows.train_days", "model.search", "registry.opening", "tidegate.backtest.result.Trades", "flows/retrain.py"],
)
def test_a_right_name_is_not(code: str) -> None:
    assert not unknown(code)
