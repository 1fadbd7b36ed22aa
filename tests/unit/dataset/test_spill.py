"""Tables in files: the same numbers, no name on the disk, and a full disk is said so before anything is written."""

import os
from pathlib import Path

import numpy as np
import pytest
from tests.unit.dataset.test_dataset import BTC, ETH, FEATURES, START, STEP, STRATEGY

from tidegate.dataset import spill as spill_module
from tidegate.dataset.dataset import assemble
from tidegate.dataset.spill import IN_MEMORY, Spill, blocks, folder_of, is_spilled, release
from tidegate.dataset.windows import Window
from tidegate.errors import DataError


def test_a_table_up_to_the_limit_stays_in_memory(tmp_path: Path) -> None:
    limit = Spill(tmp_path / "made", above_mb=0.004)
    assert not is_spilled(limit.table(100, 10, np.float32))
    assert not (tmp_path / "made").exists()
    assert is_spilled(limit.table(101, 10, np.float32))
    assert is_spilled(limit.table(51, 10, np.float64))
    assert not is_spilled(IN_MEMORY.table(10_000, 10, np.float64))


def test_a_table_in_a_file_has_no_name_and_keeps_what_was_written(tmp_path: Path) -> None:
    values = np.arange(3000.0).reshape(300, 10)
    kept = Spill(tmp_path, above_mb=0).keep(values)
    assert is_spilled(kept)
    assert list(tmp_path.iterdir()) == []
    assert folder_of(kept) == tmp_path
    release(kept)
    assert np.array_equal(kept, values)
    assert Spill(tmp_path, above_mb=1).keep(values) is values


def test_chosen_rows_are_a_table_in_memory(tmp_path: Path) -> None:
    kept = Spill(tmp_path, above_mb=0).keep(np.ones((20, 2)))
    assert not is_spilled(kept[np.array([1, 3])])
    assert not is_spilled(kept[:, 1].astype(np.float32))


def test_a_disk_without_room_is_said_so_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_given: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError, match=r"no room for a table of 8 MB: No space left .*compute.max_training_mb"):
        Spill(tmp_path, above_mb=0).table(1_000_000, 1, np.float64)
    assert list(tmp_path.iterdir()) == []


def test_blocks_cover_all_rows_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill_module, "BLOCK_ROWS", 4)
    assert list(blocks(10)) == [slice(0, 4), slice(4, 8), slice(8, 10)]
    assert list(blocks(0)) == []


def test_a_dataset_in_files_has_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill_module, "BLOCK_ROWS", 37)
    window = Window(start_at=START, end_at=START + 300 * STEP)
    one = assemble([BTC, ETH], FEATURES, STRATEGY)
    two = assemble([BTC, ETH], FEATURES, STRATEGY, Spill(tmp_path, above_mb=0))
    assert [is_spilled(table.features) for table in two.tables] == [True, True]
    first, second = one.training_rows(window), two.training_rows(window)
    assert is_spilled(second.x)
    for name in ("x", "y", "weight", "known_at", "ends_at", "symbol", "row", "width"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes(), name
    assert all(
        np.array_equal(a.features, b.features, equal_nan=True) for a, b in zip(one.tables, two.tables, strict=True)
    )
