"""Several symbols in one model or in one each, a search, and training that repeats itself byte for byte."""

import itertools

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.integration.pipeline.small_market import job, settings, strategy

from tidegate.bars.interval import DAY_MS
from tidegate.model.bundle import load_bundle
from tidegate.pipeline.data import gather, prepare
from tidegate.pipeline.fold import run_fold
from tidegate.pipeline.job import Job
from tidegate.pipeline.publish import Retrained
from tidegate.pipeline.retrain import retrain, retrain_all
from tidegate.registry.tracking.versions import Tracking
from tidegate.registry.trials import TrialLedger
from tidegate.settings.settings import Settings

pytestmark = pytest.mark.slow

SYMBOLS = ["SIM/USD", "SIM2/USD"]
TWO_FOLDS = {"max_folds": 2}


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings(tmp_path_factory.mktemp("several"))


@pytest.fixture(scope="module")
def done(installation: Settings) -> tuple[Job, Retrained]:
    chosen = job(strategy(name="simulated-pooled", symbols=SYMBOLS, windows=TWO_FOLDS), installation)
    return chosen, retrain(chosen)


class TestPooled:
    def test_one_version_knows_both_symbols(self, done: tuple[Job, Retrained], installation: Settings) -> None:
        manifest = load_bundle(done[0].folder / "bundle").manifest

        assert manifest.symbols == ("SIM/USD", "SIM2/USD")
        assert set(manifest.snapshots) == set(SYMBOLS)
        assert len(set(manifest.snapshots.values())) == 2
        assert {vector.symbol for vector in load_bundle(done[0].folder / "bundle").golden} == set(SYMBOLS)
        assert Tracking(installation).versions("simulated-pooled") == [1]

    def test_both_are_traded_with_half_the_capital_each(self, done: tuple[Job, Retrained]) -> None:
        trades = pq.read_table(done[0].folder / "out_of_sample" / "trades.parquet").to_pydict()

        assert set(trades["symbol"]) == set(SYMBOLS)
        sizes = [units * price for units, price in zip(trades["units"], trades["entry_price"], strict=True)]
        assert max(sizes) <= done[0].strategy.capital / 2 * 1.5

    def test_signals_are_kept_by_symbol(self, done: tuple[Job, Retrained]) -> None:
        signals = pq.read_table(done[0].folder / "out_of_sample" / "signals.parquet").to_pandas()
        counts = signals.groupby(["fold", "symbol"]).size()

        assert counts.to_dict() == {(fold, symbol): 30 * 96 for fold in (0, 1) for symbol in SYMBOLS}

    def test_few_folds_refuse(self, done: tuple[Job, Retrained]) -> None:
        assert "out_of_sample_folds" in {result.name for result in done[1].record.decision.refusals}


def test_separate_symbols_make_a_model_each(installation: Settings) -> None:
    chosen = job(strategy(name="simulated-apart", symbols=SYMBOLS, combine="separate", windows=TWO_FOLDS), installation)
    outcomes = retrain_all(chosen)

    names = [outcome.record.strategy.name for outcome in outcomes]
    assert names == ["simulated-apart-simusd", "simulated-apart-sim2usd"]
    assert [outcome.record.manifest.symbols for outcome in outcomes] == [("SIM/USD",), ("SIM2/USD",)]
    assert [Tracking(installation).versions(name) for name in names] == [[1], [1]]
    assert outcomes[0].record.manifest.files != outcomes[1].record.manifest.files


def test_every_trial_of_a_search_is_in_the_ledger(installation: Settings) -> None:
    search = {"trials": 3, "space": {"max_depth": (2, 4), "learning_rate": (0.05, 0.2)}}
    chosen = job(strategy(name="simulated-searched", windows=TWO_FOLDS, model={"search": search}), installation)
    outcome = retrain(chosen)
    trials = TrialLedger.from_settings(installation).trials("simulated-searched", chosen.key)

    assert len({trial.trial_id for trial in trials}) == len(trials)
    for fold, windows in enumerate(outcome.record.manifest.windows):
        of_fold = [trial for trial in trials if trial.fold == fold]
        tried = {(trial.parameters["max_depth"], trial.parameters["learning_rate"]) for trial in of_fold}
        assert len(tried) == 3
        assert len(of_fold) == 2 + 2  # two margins of the chosen parameters, and two sets that were passed over
        assert all(2 <= depth <= 4 and 0.05 <= rate <= 0.2 for depth, rate in tried)
        for trial in of_fold:
            returns = pq.read_table(trial.returns_path)
            assert trial.windows == windows
            assert np.isfinite(returns["net_return"].to_numpy()).all()
            assert trial.windows.train.start_at < returns["closed_at"][0].as_py()
            assert returns["closed_at"][-1].as_py() <= trial.windows.train.end_at
    chosen_parameters = outcome.record.manifest.model
    assert any(trial.parameters["learning_rate"] == chosen_parameters["learning_rate"] for trial in trials)


def test_training_twice_gives_the_same_bytes(installation: Settings) -> None:
    """A search included: everything random follows from the seed."""
    chosen = job(strategy(model={"search": {"trials": 2}}, windows={"max_folds": 1}), installation, run=5)
    found = []
    for _ in range(2):
        prepared = prepare(chosen, gather(chosen))
        found.append(run_fold(prepared.dataset, prepared.folds[-1], chosen.strategy, 1))

    for one, other in itertools.pairwise(found):
        assert (one.fitted.ubj, one.onnx, one.margin) == (other.fitted.ubj, other.onnx, other.margin)
        assert one.portfolio.equity.tobytes() == other.portfolio.equity.tobytes()


def test_another_seed_gives_another_model(installation: Settings) -> None:
    chosen = job(strategy(windows={"max_folds": 1}), installation, run=6)
    prepared = prepare(chosen, gather(chosen))
    other = strategy(windows={"max_folds": 1}, model={"seed": 8})

    one, two = (run_fold(prepared.dataset, prepared.folds[-1], each, 1) for each in (chosen.strategy, other))
    assert one.fitted.ubj != two.fitted.ubj


def test_training_knows_nothing_of_the_test_window(installation: Settings) -> None:
    """Bars that come later, whatever they are, change no byte of an older fold's model."""
    chosen = job(strategy(), installation, run=7)
    later = job(strategy(), installation, days_later=30, run=7)
    now, then = (prepare(each, gather(each)) for each in (chosen, later))
    assert then.folds[-2] == now.folds[-1]

    one, two = (run_fold(each.dataset, now.folds[-1], chosen.strategy, 1) for each in (now, then))
    assert one.fitted.ubj == two.fitted.ubj
    assert one.margin == two.margin
    assert one.portfolio.equity.tobytes() == two.portfolio.equity.tobytes()
    assert then.dataset.end_at - now.dataset.end_at == 30 * DAY_MS
