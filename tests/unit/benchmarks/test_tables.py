"""What benchmarks share: turns, tables, the refusal of unlike outputs, and the fits that were noted."""

import json
from pathlib import Path

import pytest
import xgboost
from benchmarks.fits import bare_all, noted
from benchmarks.tables import interleaved, keep, require, show
from tests.unit.model.small_model import SMALL, drawn_rows

from tidegate.model.training import fit


def test_sides_take_turns_and_the_first_turn_is_not_counted() -> None:
    turns: list[str] = []
    seconds = interleaved({"ours": lambda: turns.append("ours"), "theirs": lambda: turns.append("theirs")}, 2)
    assert turns == ["ours", "theirs"] * 3
    assert list(seconds) == ["ours", "theirs"]
    assert all(spent >= 0 for spent in seconds.values())


def test_a_table_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    show("title", ("side", "ms"), [("loop", "1.0"), ("engine", "123.4")])
    assert capsys.readouterr().out == "\ntitle\n  side       ms\n  loop      1.0\n  engine  123.4\n"


def test_unlike_outputs_end_the_benchmark() -> None:
    require(True, "nothing")
    with pytest.raises(SystemExit, match="outputs differ: the bars; nothing was measured"):
        require(False, "the bars")


def test_figures_are_kept_with_the_machine(tmp_path: Path) -> None:
    keep(None, {})
    keep(tmp_path / "figures.json", {"ratio": 1.5})
    found = json.loads((tmp_path / "figures.json").read_text())
    assert found["ratio"] == 1.5
    assert len(found["machine"]["load"]) == 3


def test_noted_fits_are_all_of_them_and_give_the_same_bytes_by_themselves() -> None:
    train, table = xgboost.train, xgboost.QuantileDMatrix
    with noted() as fits:
        fitted = fit(drawn_rows(m=600), ("a", "b", "c", "d"), SMALL, 3, 1)
    assert (xgboost.train, xgboost.QuantileDMatrix) == (train, table)
    assert len(fits.found) == SMALL.inner_folds + 1
    assert fits.found[-1].ubj == fitted.ubj
    assert fits.found[-1].rows == 600
    assert bare_all(fits.found, 2) == [found.ubj for found in fits.found]
    assert fits.seconds > 0
