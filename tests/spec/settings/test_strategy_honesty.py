"""A simulated market says so: its kind, source, name and symbols go together, or the strategy file is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.errors import ConfigurationError
from tidegate.strategy.strategy import find_strategy, load_strategy
from tidegate.strategy.template import strategy_template

REAL: dict[str, Any] = {"type": "file", "path": "bars.csv"}
SIMULATED: dict[str, Any] = {"type": "simulated"}

# name, kind, source, symbols, whether it is taken
CASES = [
    ("btc", "real", REAL, ["BTC/USDT"], True),
    ("simulated-a", "simulated", SIMULATED, ["SIM/USD"], True),
    ("simulated-a", "simulated", SIMULATED, ["SIM/USD", "SIM2/USD"], True),
    ("btc", "real", SIMULATED, ["BTC/USDT"], False),
    ("simulated-a", "simulated", REAL, ["SIM/USD"], False),
    ("simulated-a", "simulated", SIMULATED, ["BTC/USDT"], False),
    ("simulated-a", "simulated", SIMULATED, ["SIM/USD", "BTC/USDT"], False),
    ("btc", "real", REAL, ["SIM/USD"], False),
    ("btc", "real", REAL, ["BTC/USDT", "SIM/USD"], False),
    ("btc", "simulated", SIMULATED, ["SIM/USD"], False),
    ("simulated-a", "real", REAL, ["BTC/USDT"], False),
    ("simulated-a", "real", SIMULATED, ["SIM/USD"], False),
]


@pytest.mark.parametrize(("name", "kind", "source", "symbols", "taken"), CASES)
def test_what_goes_together(
    tmp_path: Path, name: str, kind: str, source: dict[str, Any], symbols: list[str], taken: bool
) -> None:
    content = {"version": 1, "name": name, "kind": kind, "symbols": symbols, "interval": "1h", "source": source}
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content))
    if taken:
        assert load_strategy(path).kind == kind
        return
    with pytest.raises(ConfigurationError, match="simulated"):
        load_strategy(path)


def test_separate_models_of_a_simulated_strategy_stay_simulated() -> None:
    text = strategy_template("simulated-a", symbol="SIM/USD", interval="1h", source="simulated", path="")
    content = yaml.safe_load(text) | {"symbols": ["SIM/USD", "SIMB/USD"], "combine": "separate"}
    from tidegate.strategy.strategy import Strategy

    singles = Strategy.model_validate(content).single()
    assert [single.name for single in singles] == ["simulated-a-simusd", "simulated-a-simbusd"]
    assert {single.kind for single in singles} == {"simulated"}


@pytest.mark.parametrize("source", ["file", "dump", "freqtrade", "ccxt"])
def test_a_written_strategy_file_of_a_real_source_is_real(tmp_path: Path, source: str) -> None:
    text = strategy_template("mine", symbol="BTC/USDT", interval="5m", source=source, path="bars/{symbol}*.csv")
    (tmp_path / "mine.yaml").write_text(text)
    assert find_strategy("mine", tmp_path).kind == "real"


def test_a_written_simulated_strategy_cannot_hide_it() -> None:
    with pytest.raises(ConfigurationError, match="hides that the market is simulated"):
        strategy_template("mine", symbol="BTC/USDT", interval="5m", source="simulated", path="")
    with pytest.raises(ConfigurationError, match="are for simulated strategies"):
        strategy_template("simulated-mine", symbol="BTC/USDT", interval="5m", source="file", path="x")
    text = strategy_template("simulated-mine", symbol="BTC/USDT", interval="5m", source="simulated", path="")
    assert yaml.safe_load(text)["symbols"] == ["SIM/USD"], "a real symbol is not kept"
