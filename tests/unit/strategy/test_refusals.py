"""Strategy files that would only go wrong later are refused when they are read."""

from typing import Any

import pytest
from pydantic import ValidationError
from tests.integration.pipeline.small_market import strategy

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("a misspelt parameter to search", {"model": {"search": {"space": {"max_dept": [2, 6]}}}}, "max_dept"),
    ("a seed to search", {"model": {"search": {"space": {"seed": [1, 9]}}}}, "seed"),
    ("a span the wrong way round", {"model": {"search": {"space": {"learning_rate": [0.2, 0.01]}}}}, "lowest"),
    ("symbols that share their files", {"symbols": ["SIM/USD", "SIM-USD"]}, "punctuation"),
    (
        "a name that is too long with its symbols",
        {"name": "simulated-" + "x" * 50, "symbols": ["SIM/USD", "SIMB/USD"], "combine": "separate"},
        "too long",
    ),
    ("a contest that can never be held", {"windows": {"test_days": 14}}, "champion_min_days"),
]


@pytest.mark.parametrize(("changes", "told"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        strategy(**changes)


def test_a_short_window_is_fine_where_the_contest_is_short_too() -> None:
    assert strategy(windows={"test_days": 14}, gates={"champion_min_days": 10}).windows.test_days == 14


def test_perpetuals_are_refused_since_their_funding_is_not_modelled() -> None:
    content = strategy().model_dump(mode="json") | {
        "kind": "real",
        "name": "perpetual",
        "symbols": ["BTC/USDT"],
        "source": {"type": "ccxt", "exchange": "binance", "market": "swap"},
    }
    with pytest.raises(ValidationError, match="market"):
        type(strategy()).model_validate(content)
