"""The newest fold's own result is judged, however good the older ones were: its model is what would be promoted."""

from dataclasses import replace

import numpy as np
import pytest
from tests.integration.pipeline.small_market import job, settings, strategy

from tidegate.backtest.metrics import summarise
from tidegate.backtest.regimes import by_regime
from tidegate.gates.evaluation import evaluate
from tidegate.gates.result import GateResult
from tidegate.pipeline import points
from tidegate.pipeline.data import Gathered, Prepared, gather, prepare
from tidegate.pipeline.fold import Fold, pooled
from tidegate.pipeline.job import Job
from tidegate.pipeline.retrain import run_folds
from tidegate.statistics.bootstrap import metric_intervals

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Gathered, Prepared, tuple[Fold, ...]]:
    chosen = job(strategy(), settings(tmp_path_factory.mktemp("newest")))
    gathered = gather(chosen)
    prepared = prepare(chosen, gathered)
    return chosen, gathered, prepared, run_folds(chosen, prepared)


def results(stages: tuple[Job, Gathered, Prepared, tuple[Fold, ...]], folds: tuple[Fold, ...]) -> dict[str, GateResult]:
    chosen, gathered, prepared, _ = stages
    periods = chosen.strategy.periods_per_year
    whole = pooled(folds)
    metrics = summarise(whole, periods)
    intervals = metric_intervals(whole, periods, seed=1, draws=20)
    regimes = by_regime(whole, periods)
    found = points.measure_points(chosen.strategy, gathered, prepared.dataset, folds, metrics, regimes, intervals)
    return {result.name: result for result in evaluate(found, chosen.strategy.gates)}


def losing(fold: Fold, loss: float) -> Fold:
    """The fold, with a steady loss of `loss` capitals on top of what it earned."""
    test = fold.portfolio
    fall = np.linspace(0.0, loss, len(test) + 1)[1:]
    earned = replace(
        test,
        net_return=test.net_return - test.net_return.mean() - loss / len(test),
        equity=test.equity - fall * test.capital,
        equity_low=test.equity_low - fall * test.capital,
    )
    return replace(fold, portfolio=earned)


def test_a_newest_fold_that_loses_refuses_and_shows_its_own_drawdown(
    stages: tuple[Job, Gathered, Prepared, tuple[Fold, ...]],
) -> None:
    folds = stages[3]
    sound = results(stages, folds)
    assert not sound["newest_fold_sharpe"].refuses
    assert not sound["newest_fold_trades"].refuses
    bad = results(stages, (*folds[:-1], losing(folds[-1], 0.5)))
    assert bad["newest_fold_sharpe"].refuses
    assert bad["max_drawdown"].refuses
    worst = bad["max_drawdown"].evidence["worst_fold"]
    assert isinstance(worst, float)
    assert worst > 0.2


def test_an_older_folds_drawdown_is_not_diluted_by_profit_made_before_it(
    stages: tuple[Job, Gathered, Prepared, tuple[Fold, ...]],
) -> None:
    folds = stages[3]
    observed = results(stages, (folds[0], losing(folds[1], 0.2), *folds[2:]))["max_drawdown"]
    assert observed.observed is not None
    assert observed.observed >= 0.15
    assert observed.refuses


def test_training_days_count_bars_that_are_there(stages: tuple[Job, Gathered, Prepared, tuple[Fold, ...]]) -> None:
    chosen, _, prepared, folds = stages
    whole = points.training_days(prepared.dataset, folds[-1], chosen.strategy)
    assert whole == chosen.strategy.windows.train_days
    table = prepared.dataset.tables[0]
    usable = table.usable.copy()
    rows = prepared.dataset.rows_within(0, folds[-1].windows.train)
    middle = (rows.start + rows.stop) // 2
    usable[rows.start + 10 : middle] = False
    holed = replace(prepared.dataset, tables=(replace(table, usable=usable),))
    assert points.training_days(holed, folds[-1], chosen.strategy) == pytest.approx(whole / 2, abs=0.5)
