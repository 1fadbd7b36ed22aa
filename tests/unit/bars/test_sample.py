from pathlib import Path

import numpy as np

from tidegate.bars.bars import iso
from tidegate.bars.interval import Interval
from tidegate.bars.sources import open_source
from tidegate.strategy.strategy import FileSource

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "data" / "sample"


def test_the_embedded_sample_is_what_its_readme_says() -> None:
    source = open_source(FileSource(type="file", path="data/sample/eurusd-1h-2017.parquet"), ROOT)
    raw = source.fetch("EUR/USD", Interval("1h"), None, None, 0)
    bars = raw.bars
    assert (len(bars), raw.notes) == (6225, ())
    ends = [
        (
            iso(int(bars.opened_at[row])),
            *(float(column[row]) for column in (bars.open, bars.high, bars.low, bars.close, bars.volume)),
        )
        for row in (0, -1)
    ]
    assert ends == [
        ("2017-01-01T22:00:00Z", 1.05236, 1.05253, 1.05221, 1.05227, 143539993.3),
        ("2017-12-29T21:00:00Z", 1.19984, 1.2013, 1.19931, 1.20075, 4885529785.0),
    ]
    assert np.count_nonzero(np.diff(bars.opened_at) != 3_600_000) == 52
    content = "4f93c1efeef029078b81bae6fa14c02aa65aff40dc2f7955f39ac0740c975657"
    assert bars.content_hash() == content
    assert content in (SAMPLE / "README.md").read_text()
    assert "MIT License" in (SAMPLE / "LICENSE-gym-anytrading").read_text()
