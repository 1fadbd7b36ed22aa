"""A challenger that earned nothing replaces nobody, however bad the champion is."""

import numpy as np
import pytest
from tests.integration.pipeline.small_market import strategy
from tests.property.features.test_rows import walk

from tidegate.backtest.reference import run
from tidegate.backtest.result import Backtest
from tidegate.dataset.windows import Window
from tidegate.gates.evaluation import evaluate
from tidegate.pipeline import contest
from tidegate.strategy.strategy import Costs

BARS = walk(3, 600)
UP = np.where(BARS.close[1:] > BARS.open[1:], 1, -1).astype(np.int8)  # the next bar's direction: wins every time


def backtest(kind: str) -> Backtest:
    target = {"idle": np.zeros(600, np.int8), "wins": np.append(UP, 0), "loses": -np.append(UP, 0)}[kind].astype(
        np.int8
    )
    return run(BARS, target, Costs(fee_bps=0.1), 1000.0, np.zeros(600, np.int8))


@pytest.mark.parametrize(
    ("challenger", "champion", "passes"),
    [
        ("wins", "loses", True),
        ("wins", "idle", True),
        ("idle", "loses", False),
        ("loses", "loses", False),
        ("loses", "wins", False),
        ("idle", "idle", False),
    ],
)
def test_the_contest(challenger: str, champion: str, passes: bool) -> None:
    window = Window(start_at=int(BARS.opened_at[0]), end_at=int(BARS.closed_at[-1]))
    held = contest._judge(backtest(challenger), backtest(champion), 4, window, strategy())
    results = {result.name: result for result in evaluate({"champion": held.measurement}, strategy().gates)}
    assert (results["champion"].verdict == "pass") is passes
    assert results["champion"].refuses is not passes
