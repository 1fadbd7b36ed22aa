"""Bars of two sources under one name: told apart before anything is stored; a few corrected bars are not."""

import logging
from pathlib import Path

import numpy as np
import pytest
from tests.integration.pipeline.small_market import AS_OF_MS

from tidegate.bars.bars import Bars
from tidegate.bars.interval import DAY_MS
from tidegate.errors import SourceError
from tidegate.pipeline.data import Gathered, bar_store, gather
from tidegate.pipeline.job import Job
from tidegate.settings.settings import Paths, Settings
from tidegate.strategy.strategy import Strategy

COUNT, STEP_MS = 960, 900_000


def market(seed: int = 1, *, count: int = COUNT) -> Bars:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.001, count)))
    opened = np.concatenate(([100.0], close[:-1]))
    return Bars.of(
        "EUR/USD",
        "15m",
        opened_at=AS_OF_MS - 10 * DAY_MS + np.arange(count) * STEP_MS,
        open=opened,
        high=np.maximum(opened, close) * 1.0002,
        low=np.minimum(opened, close) * 0.9998,
        close=close,
        volume=rng.uniform(1, 2, count),
    )


def corrected(bars: Bars, count: int) -> Bars:
    """The bars with other volumes in `count` of them, the fifth first."""
    volume = bars.volume.copy()
    volume[5 : 5 + count] += 1.0
    columns = {name: getattr(bars, name) for name in ("opened_at", "open", "high", "low", "close")}
    return Bars.of(bars.symbol, bars.interval, **columns, volume=volume)


def of_file(root: Path, name: str, bars: Bars) -> Strategy:
    rows = zip(bars.opened_at, bars.open, bars.high, bars.low, bars.close, bars.volume, strict=True)
    lines = [",".join(repr(value.item()) for value in row) for row in rows]
    (root / f"{name}.csv").write_text("\n".join(["timestamp,open,high,low,close,volume", *lines]))
    source = {"type": "file", "path": f"{name}.csv"}
    return Strategy.model_validate(
        {"version": 1, "name": name, "kind": "real", "symbols": ["EUR/USD"], "interval": "15m", "source": source}
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


def job(root: Path, chosen: Strategy, run: int = 0) -> Job:
    paths = Paths(data=root / "data", runs=root / "runs", mlruns=root / "mlruns", cache=root / "cache")
    return Job(chosen, Settings(paths=paths), root, AS_OF_MS, AS_OF_MS + run, "test")


def stored(root: Path, chosen: Strategy) -> Bars:
    return bar_store(job(root, chosen).settings, chosen).load("EUR/USD", chosen.bar)


def gathered(root: Path, name: str, bars: Bars, run: int = 0) -> Gathered:
    return gather(job(root, of_file(root, name, bars), run))


def test_another_market_under_the_same_name_is_refused_before_anything_is_stored(root: Path) -> None:
    first, other = market(), market(2, count=COUNT - 100)
    gathered(root, "bank-one", first)

    with pytest.raises(SourceError) as refusal:
        gathered(root, "bank-two", other, run=1)

    message = str(refusal.value)
    assert "860 of 860 stored bars of EUR/USD 15m differ from what the source of bank-two gives" in message
    assert "first the one of 2025-06-05T00:00:00Z" in message
    assert str(float(first.close[0])) in message
    assert str(float(other.close[0])) in message
    assert "another source or market" in message
    one = of_file(root, "bank-one", first)
    assert stored(root, one).equals(first)
    assert bar_store(job(root, one).settings, one).revisions("EUR/USD", one.bar) == ()


@pytest.mark.parametrize(("count", "refused"), [(9, False), (10, True)])
def test_more_than_one_in_a_hundred_is_too_many(root: Path, count: int, refused: bool) -> None:
    first = market(count=900)
    gathered(root, "bank", first)

    if refused:
        with pytest.raises(SourceError, match="10 of 900 stored bars"):
            gathered(root, "bank", corrected(first, count), run=1)
    else:
        assert gathered(root, "bank", corrected(first, count), run=1).revised == {"EUR/USD": 9}


def test_few_corrected_bars_leave_the_stored_ones_in_use_and_on_record(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = market()
    gathered(root, "bank", first)
    with caplog.at_level(logging.WARNING, "tidegate"):
        found = gathered(root, "bank", corrected(first, 4), run=1)

    (record,) = found.symbols
    note = "4 of 960 bars differ from the stored ones; the stored ones were used"
    assert found.bars[0].equals(first)
    assert note in record.notes
    assert f"EUR/USD 15m: {note}" in caplog.messages
    assert record.validation["rows_in"] == record.validation["rows_clean"] == COUNT


def test_validation_on_record_is_of_the_bars_that_were_used(root: Path) -> None:
    """The source later leaves bars out: the stored ones stay in use, so no gap is on record."""
    first = market()
    gathered(root, "bank", first)
    kept = np.ones(COUNT, bool)
    kept[400:404] = False
    found = gathered(root, "bank", first.take(kept), run=1)

    (record,) = found.symbols
    assert found.bars[0].equals(first)
    assert (record.validation["rows_in"], record.validation["missing_bars"]) == (COUNT, 0)
    assert "4 stored bars are no longer in the source; they were used" in record.notes


def test_same_bars_again_need_no_note(root: Path) -> None:
    one, again = (gathered(root, "bank", market(), run=run).symbols[0] for run in (0, 1))
    assert one.notes == again.notes


@pytest.mark.parametrize("exchange", ["kraken", "binance"])
def test_each_exchange_s_market_has_a_store_of_its_own(root: Path, exchange: str) -> None:
    source = {"type": "ccxt", "exchange": exchange}
    chosen = Strategy.model_validate(
        {"version": 1, "name": "x1", "kind": "real", "symbols": ["EUR/USD"], "interval": "15m", "source": source}
    )
    settings = job(root, chosen).settings
    assert bar_store(settings, chosen).root == root / "data" / "exchanges" / f"{exchange}-spot"
