import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.errors import ConfigurationError
from tidegate.strategy.strategy import Strategy, find_strategy, load_strategy

REAL: dict[str, Any] = {
    "version": 1,
    "name": "majors",
    "kind": "real",
    "symbols": ["BTC/USDT", "ETH/USDT"],
    "interval": "1h",
    "source": {"type": "file", "path": "x.csv"},
}
SIMULATED = REAL | {
    "name": "simulated-one",
    "kind": "simulated",
    "symbols": ["SIM/USD"],
    "source": {"type": "simulated"},
}


def written(folder: Path, content: object, name: str = "majors") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize("content", [REAL, SIMULATED], ids=["real", "simulated"])
def test_a_short_file_loads(content: dict[str, Any], tmp_path: Path) -> None:
    assert load_strategy(written(tmp_path, content)).name == content["name"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nmae": "x"}, "nmae"),
        ({"windows": {"train_day": 90}}, "windows.train_day"),
        ({"windows": {"train_days": 59}}, "windows.train_days"),
        ({"windows": {"train_days": 60, "embargo_bars": 1441}}, "embargo_bars is longer"),
        ({"symbols": ["BTC/USDT", "BTC/USDT"]}, "named twice"),
        ({"symbols": ["btc"]}, "must look like"),
        ({"symbols": ["BTC/USDT", "SIM/USD"]}, "for simulated bars only"),
        ({"source": {"type": "simulated"}}, "go together"),
        ({"kind": "simulated"}, "go together"),
        ({"name": "simulated-real"}, "for simulated strategies"),
        ({"policy": {"margins": [0.1, 0.05]}}, "must ascend"),
        ({"policy": {"margins": [0.1, 0.5]}}, "must ascend"),
        ({"features": [{"use": "return", "lengths": [0]}]}, "1..5000"),
        ({"version": 2}, "version"),
        ({"name": "../up"}, "name"),
        ({"interval": "fast"}, "interval"),
    ],
    ids=str,
)
def test_a_wrong_key_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        load_strategy(written(tmp_path, REAL | change))


@pytest.mark.parametrize("change", [{"name": "plain"}, {"symbols": ["BTC/USDT"]}, {"kind": "real"}], ids=str)
def test_a_simulated_strategy_cannot_pass_for_a_real_one(change: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        load_strategy(written(tmp_path, SIMULATED | change))


def test_a_strategy_is_found_by_name_and_by_path(tmp_path: Path) -> None:
    path = written(tmp_path, REAL)
    assert find_strategy("majors", tmp_path) == find_strategy(str(path), Path("nowhere"))


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    written(tmp_path, REAL)
    with pytest.raises(ConfigurationError, match="known strategies: majors"):
        find_strategy("minors", tmp_path)


def test_a_file_that_names_another_strategy_is_refused(tmp_path: Path) -> None:
    written(tmp_path, REAL, "minors")
    with pytest.raises(ConfigurationError, match="names another strategy"):
        find_strategy("minors", tmp_path)


def test_separate_models_have_names_of_their_own() -> None:
    separate = Strategy.model_validate(REAL | {"combine": "separate"}).single()
    assert [(each.name, each.symbols) for each in separate] == [
        ("majors-btcusdt", ("BTC/USDT",)),
        ("majors-ethusdt", ("ETH/USDT",)),
    ]
    assert [each.name for each in Strategy.model_validate(REAL).single()] == ["majors"]


@pytest.mark.parametrize(
    ("calendar", "interval", "periods"),
    [("24/7", "1h", 8760), ("24/7", "5m", 105_120), ("fx", "1h", 6240), ("fx", "1d", 260)],
)
def test_periods_a_year(calendar: str, interval: str, periods: float) -> None:
    strategy = Strategy.model_validate(REAL | {"calendar": calendar, "interval": interval})
    assert strategy.periods_per_year == periods
