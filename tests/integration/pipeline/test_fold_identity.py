"""A stored fold is only taken again when nothing that made it has changed."""

import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.integration.pipeline.small_market import strategy

from tidegate.bars.bars import Bars
from tidegate.dataset.windows import FoldWindows, Window
from tidegate.errors import ConfigurationError
from tidegate.pipeline import fold_identity as module
from tidegate.pipeline.fold_identity import fold_identity
from tidegate.strategy.strategy import Strategy

WINDOWS = FoldWindows(train=Window(start_at=0, end_at=10), test=Window(start_at=10, end_at=20))
MODULE = "plugged_in_feature"


def dataset(*, close: float = 1.0) -> Any:  # noqa: ANN401
    columns = dict.fromkeys(("open", "high", "low", "volume"), np.ones(3))
    bars = Bars.of("SIM/USD", "15m", opened_at=np.arange(3) * 900_000, close=np.full(3, close), **columns)
    return SimpleNamespace(tables=(SimpleNamespace(bars=bars),))


def with_own_feature(**changes: Any) -> Strategy:  # noqa: ANN401
    return strategy(features=[{"use": f"{MODULE}:gap", "lookback": 2}, {"use": "return", "lengths": [1]}], **changes)


@pytest.fixture(autouse=True)
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / f"{MODULE}.py"
    path.write_text("def gap(window, length):\n    return window.now(window.log_close)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    return path


def identity(chosen: Strategy | None = None, **changes: Any) -> str:  # noqa: ANN401
    given = {"dataset": dataset(), "windows": WINDOWS, "strategy": chosen or with_own_feature(), "threads": 1} | changes
    return fold_identity(**given)


def test_nothing_changed_is_the_same_fold() -> None:
    assert identity() == identity()


def test_other_source_of_a_user_s_feature_is_another_fold(source: Path) -> None:
    before = identity()
    source.write_text("def gap(window, length):\n    return -window.now(window.log_close)\n")
    assert identity() != before


def test_other_source_of_a_user_s_label_is_another_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    module_file = tmp_path / "label_of_my_own.py"
    chosen = strategy(labels={"method": "label_of_my_own:session", "lookback": 2})
    found = []
    for content in ("ONE = 1\n", "ONE = 2\n", "ONE = 1\n"):
        module_file.write_text(content)
        found.append(identity(chosen))
    assert found[0] == found[2] != found[1]


def test_each_library_s_version_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {"numpy", "onnx", "onnxmltools", "onnxruntime", "scikit-learn", "vectorbt"}
    installed = version
    before = identity()
    assert wanted < set(module.library_versions(module.LIBRARIES))
    assert {"xgboost", "xgboost-cpu"} & set(module.library_versions(module.LIBRARIES))
    for changed in module.library_versions(module.LIBRARIES):
        monkeypatch.setattr(module, "version", lambda name, it=changed: "0" if name == it else installed(name))
        assert identity() != before, changed


@pytest.mark.parametrize(
    "changes",
    [
        {"threads": 2},
        {"dataset": dataset(close=2.0)},
        {"windows": WINDOWS.model_copy(update={"test": Window(start_at=10, end_at=21)})},
        {"strategy": with_own_feature(model={"seed": 8})},
        {"strategy": with_own_feature(policy={"margins": [0.1]})},
    ],
    ids=["threads", "bars", "windows", "seed", "margins"],
)
def test_what_a_fold_depends_on_makes_another_fold(changes: dict[str, Any]) -> None:
    assert identity(**changes) != identity()


def test_gates_do_not_change_a_fold() -> None:
    assert identity(with_own_feature(gates={"latency_p95_ms": {"threshold": 400}})) == identity()


def test_feature_without_a_file_is_refused() -> None:
    chosen = strategy(features=[{"use": "builtins:abs", "lookback": 2}])
    with pytest.raises(ConfigurationError, match="the source of builtins:abs cannot be read"):
        identity(chosen)
