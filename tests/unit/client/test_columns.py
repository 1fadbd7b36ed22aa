"""Bars and positions as a bot gives them."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.unit.client.records import HOUR_MS, START_MS, bars

from tidegate.bars.bars import Bars
from tidegate.client.columns import Unusable, columns_of, message_of, read_position
from tidegate.policy.policy import PositionState


def test_bars_of_any_kind_are_the_same_columns() -> None:
    given = bars(4)
    expected = message_of(columns_of(given))
    frame = pd.DataFrame(given)
    assert message_of(columns_of(frame)) == expected
    assert message_of(columns_of(Bars.of("S", "1h", **given))) == expected
    assert message_of(columns_of({name: np.array(column) for name, column in given.items()})) == expected
    timed = frame.assign(opened_at=pd.to_datetime(frame["opened_at"], unit="ms"))
    assert message_of(columns_of(timed)) == expected
    assert expected.opened_at[0] == START_MS


@pytest.mark.parametrize("name", ["opened_at", "open", "high", "low", "close", "volume"])
def test_a_column_that_is_missing_short_or_of_another_kind_is_refused(name: str) -> None:
    given = bars(4)
    for wrong in (
        {key: column for key, column in given.items() if key != name},
        {**given, name: given[name][1:]},
        {**given, name: ["x"] * 4},
        {**given, name: [None] * 4},
        {**given, name: [given[name]]},
        {**given, name: 5},
    ):
        with pytest.raises(Unusable):
            columns_of(wrong)


@pytest.mark.parametrize("name", ["open", "high", "low", "close", "volume"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0])
@pytest.mark.parametrize("row", [0, 2, 3])
def test_a_number_that_is_none_is_refused_in_each_row(name: str, value: float, row: int) -> None:
    given = bars(4)
    given[name][row] = value
    with pytest.raises(Unusable):
        columns_of(given)


@pytest.mark.parametrize(
    ("name", "value"),
    [("high", 99.0), ("low", 102.0), ("open", 102.0), ("close", 98.0), ("open", 0.0), ("low", 0.0)],
)
def test_prices_lie_between_low_and_high_and_above_zero(name: str, value: float) -> None:
    given = bars(4)
    given[name][0] = value
    with pytest.raises(Unusable):
        columns_of(given)


@pytest.mark.parametrize(
    "opened_at",
    [[0, 0], [1, 0], [-1, 0], [0, 2**60], [0.0, 1.0], [True, False], [math.nan, 1.0]],
)
def test_opening_times_ascend(opened_at: list[Any]) -> None:
    with pytest.raises(Unusable):
        columns_of({**bars(2), "opened_at": opened_at})


@pytest.mark.parametrize("given", [None, 5, "bars", [], {}, {name: [] for name in bars(1)}])
def test_what_is_no_bars_is_refused(given: object) -> None:
    with pytest.raises(Unusable):
        columns_of(given)


def test_no_volume_and_one_bar_are_fine() -> None:
    given = {**bars(1), "volume": [0]}
    assert columns_of(given)["opened_at"].tolist() == [START_MS]
    assert columns_of(bars(2))["opened_at"].tolist() == [START_MS, START_MS + HOUR_MS]


@dataclass
class Held:
    side: Any
    entry_price: Any = 100.0
    bars_held: Any = 2


@pytest.mark.parametrize(
    "given",
    [
        None,
        {"side": 0},
        {"side": 0, "entry_price": math.nan, "bars_held": -4},
        Held(1),
        Held(np.int64(-1), np.float64(100.0), np.int64(2)),
        PositionState(side=1, entry_price=100.0, bars_held=1),
    ],
)
def test_positions_that_are_taken(given: object) -> None:
    held, objection = read_position(given)
    assert (held.side in {-1, 0, 1}, objection) == (True, None)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"side": 2},
        {"side": "1"},
        {"side": 1.0, "entry_price": 1.0, "bars_held": 1},
        {"side": True, "entry_price": 1.0, "bars_held": 1},
        {"side": 1},
        Held(1, math.nan),
        Held(1, math.inf),
        Held(1, 0.0),
        Held(-1, -5.0),
        Held(1, "100"),
        Held(1, 100.0, 0),
        Held(1, 100.0, 1.5),
        Held(1, 100.0, None),
        Held(1, 100.0, 2**40),
        Held(1, 10**400),
        Held(1, np.complex128(1)),
        Held(10**5000),
        Held(Held(1)),
        "long",
        5,
    ],
)
def test_positions_that_are_refused(given: object) -> None:
    assert read_position(given)[1]


def test_a_position_that_is_refused_keeps_its_side_where_it_has_one() -> None:
    assert read_position(Held(1, math.nan))[0].side == read_position(Held(1, 10**400))[0].side == 1
    assert read_position("long")[0].side == 0
    assert read_position(None) == (PositionState(), None)
    flat = read_position({"side": 0, "entry_price": math.nan})
    assert flat == (PositionState(), None), "what is not looked at is not sent"


class Moody:
    """A position that fails, or says something else each time it is asked."""

    def __init__(self, *sides: int | Exception) -> None:
        self.sides = list(sides)
        self.entry_price, self.bars_held = 100.0, 1

    @property
    def side(self) -> int:
        side = self.sides.pop(0)
        if isinstance(side, Exception):
            raise side
        return int(side)


def test_a_position_is_read_once_and_may_fail() -> None:
    assert read_position(Moody(1))[0].side == 1
    held, objection = read_position(Moody(ZeroDivisionError("secret")))
    assert (held, objection) == (PositionState(), "the position cannot be read: ZeroDivisionError")
