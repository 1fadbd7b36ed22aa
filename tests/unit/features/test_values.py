"""Features by hand: ten bars whose closes double, halve and stand still."""

import numpy as np
import pytest

from tidegate.bars.bars import Bars
from tidegate.features.features import resolve
from tidegate.strategy.strategy import FeatureUse

LN2 = float(np.log(2.0))
CLOSES = [8.0, 16.0, 8.0, 16.0, 32.0, 16.0, 16.0, 8.0, 16.0, 32.0]
BARS = Bars.of(
    "X/Y",
    "1h",
    opened_at=3_600_000 * np.arange(10),  # the last one closes at ten o'clock on a Thursday
    open=[8.0, *CLOSES[:-1]],
    high=np.maximum([8.0, *CLOSES[:-1]], CLOSES) * 1.25,
    low=np.minimum([8.0, *CLOSES[:-1]], CLOSES) * 0.5,
    close=CLOSES,
    volume=[1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
)

# family, length, value at the last bar
CASES = [
    ("return", 1, LN2),
    ("return", 3, LN2),
    ("volatility", 2, 0.0),
    ("volatility", 4, LN2 * np.sqrt(11) / 4),  # returns 0, -1, 1, 1 (in ln 2): mean 1/4, mean square 3/4
    ("range_position", 2, (32 - 4) / (40 - 4)),
    ("efficiency", 4, 1 / 3),  # one up in net, three moves
    ("rsi", 4, 2 / 3),
    ("signed_volume", 2, 1.0),
    ("signed_volume", 4, (9 + 10 - 8) / 34),
    ("drawdown", 5, 0.0),
    ("since_high", 4, 0.0),
    ("since_low", 3, 1 / 3),  # lows 4, 4, 8: the newest of the lowest
    ("body", None, (32 - 16) / (40 - 8)),
    ("upper_shadow", None, (40 - 32) / (40 - 8)),
    ("hour_sin", None, np.sin(2 * np.pi * 10 / 24)),
    ("hour_cos", None, np.cos(2 * np.pi * 10 / 24)),
    ("weekday_sin", None, np.sin(2 * np.pi * 10 / 168)),
]


@pytest.mark.parametrize(("family", "length", "expected"), CASES)
def test_value(family: str, length: int | None, expected: float) -> None:
    features = resolve([FeatureUse(use=family, lengths=() if length is None else (length,))])
    assert features.newest(BARS)[0, 0] == pytest.approx(expected, abs=1e-12)
