from pathlib import Path

import pytest

from tidegate.bars.bars import parse_time
from tidegate.bars.interval import Interval
from tidegate.bars.sources import open_source
from tidegate.bars.sources.source import SimulatedBars
from tidegate.strategy.strategy import CcxtSource, DumpSource, FileSource, FreqtradeSource, SimulatedSource, Source

HOUR = Interval("1h")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (FileSource(type="file", path="x"), "FileBars"),
        (DumpSource(type="dump", path="x"), "DumpBars"),
        (FreqtradeSource(type="freqtrade", path="x"), "FreqtradeBars"),
        (CcxtSource(type="ccxt", exchange="binance"), "ExchangeBars"),
        (SimulatedSource(type="simulated"), "SimulatedBars"),
    ],
)
def test_each_type_has_its_source_and_opening_reads_nothing(source: Source, name: str) -> None:
    assert type(open_source(source, Path("nowhere"))).__name__ == name


def test_the_simulator_says_so_and_gives_only_finished_bars() -> None:
    as_of = parse_time("2026-06-01T12:30Z")
    source = SimulatedBars(SimulatedSource(type="simulated", days=60, seed=3))
    raw = source.fetch("SIM/USD", HOUR, None, None, as_of)
    assert int(raw.bars.closed_at[-1]) == parse_time("2026-06-01T12:00Z")
    assert (raw.notes, raw.origin) == (("simulated market, seed 3, edge 1",), "simulated market (seed 3)")
    part = source.fetch("SIM/USD", HOUR, parse_time("2026-05-30"), parse_time("2026-05-31"), as_of).bars
    assert len(part) == 24
    assert part.equals(raw.bars.between(parse_time("2026-05-30"), parse_time("2026-05-31")))
