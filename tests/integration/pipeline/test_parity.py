"""Bar by bar through the serving path: a whole test window gives the backtest's probabilities and positions, bit for bit."""

from dataclasses import dataclass

import numpy as np
import pytest
from tests.integration.pipeline.small_market import job, settings, strategy

from tidegate.bars.bars import Bars
from tidegate.dataset.dataset import Dataset
from tidegate.model.bundle import load_bundle
from tidegate.pipeline.data import gather, prepare
from tidegate.pipeline.fold import Fold
from tidegate.pipeline.job import Job
from tidegate.pipeline.judge import judge
from tidegate.pipeline.retrain import run_folds
from tidegate.policy.policy import PositionPolicy, PositionState, Side, target_position
from tidegate.serving.predictor import Predictor

pytestmark = pytest.mark.slow

SYMBOLS = ("SIM/USD", "SIM2/USD")


@dataclass(frozen=True)
class Trained:
    job: Job
    dataset: Dataset
    fold: Fold


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One model of two symbols, with its bundle on disk."""
    chosen = job(strategy(symbols=SYMBOLS, windows={"max_folds": 1}), settings(tmp_path_factory.mktemp("parity")))
    gathered = gather(chosen)
    prepared = prepare(chosen, gathered)
    folds = run_folds(chosen, prepared)
    judge(chosen, gathered, prepared, folds, None)
    return Trained(chosen, prepared.dataset, folds[-1])


def replayed(predictor: Predictor, bars: Bars, rows: slice, policy: PositionPolicy) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and targets of a bot that sees one bar after another and keeps its own position."""
    probabilities, targets = [], []
    state, wanted = PositionState(), 0
    for row in range(rows.start, rows.stop):
        if wanted != state.side:  # the order of the bar before fills at this bar's open
            state = PositionState(side=wanted, entry_price=float(bars.open[row]), bars_held=0)
        if state.side:
            state = state.model_copy(update={"bars_held": state.bars_held + 1})
        window = bars.take(slice(row + 1 - predictor.bundle.manifest.lookback, row + 1))
        answer = predictor.predict(window, int(window.closed_at[-1]))
        target: Side = target_position(answer.probability, float(bars.close[row]), state, policy)
        wanted = target
        probabilities.append(answer.probability)
        targets.append(target)
    return np.array(probabilities), np.array(targets, dtype=np.int8)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_replay_of_the_test_window_equals_the_backtest(trained: Trained, symbol: str) -> None:
    predictor = Predictor(load_bundle(trained.job.folder / "bundle"))
    at = SYMBOLS.index(symbol)
    rows = trained.dataset.rows_within(at, trained.fold.windows.test)
    probability, target = replayed(predictor, trained.dataset.tables[at].bars, rows, predictor.bundle.manifest.policy)
    tested = trained.fold.tested[symbol]

    assert len(probability) == 30 * 96
    assert len(np.unique(target)) == 3
    assert probability.tobytes() == tested.probability.tobytes()
    assert target.tobytes() == tested.target.tobytes()
