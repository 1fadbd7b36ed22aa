"""A result is kept as JSON and comes back the same, to the last bit."""

import numpy as np
import pytest

from tidegate.replay.result import (
    Act,
    Hindsight,
    Live,
    MonthRecord,
    PathResult,
    ReplayResult,
    Summary,
    Training,
)


def month() -> MonthRecord:
    return MonthRecord(
        month="2018-01",
        as_of_ms=1_514_764_800_000,
        outcome="promoted",
        version=1,
        production_before=None,
        production_after=1,
        refusals=(),
        metrics={"sharpe": 1 / 3, "win_rate": None},
        live=Live(1_514_764_800_000, 1_517_443_200_000, 0.1 / 3, 0.001, 2, 0.5, None),
        acts=(Act(1_515_000_000_000, "halt", 1, None, "no good version is left"),),
        hindsight=(Hindsight("promotion", 1, 1_514_764_800_000, 1_515_000_000_000, "right", 0.1),),
    )


def result(returns: np.ndarray) -> ReplayResult:
    path = PathResult(
        name="deployed",
        title="Deployed",
        policy="balanced",
        closed_at=np.arange(len(returns)) * 3_600_000,
        net_return=returns,
        months=(month(),),
        summary=Summary(0.1, 0.1, None, None, 0.1, 1, 0.0, 1, 0, 0, 0, 1, 0, 0.2),
    )
    return ReplayResult(
        strategy="btc_1h",
        kind="real",
        symbols=("BTC/USDT",),
        interval="1h",
        policy="balanced",
        first_month="2018-01",
        last_month="2018-01",
        start_ms=0,
        end_ms=1,
        capital=10_000.0,
        periods_per_year=8760.0,
        costs={"fee_bps": 5.0},
        seed=1,
        paths=(path,),
        training=Training(1, 1, 0, 0, 4, 1.5, 1, 1, {"total": 2.0}, 100.0),
        libraries={"numpy": "2"},
        folder="runs/replay/btc_1h",
    )


def test_a_result_comes_back_from_json_to_the_last_bit() -> None:
    returns = np.random.default_rng(1).normal(size=5_000) * 1e-3
    before = result(returns)
    text = before.to_json()
    after = ReplayResult.from_json(text)
    assert after.to_json() == text
    assert after.paths[0].net_return.tobytes() == returns.tobytes()
    assert after.paths[0].closed_at.dtype == np.int64
    assert after.paths[0].months == before.paths[0].months
    assert after.training == before.training


def test_a_path_is_found_by_its_name() -> None:
    found = result(np.zeros(3))
    assert found.path("deployed") is found.paths[0]
    assert found.path("hold") is None


def test_something_else_is_no_result() -> None:
    with pytest.raises(ValueError, match="strategy"):
        ReplayResult.from_json("{}")
