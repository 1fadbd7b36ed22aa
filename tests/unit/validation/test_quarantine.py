import csv
from pathlib import Path

import numpy as np
import pytest
from tests.unit.validation.sound_bars import as_of, edited, sound_bars

from tidegate.bars.bars import COLUMNS, Bars
from tidegate.settings.settings import Validation
from tidegate.validation.quarantine import HEADER, write_quarantine
from tidegate.validation.validate import Validated, judge

BARS = sound_bars(200)


def judged(bars: Bars) -> Validated:
    return judge(bars, rules=Validation(), calendar="24/7", as_of_ms=as_of(BARS))


def test_rows_read_back_bit_for_bit(tmp_path: Path) -> None:
    bad = edited(edited(BARS, "close", [3, 5], [float("nan"), float("-inf")]), "high", 7, 0.1 + 0.2)
    path = write_quarantine(judged(bad), tmp_path / "new" / "folder")
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == HEADER
    assert [(row[0], row[1], row[2]) for row in rows] == [
        ("3", "non_finite", "2024-01-01T03:00:00Z"),
        ("5", "non_finite+non_positive_price+high_low", "2024-01-01T05:00:00Z"),
        ("7", "high_low", "2024-01-01T07:00:00Z"),
    ]
    for place, name in enumerate(COLUMNS[1:], start=4):
        values = np.array([float(row[place]) for row in rows])
        assert values.tobytes() == getattr(bad, name)[[3, 5, 7]].tobytes()
    assert path.name == "quarantine_BTC%2FUSDT_1h.csv"


def test_a_file_without_rows_replaces_an_earlier_one(tmp_path: Path) -> None:
    first = write_quarantine(judged(edited(BARS, "close", 3, float("nan"))), tmp_path)
    second = write_quarantine(judged(BARS), tmp_path)
    assert first == second
    assert second.read_text(encoding="utf-8") == ",".join(HEADER) + "\n"


def test_a_failed_write_leaves_the_earlier_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_quarantine(judged(edited(BARS, "close", 3, float("nan"))), tmp_path)
    before = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_quarantine(judged(BARS), tmp_path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
