import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from tests.property.backtest.markets import random_bars

from tidegate.backtest import vectorbt_engine
from tidegate.backtest.result import Floats
from tidegate.bars.bars import Bars
from tidegate.errors import ModelError
from tidegate.strategy.strategy import Costs


def test_an_order_that_vectorbt_drops_is_an_error_and_no_result() -> None:
    # 1e-14 units are nothing to vectorbt.
    bars, target = random_bars(1, 5, scale=1e6), np.array([-1, 0, 0, 0, 0], np.int8)
    with pytest.raises(ModelError, match="dropped or cut orders"):
        vectorbt_engine.run(bars, target, Costs(), 1e-8, np.zeros(5, np.int8))


def test_warnings_are_silenced_around_vectorbt_only() -> None:
    before = list(warnings.filters)
    vectorbt_engine.run(random_bars(1, 5), np.ones(5, np.int8), Costs(), 100.0, np.zeros(5, np.int8))
    assert list(warnings.filters) == before


def test_importing_the_engine_does_not_import_vectorbt() -> None:
    code = "import sys, tidegate.backtest.vectorbt_engine; assert 'vectorbt' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_order_that_vectorbt_cuts_is_an_error_and_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate = vectorbt_engine._simulate

    def cut(bars: Bars, price: Floats, asked: Any) -> tuple[vectorbt_engine.Records, vectorbt_engine.Records]:  # noqa: ANN401
        orders, trades = simulate(bars, price, asked)
        orders = orders.copy()
        orders["size"][0] *= 0.999
        return orders, trades

    monkeypatch.setattr(vectorbt_engine, "_simulate", cut)
    with pytest.raises(ModelError, match="dropped or cut orders"):
        vectorbt_engine.run(random_bars(1, 5), np.ones(5, np.int8), Costs(), 100.0, np.zeros(5, np.int8))
