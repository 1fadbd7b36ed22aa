"""YAML and Python blocks of pages work as they stand."""

import importlib
import re
from inspect import isfunction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from tests.docs.pages import ROOT, Block, blocks, blocks_of

from tidegate.bars.interval import Interval
from tidegate.bars.simulated import simulate
from tidegate.features.features import resolve, standard_set
from tidegate.features.features import usable as usable_rows
from tidegate.features.window import Window
from tidegate.settings.loading import parse_yaml
from tidegate.settings.settings import Settings
from tidegate.strategy.strategy import SimulatedSource, Strategy

BASE = parse_yaml((ROOT / "configs" / "strategies" / "eurusd-sample.yaml").read_text(encoding="utf-8"))
FEATURES = ROOT / "docs" / "features.md"


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_blocks_are_strategies_or_settings_or_parts_of_one(block: Block) -> None:
    content = parse_yaml(block.text)
    if set(content) <= set(Settings.model_fields) - set(Strategy.model_fields):
        for section, values in content.items():
            kind: Any = Settings.model_fields[section].annotation
            TypeAdapter(kind).validate_python(values)
    else:
        Strategy.model_validate(content if "version" in content else BASE | content)


@pytest.mark.parametrize(
    "text", ["mlflow: {port: many}", "serving: {ports: 8080}", "labels: {horizon: 3}", "nothing: {a: 1}"]
)
def test_a_wrong_yaml_block_is_noticed(text: str) -> None:
    with pytest.raises(ValidationError):
        test_yaml_blocks_are_strategies_or_settings_or_parts_of_one(Block(FEATURES, 1, "yaml", text))


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_blocks_run(block: Block) -> None:
    exec(compile(block.text, str(block), "exec"), {"__name__": "block"})  # noqa: S102  the project's own pages


def test_the_feature_of_ones_own_works_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = blocks_of(FEATURES)
    (code,) = (block.text for block in found if block.language == "python")
    (uses,) = (
        parse_yaml(block.text)["features"] for block in found if block.language == "yaml" and "wicks" in block.text
    )
    (tmp_path / "wicks.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    features = resolve(Strategy.model_validate(BASE | {"features": uses}).features)

    text = FEATURES.read_text(encoding="utf-8")
    said = re.search(r"The features are then (.+)\.", text)
    assert said is not None
    assert re.findall(r"`(\w+)`", said[1]) == list(features.names)

    bars = simulate("SIM/USD", Interval("1h"), SimulatedSource(type="simulated", days=60), 1_764_000_000_000)
    alone = resolve([use for use in Strategy.model_validate(BASE | {"features": uses}).features if "wicks" in use.use])
    assert np.isfinite(alone.newest(bars)).all(), "the page names a lookback that is too short"
    matrix = features.matrix(bars)
    assert usable_rows(matrix[features.lookback - 1 :]).all()
    assert np.array_equal(features.newest(bars), matrix[-1:])
    own: Any = matrix[features.lookback - 1 :, list(features.names).index("wick_share_20")]
    assert (own > 0).any()
    assert ((own >= 0) & (own <= 1)).all()


def test_the_page_names_every_way_to_look_at_a_window() -> None:
    text = FEATURES.read_text(encoding="utf-8")
    said = re.search(r"through `window` only: ([^.]+)\.", text)
    assert said is not None
    offered = {name for name, value in vars(Window).items() if isfunction(value) and not name.startswith("_")}
    assert set(re.findall(r"`(\w+)`", said[1])) == offered


def test_the_page_tells_how_many_features_the_standard_set_has() -> None:
    count = len(resolve(standard_set()).names)
    assert f"{count} features" in FEATURES.read_text(encoding="utf-8")
