"""What the backtest did is what is served: trained, promoted in a real MLflow, served by a real process, replayed over HTTP bar by bar."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tests.e2e.serving_process import Bot, Serving
from tests.integration.pipeline.small_market import job, settings, strategy
from tests.servers import free_port, mlflow_server

from tidegate.dataset.dataset import Dataset
from tidegate.pipeline.data import gather, prepare
from tidegate.pipeline.fold import Fold
from tidegate.pipeline.job import Job
from tidegate.pipeline.judge import judge
from tidegate.pipeline.retrain import run_folds
from tidegate.registry.ledger import Ledger
from tidegate.registry.promotion import Promoter
from tidegate.registry.tracking.versions import Tracking
from tidegate.serving.log.reader import read
from tidegate.settings.settings import Mlflow

pytestmark = [pytest.mark.slow, pytest.mark.servers]

SYMBOLS = ("SIM/USD", "SIM2/USD")
NAME = "simulated-small"


@dataclass(frozen=True)
class Trained:
    job: Job
    dataset: Dataset
    fold: Fold
    log: Path
    port: int


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("served")
    with mlflow_server(folder / "mlflow") as address:
        installation = settings(folder).model_copy(update={"mlflow": Mlflow(tracking_uri=address)})
        chosen = job(strategy(symbols=SYMBOLS, windows={"max_folds": 1}), installation)
        gathered = gather(chosen)
        prepared = prepare(chosen, gathered)
        folds = run_folds(chosen, prepared)
        bundle = judge(chosen, gathered, prepared, folds, None).bundle
        tracking = Tracking(installation)
        with tracking.start_run(NAME, "test") as run:
            names = [spec.name for spec in bundle.manifest.features]
            version = tracking.register(chosen.folder / "bundle", run, names, description="test")
        promoter = Promoter(Ledger.from_settings(installation), tracking, today=lambda _strategy: chosen.as_of_ms)
        promoter.promote(NAME, version, None, actor="test", reason="test", champion=None, override=True)
        port = free_port()
        with Serving(folder, address, port, NAME):
            yield Trained(chosen, prepared.dataset, folds[-1], folder / "log", port)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_replay_over_http_equals_the_backtest_bit_for_bit(served: Trained, symbol: str) -> None:
    at = SYMBOLS.index(symbol)
    bars, rows = served.dataset.tables[at].bars, served.dataset.rows_within(at, served.fold.windows.test)
    bot = Bot(served.port, symbol, served.dataset.features.lookback)
    with contextlib.closing(bot.connection):
        for row in range(rows.start, rows.stop):
            assert bot.see(bars, row)["abstain"] is None
    tested = served.fold.tested[symbol]
    probability = np.array([answer["probability"] for answer in bot.answers])
    target = np.array([answer["target_position"] for answer in bot.answers], np.int8)

    assert len(probability) == 30 * 96
    assert len(np.unique(target)) == 3
    assert probability.tobytes() == tested.probability.tobytes()
    assert target.tobytes() == tested.target.tobytes()

    logged = {row.bar_closed_at: row for row in read(served.log) if row.symbol == symbol and row.role == "production"}
    assert len(logged) == len(bot.answers)
    features = served.dataset.tables[at].features
    for row, answer in zip(range(rows.start, rows.stop), bot.answers, strict=True):
        kept = logged[int(bars.closed_at[row])]
        assert kept.features == features[row].tolist()
        assert (kept.probability, kept.target_position) == (answer["probability"], answer["target_position"])
        assert kept.input_digest == answer["input_digest"]
