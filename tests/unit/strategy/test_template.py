import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tidegate.cli.main import app
from tidegate.errors import ConfigurationError
from tidegate.settings.loading import parse_yaml
from tidegate.strategy.strategy import Strategy, find_strategy
from tidegate.strategy.template import strategy_template

SOURCES = ("file", "dump", "freqtrade", "ccxt", "simulated")
PATH = "data/raw/{symbol}*.csv"


def template(source: str = "file", **changes: str) -> str:
    name = "simulated-mine" if source == "simulated" else "mine"
    return strategy_template(
        **{"name": name, "symbol": "BTC/USDT", "interval": "1h", "source": source, "path": PATH, **changes}
    )


def run_new(project: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> BaseException | None:
    monkeypatch.setenv("TIDEGATE_ROOT", str(project))
    return CliRunner().invoke(app, ["new", *arguments]).exception


@pytest.mark.parametrize("source", SOURCES)
def test_new_writes_a_file_that_loads(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "simulated-mine" if source == "simulated" else "mine"
    assert run_new(tmp_path, monkeypatch, name, "--source", source, "--interval", "5m") is None
    folder = tmp_path / "configs" / "strategies"
    assert [path.name for path in folder.iterdir()] == [f"{name}.yaml"]
    strategy = find_strategy(name, folder)
    assert (strategy.source.type, strategy.interval) == (source, "5m")
    assert strategy.symbols == (("SIM/USD",) if source == "simulated" else ("BTC/USDT",))
    assert strategy.kind == ("simulated" if source == "simulated" else "real")


def test_new_never_overwrites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "configs" / "strategies" / "mine.yaml"
    target.parent.mkdir(parents=True)
    target.write_text("precious")
    assert isinstance(run_new(tmp_path, monkeypatch, "mine"), ConfigurationError)
    assert target.read_text() == "precious"


def test_nothing_is_written_for_values_that_a_strategy_cannot_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(run_new(tmp_path, monkeypatch, "Mine"), ConfigurationError)
    assert not (tmp_path / "configs").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "ftp"}, "source 'ftp' is unknown"),
        ({"source": "simulated", "name": "mine"}, "hides that the market is simulated"),
        ({"name": "simulated-mine"}, "names beginning with 'simulated'"),
        ({"name": "mine\nkind: simulated"}, "no strategy file was written"),
        ({"name": "mine\n- x"}, "no strategy file was written"),
        ({"symbol": "SIM/USD"}, "for simulated bars only"),
        ({"symbol": "[BTC"}, "must look like BTC/USDT"),
        ({"symbol": "BTC/USDT, ETH/USDT"}, "must look like BTC/USDT"),
        ({"interval": "hourly"}, "interval 'hourly' is unknown"),
    ],
    ids=str,
)
def test_wrong_values_are_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        template(**changes)


@pytest.mark.parametrize(
    ("key", "value"), [("name", "123"), ("symbol", "NO"), ("symbol", "1INCH/USDT"), ("path", 'a: "b" #c/{symbol}')]
)
def test_values_are_read_back_as_they_were_given(key: str, value: str) -> None:
    strategy = Strategy.model_validate(parse_yaml(template(**{key: value})))
    found = {"name": strategy.name, "symbol": strategy.symbols[0], "path": getattr(strategy.source, "path", "")}
    assert found[key] == value


def test_what_the_template_shows_as_a_comment_is_valid_too() -> None:
    text = template()
    uncommented = re.sub(r"^# ((?:features|gates):|  .+)$", r"\1", text, flags=re.MULTILINE)
    strategy = Strategy.model_validate(parse_yaml(uncommented))
    assert [use.use for use in strategy.features] == ["return", "volatility", "my_features:order_flow"]
    assert strategy.gates.regime_volatile.not_enough_evidence_blocks is False


def test_the_template_writes_the_defaults() -> None:
    written = Strategy.model_validate(parse_yaml(template()))
    bare = {key: getattr(written, key) for key in ("version", "name", "kind", "symbols", "interval", "source")}
    assert written == Strategy.model_validate(bare)
