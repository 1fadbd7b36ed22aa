"""What a fold's result depends on, as one digest: equal digests mean equal folds, so that a rerun may take a stored one."""

import hashlib
import importlib
import json
import platform
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import tidegate
from tidegate.dataset.dataset import Dataset
from tidegate.dataset.windows import FoldWindows
from tidegate.errors import ConfigurationError
from tidegate.strategy.strategy import Strategy

LIBRARIES: Final = (
    "numpy",
    "numba",
    "onnx",
    "onnxmltools",
    "onnxruntime",
    "optuna",
    "pandas",
    "scikit-learn",
    "scipy",
    "vectorbt",
    "xgboost",
    "xgboost-cpu",
)
"""Libraries that take part in a fold; other versions may give other numbers."""

_ROOT: Final = Path(tidegate.__file__).parent
NO_PART_IN_A_MODEL: Final = {"gates", "monitor", "rollback"}
"""Sections of a strategy that judge, watch or take back a model, and do not change it."""


def fold_identity(dataset: Dataset, windows: FoldWindows, strategy: Strategy, threads: int) -> str:
    """SHA-256 over bars, strategy, windows, threads, our code, the user's feature code, and the libraries' versions.

    Raises:
        ConfigurationError: a feature's module cannot be read.
    """
    parts = {
        "bars": [table.bars.content_hash() for table in dataset.tables],
        "strategy": strategy.model_dump(mode="json", exclude=NO_PART_IN_A_MODEL),
        "windows": windows.model_dump(mode="json"),
        "threads": threads,
        "code": _own_code(),
        "features": own_sources(strategy),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "libraries": library_versions(LIBRARIES),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def library_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Version by name of those that are installed; of two builds of XGBoost, for one, only one is."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def own_sources(strategy: Strategy) -> dict[str, str | None]:
    """Digest of the file of each `module:function` that a strategy names, None for built-in features, which are our own code.

    Raises:
        ConfigurationError: a file cannot be read.
    """
    found = {feature.use: _source_of(feature.use, "features") for feature in strategy.features}
    if strategy.labels.is_own:
        found[strategy.labels.method] = _source_of(strategy.labels.method, "labels.method")
    return dict(sorted(found.items()))


def _source_of(use: str, setting: str) -> str | None:
    module_name, colon, _ = use.rpartition(":")
    if not colon:
        return None
    try:
        path = getattr(importlib.import_module(module_name), "__file__", None)
        return hashlib.sha256(Path(path or "").read_bytes()).hexdigest()
    except (ImportError, OSError) as error:
        raise ConfigurationError(
            f"the source of {use} cannot be read: {error}",
            expected="a function in a Python file",
            setting=setting,
        ) from error


@cache
def _own_code() -> str:
    return code_digest(_ROOT.rglob("*.py"))


def own_files(*packages: str) -> list[Path]:
    """Our source files in some packages, by their names."""
    return [path for package in packages for path in (_ROOT / package).rglob("*.py")]


def code_digest(files: Iterable[Path]) -> str:
    """SHA-256 over names and contents of some of our source files, in whatever order they come."""
    digest = hashlib.sha256()
    for path in sorted(files):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(_ROOT)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
