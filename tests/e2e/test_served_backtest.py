"""What the backtest did is what is served: trained, promoted in a real MLflow, served by a real process, replayed over HTTP bar by bar."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.integration.pipeline.small_market import job, settings, strategy
from tests.servers import free_port, mlflow_server

from tidegate.bars.bars import COLUMNS, Bars
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
        with serving(folder, address, port):
            yield Trained(chosen, prepared.dataset, folds[-1], folder / "log", port)


class serving:  # noqa: N801  used as a context manager
    """`python -m tidegate.serving` of its own folder, ready."""

    def __init__(self, folder: Path, registry: str, port: int) -> None:
        names = {
            "STRATEGIES": NAME,
            "REGISTRY_URI": registry,
            "PORT": str(port),
            "CLOCK": "bars",
            "ALLOW_UNSIGNED": "true",
            "CACHE": str(folder / "serving-cache"),
            "LOG_FOLDER": str(folder / "log"),
            "INSTANCE": "one",
            "EXPECTED_RPS": "10000",
        }
        own = {f"TIDEGATE_SERVING__{name}": value for name, value in names.items()}
        self.port = port
        self.output = folder / "serving.log"
        self.environment = {**os.environ, "TIDEGATE_ROOT": str(folder), **own}

    def __enter__(self) -> None:
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tidegate.serving"], env=self.environment, stdout=output, stderr=output
            )
        deadline = time.monotonic() + 60
        while get(self.port, "/readyz") != 200:
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, self.output.read_text()


def get(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


class Bot:
    """Sends a window once and then each new bar, and holds what it was told to hold, filled at the next open."""

    def __init__(self, port: int, symbol: str, lookback: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self.symbol, self.lookback = symbol, lookback
        self.side, self.entry, self.held, self.wanted = 0, 0.0, 0, 0
        self.answers: list[dict[str, Any]] = []

    def see(self, bars: Bars, row: int) -> None:
        if self.wanted != self.side:
            self.side, self.entry, self.held = self.wanted, float(bars.open[row]), 0
        self.held += self.side != 0
        first = not self.answers
        new = bars.take(slice(row + 1 - self.lookback, row + 1) if first else slice(row, row + 1))
        item: dict[str, Any] = {
            "symbol": self.symbol,
            "bars": {name: getattr(new, name).tolist() for name in COLUMNS},
            "position": {"side": self.side, "entry_price": self.entry, "bars_held": self.held},
        }
        if not first:
            item["after"] = int(bars.opened_at[row - 1])
        self.connection.request(
            "POST", "/v1/predict", json.dumps({"items": [item]}), {"Content-Type": "application/json"}
        )
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        (told,) = json.loads(body)["answers"]
        assert told["abstain"] is None
        self.wanted = told["target_position"]
        self.answers.append(told)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_replay_over_http_equals_the_backtest_bit_for_bit(served: Trained, symbol: str) -> None:
    at = SYMBOLS.index(symbol)
    bars, rows = served.dataset.tables[at].bars, served.dataset.rows_within(at, served.fold.windows.test)
    bot = Bot(served.port, symbol, served.dataset.features.lookback)
    with contextlib.closing(bot.connection):
        for row in range(rows.start, rows.stop):
            bot.see(bars, row)
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
