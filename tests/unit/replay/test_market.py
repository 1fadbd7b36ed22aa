"""Live bars by month: clean, ascending, with answers that need no more than what was known."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from tests.property.replay.scripted import strategy

from tidegate.bars.bars import Bars, Floats, parse_time
from tidegate.bars.interval import DAY_MS, Interval
from tidegate.bars.sources.source import RawBars
from tidegate.features.features import resolve
from tidegate.replay.history import History, months_of
from tidegate.replay.market import Market
from tidegate.settings.settings import Validation
from tidegate.strategy.strategy import FeatureUse

START = parse_time("2018-01-20")
FEATURES = resolve([FeatureUse(use="return", lengths=(6,)), FeatureUse(use="volatility", lengths=(24,))])


class _Known(Market):
    """Answers with the first feature itself, squeezed between 0 and 1."""

    def _ask(self, _bundle: Any, matrix: Floats) -> Floats:  # noqa: ANN401
        return np.asarray(1.0 / (1.0 + np.exp(-100.0 * matrix[:, 0])))


class _Bundle:
    digest = "a"

    class manifest:  # noqa: N801  an attribute of a bundle
        feature_hash = "f"
        features = FEATURES.specs


BUNDLE = cast("Any", _Bundle())


@pytest.fixture
def bars() -> Bars:
    rng = np.random.default_rng(5)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.01, 24 * 60)))
    opened = np.concatenate(([100.0], close[:-1]))
    at = START + 3_600_000 * np.arange(len(close))
    return Bars.of(
        "BTC/USDT", "1h", opened_at=at, open=opened, high=np.maximum(opened, close) * 1.01,
        low=np.minimum(opened, close) * 0.99, close=close, volume=rng.uniform(1, 2, len(close)),
    )  # fmt: skip


def market(tmp_path: Path, given: Bars) -> _Known:
    history = History(tmp_path, Interval("1h"))
    history.write("BTC/USDT", RawBars(given, (), "test"))
    return _Known(history, strategy(), Validation())


def test_rows_that_validation_sets_aside_were_not_traded(tmp_path: Path, bars: Bars) -> None:
    low = bars.low.copy()
    low[30] = bars.high[30] * 2  # a low above the high
    wild = replace(bars, low=low).take(np.array([1, 0, *range(2, len(bars)), 5]))
    found = market(tmp_path, wild).span("BTC/USDT", START, START + 60 * DAY_MS)
    assert found.opened_at.tolist() == np.delete(bars.opened_at, 30).tolist()


def test_a_span_and_what_is_before_it_cross_months(tmp_path: Path, bars: Bars) -> None:
    known = market(tmp_path, bars)
    at = parse_time("2018-02-01") + 5 * 3_600_000
    assert known.span("BTC/USDT", at - 10 * 3_600_000, at).opened_at.tolist() == bars.opened_at[283:293].tolist()
    assert known.before("BTC/USDT", at, 20).opened_at.tolist() == bars.opened_at[273:293].tolist()
    assert len(known.before("BTC/USDT", START, 20)) == 0
    assert len(known.span("BTC/USDT", at, at)) == 0


def test_answers_are_those_of_the_whole_series(tmp_path: Path, bars: Bars) -> None:
    known = market(tmp_path, bars)
    end = int(bars.closed_at[-1])
    found = known.probability(BUNDLE, "BTC/USDT", START, end)
    expected = known._ask(None, FEATURES.matrix(bars))
    assert found.tobytes() == expected.tobytes()
    assert np.isnan(found[: FEATURES.lookback - 1]).all()


def test_months_of_a_span() -> None:
    end = parse_time("2018-03-01")
    assert months_of(START, end) == ("2018-01", "2018-02")
    assert months_of(START, end + 1) == ("2018-01", "2018-02", "2018-03")
    assert months_of(end, end) == ()
