"""How a challenger is compared with the champion: ratios in, relative improvement and verdict out."""

import math

import pytest

from tidegate.gates.evaluation import Measurement, evaluate
from tidegate.pipeline.contest import improvement
from tidegate.strategy.gates import Gates

FLOOR = 0.5
NAN = math.nan


@pytest.mark.parametrize(
    ("challenger", "champion", "improved_by", "verdict"),
    [
        # challenger, champion, improvement, verdict with the default bound of more than 5 %
        (2.00, 2.00, 0.00, "fail"),
        (0.025, 0.00, 0.05, "fail"),  # exactly 5 % is not more than 5 %
        (2.11, 2.00, 0.055, "pass"),
        (1.90, 2.00, -0.05, "fail"),
        (0.02, 0.00, 0.04, "fail"),  # near zero the denominator is the floor
        (0.03, 0.00, 0.06, "pass"),
        (0.20, 0.10, 0.20, "pass"),  # not 100 %
        (-1.0, -2.0, 0.50, "pass"),  # less bad is better; that it is bad, other gates say
        (1.00, -1.0, 2.00, "pass"),
        (NAN, 1.00, NAN, "fail"),
        (1.00, NAN, NAN, "fail"),
    ],
)
def test_improvement(challenger: float, champion: float, improved_by: float, verdict: str) -> None:
    found = improvement(challenger, champion, FLOOR)
    (result,) = [each for each in evaluate({"champion": Measurement(found)}, Gates()) if each.name == "champion"]

    assert found == pytest.approx(improved_by, nan_ok=True)
    assert result.verdict == verdict
