"""Fitting inner folds at the same time changes no byte."""

from tests.integration.pipeline.small_market import AS_OF_MS, strategy

from tidegate.bars.simulated import simulate
from tidegate.dataset.dataset import assemble
from tidegate.dataset.folds import walk_forward
from tidegate.features.features import resolve
from tidegate.model.training import fit
from tidegate.strategy.strategy import SimulatedSource


def test_workers_change_no_byte() -> None:
    chosen = strategy()
    assert isinstance(chosen.source, SimulatedSource)
    bars = simulate("SIM/USD", chosen.bar, chosen.source, AS_OF_MS)
    dataset = assemble([bars], resolve(chosen.features), chosen)
    window = walk_forward(dataset.first_usable_at, dataset.end_at, chosen.windows, chosen.bar)[-1]
    rows = dataset.training_rows(window.train)
    one, three = (fit(rows, dataset.features.names, chosen.model, 0, 1, workers=workers) for workers in (1, 3))
    assert (one.ubj, one.calibration, one.rounds) == (three.ubj, three.calibration, three.rounds)
    assert one.out_of_fold.margin.tobytes() == three.out_of_fold.margin.tobytes()
