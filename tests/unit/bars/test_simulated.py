"""The simulated market: its past stands still, its bars are sound, and the edge is there exactly when it is switched on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.bars.bars import COLUMNS, parse_time
from tidegate.bars.interval import DAY_MS, Interval
from tidegate.bars.simulated import explain, simulate
from tidegate.errors import SourceError
from tidegate.strategy.strategy import SimulatedSource
from tidegate.validation.constraints import violations

QUARTER = Interval("15m")
OPENED = parse_time("2025-01-01")


def source(**changes: object) -> SimulatedSource:
    return SimulatedSource.model_validate({"type": "simulated", "days": 5000, **changes})


def slope_after_pressure(edge: float, seed: int, **changes: object) -> tuple[float, float]:
    """Least-squares slope of standardised returns on the pressure before them, and its standard error."""
    bars, path = explain("SIM/USD", QUARTER, source(edge=edge, seed=seed, **changes), OPENED + 300 * DAY_MS)
    rows = slice(1, None)
    if "edge_ends_at" in changes:
        rows = slice(int(np.searchsorted(bars.opened_at, parse_time(str(changes["edge_ends_at"])))), None)
    returns = np.diff(np.log(bars.close), prepend=np.log(100.0))[rows]
    pressure = np.concatenate(([0.0], path.pressure[:-1]))[rows]
    volatility = np.array([0.8, 0.7, 1.5])[path.regime[rows]]
    standard = returns / volatility / np.std(returns / volatility)
    slope = float((standard * pressure).sum() / (pressure * pressure).sum())
    return slope, float(1 / np.sqrt((pressure * pressure).sum()))


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), hours=st.integers(24, 2000), more=st.integers(1, 3000))
def test_more_bars_never_change_the_earlier_ones(seed: int, hours: int, more: int) -> None:
    hour = Interval("1h")
    early = simulate("SIM/USD", hour, source(seed=seed), OPENED + hours * hour.milliseconds)
    late = simulate("SIM/USD", hour, source(seed=seed), OPENED + (hours + more) * hour.milliseconds)
    assert (len(early), len(late)) == (hours, hours + more)
    assert late.take(slice(0, hours)).equals(early)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    interval=st.sampled_from(["5m", "15m", "1h", "4h", "1d"]),
    edge=st.floats(0, 3),
    odd_ms=st.integers(0, DAY_MS),
)
def test_bars_satisfy_every_constraint(seed: int, interval: str, edge: float, odd_ms: int) -> None:
    as_of_ms = OPENED + 20 * DAY_MS + odd_ms
    bars = simulate("SIM/USD", Interval(interval), source(seed=seed, edge=edge), as_of_ms)
    assert violations(bars, as_of_ms) == []
    assert (np.diff(bars.opened_at) == bars.interval.milliseconds).all()
    assert as_of_ms - bars.interval.milliseconds < bars.closed_at[-1] <= as_of_ms


def test_same_seed_same_bits_other_seed_other_path() -> None:
    as_of_ms = OPENED + 30 * DAY_MS
    bars = simulate("SIM/USD", QUARTER, source(seed=1), as_of_ms)
    assert bars.equals(simulate("SIM/USD", QUARTER, source(seed=1), as_of_ms))
    other = simulate("SIM/USD", QUARTER, source(seed=2), as_of_ms)
    assert not np.array_equal(bars.close, other.close)


def test_each_symbol_has_a_path_of_its_own() -> None:
    as_of_ms = OPENED + 60 * DAY_MS
    first, second = (simulate(name, QUARTER, source(), as_of_ms) for name in ("SIM/USD", "SIMB/USD"))
    together = np.corrcoef(np.diff(np.log(first.close)), np.diff(np.log(second.close)))[0, 1]
    assert abs(together) < 4 / np.sqrt(len(first))


@pytest.mark.parametrize("seed", range(4))
def test_without_an_edge_the_price_does_not_follow_the_pressure(seed: int) -> None:
    slope, error = slope_after_pressure(0.0, seed)
    assert abs(slope) < 4 * error


@pytest.mark.parametrize("seed", range(4))
def test_with_an_edge_it_does(seed: int) -> None:
    slope, error = slope_after_pressure(1.0, seed)
    assert slope > 10 * error
    assert slope == pytest.approx(0.14, abs=0.04), "as strong as the documentation says"
    assert slope_after_pressure(2.0, seed)[0] > 1.5 * slope


@pytest.mark.parametrize("seed", range(4))
def test_the_edge_ends_when_it_is_said_to(seed: int) -> None:
    ends_at = "2025-06-01T00:00:00Z"
    slope, error = slope_after_pressure(1.0, seed, edge_ends_at=ends_at)
    assert abs(slope) < 4 * error
    as_of_ms = OPENED + 300 * DAY_MS
    ended, going_on = (
        simulate("SIM/USD", QUARTER, source(seed=seed, edge_ends_at=end), as_of_ms) for end in (ends_at, None)
    )
    before = int(np.searchsorted(ended.opened_at, parse_time(ends_at)))
    assert ended.take(slice(0, before)).equals(going_on.take(slice(0, before)))
    assert not np.array_equal(ended.close[before:], going_on.close[before:])


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_volume_shows_the_pressure_with_and_without_an_edge(edge: float) -> None:
    bars, path = explain("SIM/USD", QUARTER, source(edge=edge), OPENED + 100 * DAY_MS)
    signed = np.sign(np.diff(np.log(bars.close), prepend=np.log(100.0))) * np.log(bars.volume / np.median(bars.volume))
    assert np.corrcoef(signed, path.pressure)[0, 1] > 0.5


def test_the_three_regimes_all_happen_and_differ_in_volatility() -> None:
    bars, path = explain("SIM/USD", QUARTER, source(), OPENED + 300 * DAY_MS)
    returns = np.diff(np.log(bars.close), prepend=np.log(100.0))
    spread = [returns[path.regime == regime].std() for regime in range(3)]
    assert np.bincount(path.regime).min() > 0.1 * len(bars)
    assert spread[2] > 1.5 * spread[0] > 1.5 * 0.8 * spread[1]


def test_only_the_last_days_are_delivered() -> None:
    as_of_ms = OPENED + 200 * DAY_MS
    short, whole = (simulate("SIM/USD", QUARTER, source(days=days), as_of_ms) for days in (60, 5000))
    assert len(short) == 60 * 96
    assert short.equals(whole.take(slice(len(whole) - len(short), None)))


def test_a_market_that_is_not_open_for_a_day_is_refused() -> None:
    with pytest.raises(SourceError, match="is not open yet") as raised:
        simulate("SIM/USD", QUARTER, source(), OPENED + DAY_MS - 1)
    assert raised.value.setting == "source.starts_at"
    assert len(simulate("SIM/USD", QUARTER, source(), OPENED + DAY_MS)) == 96
    with pytest.raises(SourceError, match="is not open yet"):
        simulate("SIM/USD", QUARTER, source(), 0)


def test_all_columns_vary() -> None:
    bars = simulate("SIM/USD", QUARTER, source(), OPENED + 30 * DAY_MS)
    assert all(np.std(getattr(bars, name)) > 0 for name in COLUMNS)
