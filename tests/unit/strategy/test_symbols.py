"""Other symbols than the file's: the same rules, the same names of models, and never the bars of another symbol."""

from typing import Any

import pytest

from tidegate.errors import ConfigurationError
from tidegate.strategy.strategy import Strategy
from tidegate.strategy.symbols import named_symbols, with_symbols


def strategy(**changes: Any) -> Strategy:  # noqa: ANN401  parts of a strategy file
    content = {
        "version": 1,
        "name": "majors",
        "kind": "real",
        "symbols": ["BTC/USDT", "ETH/USDT"],
        "interval": "1h",
        "source": {"type": "file", "path": "data/raw/{symbol}*.csv"},
        "gates": {"sharpe": {"threshold": 1.0}},
    }
    return Strategy.model_validate(content | changes)


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("BTC/USDT", ("BTC/USDT",)),
        (" BTC/USDT , ETH/USDT,", ("BTC/USDT", "ETH/USDT")),
        ("B/A,A/B", ("B/A", "A/B")),
    ],
)
def test_a_list_with_commas(text: str, symbols: tuple[str, ...]) -> None:
    assert named_symbols(text) == symbols


@pytest.mark.parametrize("text", ["", " ", ","])
def test_an_empty_list_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="no symbol is named"):
        named_symbols(text)


# combine, symbols given, names of the models, their symbols
MODELS: list[tuple[str, tuple[str, ...], list[str], list[tuple[str, ...]]]] = [
    ("pooled", ("SOL/USDT",), ["majors"], [("SOL/USDT",)]),
    ("pooled", ("ETH/USDT", "SOL/USDT"), ["majors"], [("ETH/USDT", "SOL/USDT")]),
    ("pooled", ("BTC/USDT", "ETH/USDT"), ["majors"], [("BTC/USDT", "ETH/USDT")]),
    ("separate", ("SOL/USDT", "BTC/USDT"), ["majors-solusdt", "majors-btcusdt"], [("SOL/USDT",), ("BTC/USDT",)]),
    ("separate", ("ETH/USDT",), ["majors-ethusdt"], [("ETH/USDT",)]),
]


@pytest.mark.parametrize(("combine", "symbols", "names", "each"), MODELS)
def test_models_are_those_of_a_file_with_these_symbols(
    combine: str, symbols: tuple[str, ...], names: list[str], each: list[tuple[str, ...]]
) -> None:
    models = with_symbols(strategy(combine=combine), symbols).single()
    assert [model.name for model in models] == names
    assert [model.symbols for model in models] == each


def test_one_of_several_symbols_is_the_model_that_all_of_them_make() -> None:
    whole = strategy(combine="separate")
    assert with_symbols(whole, ("ETH/USDT",)).single() == (whole.single()[1],)


def test_nothing_else_changes() -> None:
    changed = with_symbols(strategy(), ("SOL/USDT",))
    assert changed.model_copy(update={"symbols": ("BTC/USDT", "ETH/USDT")}) == strategy()


@pytest.mark.parametrize(
    ("symbols", "told"),
    [
        (("sol/usdt",), "must look like BTC/USDT"),
        (("SOL/USDT", "SOL/USDT"), "named twice"),
        (("SOL/USDT", "SOLUSDT"), "differ only in punctuation"),
        (("SIM/USD",), "are for simulated bars only"),
    ],
)
def test_the_rules_of_the_file_hold(symbols: tuple[str, ...], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        with_symbols(strategy(), symbols)


def test_bars_of_one_symbol_are_never_given_to_another() -> None:
    one = strategy(symbols=["BTC/USDT"], source={"type": "file", "path": "data/raw/btcusdt.csv"})
    with pytest.raises(ConfigurationError, match=r"would have the bars of BTC/USDT.*expected \{symbol\} in the path"):
        with_symbols(one, ("ETH/USDT",))
    assert with_symbols(one, ("BTC/USDT",)) is one


def test_an_exchange_needs_no_place_in_a_path() -> None:
    exchange = strategy(source={"type": "ccxt", "exchange": "binance"})
    assert with_symbols(exchange, ("SOL/USDT",)).symbols == ("SOL/USDT",)
