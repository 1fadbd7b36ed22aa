import logging
import os
from pathlib import Path

import pytest

from tidegate.errors import ConfigurationError
from tidegate.watch.strategies import Strategies

TEXT = """\
version: 1
name: {name}
kind: real
symbols: [{symbols}]
interval: 5m
source: {{type: file, path: bars.csv}}
{more}
"""


def write(folder: Path, name: str, more: str = "", symbols: str = "BTC/USDT", at: int = 1) -> None:
    path = folder / f"{name}.yaml"
    path.write_text(TEXT.format(name=name, more=more, symbols=symbols))
    os.utime(path, (at, at))


def names(strategies: Strategies) -> list[str]:
    return [one.model for one in strategies.watched()]


def test_all_strategies_of_the_folder_each_model_by_its_own_name(tmp_path: Path) -> None:
    strategies = Strategies(tmp_path)
    assert names(strategies) == []
    write(tmp_path, "aa", "combine: separate", "BTC/USDT, ETH/USDT")
    assert names(strategies) == ["aa-btcusdt", "aa-ethusdt"]
    write(tmp_path, "bb")
    assert names(strategies) == ["aa-btcusdt", "aa-ethusdt", "bb"]
    (tmp_path / "aa.yaml").unlink()
    assert names(strategies) == ["bb"]


def test_a_changed_file_changes_the_rules(tmp_path: Path) -> None:
    write(tmp_path, "aa")
    strategies = Strategies(tmp_path)
    assert strategies.watched()[0].rules.crashes == 3
    write(tmp_path, "aa", "rollback: {crashes: 5}", at=2)
    assert strategies.watched()[0].rules.crashes == 5


def test_a_file_that_became_wrong_leaves_the_rules_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "aa", "rollback: {crashes: 5}")
    strategies = Strategies(tmp_path)
    strategies.watched()
    write(tmp_path, "aa", "rollback: {crashes: none}", at=2)
    with caplog.at_level(logging.ERROR):
        assert [strategies.watched()[0].rules.crashes for _ in range(3)] == [5, 5, 5]
    assert len(caplog.records) == 1
    assert "the rules read before still hold" in caplog.text
    assert strategies.wrong == [tmp_path / "aa.yaml"]
    write(tmp_path, "aa", at=3)
    assert strategies.watched()[0].rules.crashes == 3
    assert strategies.wrong == []


def test_a_wrong_file_keeps_no_other_from_being_watched(tmp_path: Path) -> None:
    write(tmp_path, "aa", "rollback: {crashes: none}")
    write(tmp_path, "bb")
    strategies = Strategies(tmp_path)
    assert names(strategies) == ["bb"]
    assert strategies.wrong == [tmp_path / "aa.yaml"]


def test_named_strategies_must_be_there_and_right(tmp_path: Path) -> None:
    write(tmp_path, "aa")
    write(tmp_path, "bb", "rollback: {crashes: none}")
    assert names(Strategies(tmp_path, ["aa"])) == ["aa"]
    for wrong in ("bb", "cc"):
        with pytest.raises(ConfigurationError):
            Strategies(tmp_path, [wrong])
