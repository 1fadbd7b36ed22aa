"""Training by external memory: the same bytes as in memory, and no file is left, however it ends."""

import dataclasses
import fcntl
from pathlib import Path

import numpy as np
import pytest
from tests.unit.model.small_model import SMALL, drawn_rows

from tidegate.dataset.dataset import TrainingRows
from tidegate.dataset.spill import Spill, is_spilled
from tidegate.model import external
from tidegate.model.training import booster_parameters, fit, fit_booster
from tidegate.strategy.strategy import Search

NAMES = ("a", "b", "c", "d", "e")


@pytest.fixture(autouse=True)
def _many_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external, "BLOCK_ROWS", 177)


def rows_with_ties(m: int = 2000) -> TrainingRows:
    """One column of few values, one of one value only, weights that differ: what a sketch of bins could stumble over."""
    rows = drawn_rows(5, m, features=5)
    rows.x[:, 2] = np.round(rows.x[:, 2])
    rows.x[:, 3] = 1.5
    weight = np.random.default_rng(2).uniform(0.1, 2.0, m).astype(np.float32)
    return dataclasses.replace(rows, weight=weight)


def spilled(rows: TrainingRows, folder: Path) -> TrainingRows:
    x = Spill(folder, above_mb=0).keep(rows.x)
    assert is_spilled(x)
    return dataclasses.replace(rows, x=x)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_fit_by_external_memory_has_the_same_bytes(threads: int, tmp_path: Path) -> None:
    rows = rows_with_ties()
    within = fit(rows, NAMES, SMALL, 3, threads)
    without = [fit(spilled(rows, tmp_path), NAMES, SMALL, 3, threads, workers=workers) for workers in (1, 2)]
    for found in without:
        assert found.ubj == within.ubj
        assert found.calibration == within.calibration
        assert found.out_of_fold.rounds == within.out_of_fold.rounds
        assert found.out_of_fold.margin.tobytes() == within.out_of_fold.margin.tobytes()
        assert found.importance == within.importance
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_deep_trees_have_the_same_bytes(seed: int, tmp_path: Path) -> None:
    rows = drawn_rows(seed, 2000, features=5)
    parameters = booster_parameters(SMALL.model_copy(update={"max_depth": 8, "max_bin": 64, "seed": seed}), 2)
    within = fit_booster(rows.x, rows.y, rows.weight, parameters, 30)
    apart = spilled(rows, tmp_path)
    without = fit_booster(apart.x, apart.y, apart.weight, parameters, 30)
    assert bytes(without.save_raw("ubj")) == bytes(within.save_raw("ubj"))


def test_a_search_by_external_memory_finds_the_same(tmp_path: Path) -> None:
    rows = drawn_rows(3, 1500, features=5)
    model = SMALL.model_copy(update={"search": Search(trials=2)})
    within, without = (fit(each, NAMES, model, 3, 1) for each in (rows, spilled(rows, tmp_path)))
    assert (without.ubj, without.parameters) == (within.ubj, within.parameters)


def test_a_fit_that_fails_leaves_no_file_and_raises_what_went_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = spilled(rows_with_ties(), tmp_path)
    seen: list[list[Path]] = []

    def broken(_values: object) -> None:
        seen.append(list(tmp_path.glob("*/*")))
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(external, "release", broken)
    with pytest.raises(OSError, match="Input/output error"):
        fit_booster(rows.x, rows.y, rows.weight, booster_parameters(SMALL, 1), 5)
    assert seen[0] != []
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_holds_stays(tmp_path: Path) -> None:
    left, alive, foreign = tmp_path / ".pages-left", tmp_path / ".pages-alive", tmp_path / "other"
    for folder in (left, alive, foreign):
        folder.mkdir()
        (folder / "held").touch()
        (folder / "page-1.gradient_index.page").write_bytes(b"1")
    rows = spilled(rows_with_ties(400), tmp_path)
    with (alive / "held").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        fit_booster(rows.x, rows.y, rows.weight, booster_parameters(SMALL, 1), 2)
    assert {path.name for path in tmp_path.iterdir()} == {".pages-alive", "other"}
    assert len(list(alive.iterdir())) == len(list(foreign.iterdir())) == 2
