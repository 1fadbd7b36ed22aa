"""A small simulated market with two versions in a real registry, and the log that its serving processes would have written after the promotion."""

import atexit
import dataclasses
import os
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import msgspec
from tests.integration.pipeline.small_market import AS_OF_MS, give_mlflow, job, strategy

from tidegate.backtest.positions import decide
from tidegate.bars.bars import iso
from tidegate.bars.interval import DAY_MS
from tidegate.bars.simulated import simulate
from tidegate.features.features import resolve
from tidegate.model.bundle import Bundle, load_bundle, write_bundle
from tidegate.model.onnx_model import OnnxModel
from tidegate.pipeline.data import Gathered, gather, prepare
from tidegate.pipeline.job import Job
from tidegate.pipeline.judge import judge
from tidegate.pipeline.monitor_job import MonitorJob, monitor_job
from tidegate.pipeline.retrain import run_folds
from tidegate.registry.opening import open_promoter
from tidegate.registry.retrains import RetrainLedger
from tidegate.registry.tracking.versions import Tracking
from tidegate.serving.log.record import Row
from tidegate.serving.log.writer import PredictionLog
from tidegate.settings.serving import Serving
from tidegate.settings.settings import Compute, Paths, Settings
from tidegate.strategy.strategy import SimulatedSource, Strategy

GOOD_DAYS = 10
EDGE_ENDS_AT = AS_OF_MS + GOOD_DAYS * DAY_MS
"""The market is good while the model is trained and for ten days more, then it is not."""
ASKED_AT_MS = 4_000_000_000_000
"""By the clock the bars are replayed later than everything that happens to the registry."""
NAME, SYMBOL = "simulated-small", "SIM/USD"
DAYS = 30


def story_strategy(**changes: Any) -> Strategy:  # noqa: ANN401  parts of a strategy file
    """The small strategy in a market whose edge is strong and then ends."""
    return strategy(windows={"max_folds": 1}, source={"edge": 2.5, "edge_ends_at": iso(EDGE_ENDS_AT)}, **changes)


@dataclasses.dataclass(frozen=True)
class Told:
    """A notification that was asked for."""

    severity: str
    title: str
    body: str
    subject: str


class Notes:
    """A notifier that remembers."""

    def __init__(self) -> None:
        self.told: list[Told] = []

    def send(self, severity: str, title: str, body: str, *, strategy: str, subject: str) -> None:
        assert strategy == NAME
        self.told.append(Told(severity, title, body, subject))


@cache
def trained() -> tuple[Path, Path]:
    """An installation with versions 1 and 2, the second one in production, made once; and the bundle."""
    folder = Path(mkdtemp(prefix="tidegate-story-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    give_mlflow(folder)
    installation = installed(folder)
    made = job(story_strategy(), installation)
    gathered = gather(made)
    prepared = prepare(made, gathered)
    newest = judge(made, gathered, prepared, run_folds(made, prepared), None).bundle
    tracking, promoter = Tracking(installation), open_promoter(installation)
    with RetrainLedger(promoter.ledger.database).retrain_lock(NAME, made.month) as lock:
        lock.record("finished", as_of=AS_OF_MS, version=2)  # the simulated market's today
    older = newest.manifest.model_copy(update={"created_at": newest.manifest.created_at - 1})
    first = folder / "older"
    write_bundle(
        first,
        older,
        {path.name: path.read_bytes() for path in (made.folder / "bundle").iterdir() if path.name in older.files},
    )
    for place in (first, made.folder / "bundle"):
        with tracking.start_run(NAME, "test") as run:
            names = [spec.name for spec in newest.manifest.features]
            version = tracking.register(place, run, names, description="test")
        before = promoter.current(NAME)
        promoter.promote(NAME, version, None, actor="test", reason="test", champion=before, override=True)
    return folder, made.folder / "bundle"


def installed(folder: Path) -> Settings:
    """Settings of an installation that is there."""
    paths = Paths(data=folder / "data", runs=folder / "runs", mlruns=folder / "mlruns", cache=folder / "cache")
    serving = Serving(log_folder=folder / "predictions", clock="bars")
    return Settings(paths=paths, compute=Compute(threads=1, parallel_folds=1, latency_samples=50), serving=serving)


@dataclasses.dataclass
class Story:
    """One installation of its own."""

    folder: Path
    strategy: Strategy
    bundle: Bundle
    notes: Notes

    @property
    def settings(self) -> Settings:
        return installed(self.folder)

    def run(self, days: float, *, period: Any = "daily", now_later: int = 0) -> MonitorJob:  # noqa: ANN401  a literal
        """The job some days after the training's time."""
        at = AS_OF_MS + round(days * DAY_MS)
        made = Job(self.strategy, self.settings, Path(), at, at + now_later, "test")
        return dataclasses.replace(monitor_job(made, period, notifies=self.notes), verify_s=0.1)

    def write(self, rows: Sequence[Row]) -> None:
        """Write rows with the service's own writer, each into its instance's folder."""
        for instance in sorted({row.instance for row in rows}):
            log = PredictionLog(
                self.folder / "predictions", instance, segment_bytes=1 << 22, max_bytes=1 << 30, keep_days=40_000, sync=False,
                now_ms=lambda: AS_OF_MS,
            )  # fmt: skip
            log.append([row for row in rows if row.instance == instance])
            log.commit()
            log.close()

    def answers(self, days: int = DAYS, *, version: int = 2) -> list[Row]:
        """What a version answers a bot that asks at every bar from the training's time on."""
        return _answers(self.strategy, self.bundle, version, days)


def _answers(chosen: Strategy, bundle: Bundle, version: int, days: int) -> list[Row]:
    assert isinstance(chosen.source, SimulatedSource)
    bars = simulate(SYMBOL, chosen.bar, chosen.source, AS_OF_MS + days * DAY_MS)
    features = resolve(chosen.features)
    matrix = features.matrix(bars)
    first = int((bars.opened_at < AS_OF_MS).sum())
    part = bars.take(slice(first, None))
    probability = OnnxModel(bundle.onnx, len(features.names)).probability(matrix[first:])
    target = decide(probability, part.close, part.open, bundle.manifest.policy)
    return [
        Row(
            request_id=f"{version}-{at}", instance="a:8080", strategy=NAME, symbol=SYMBOL, bar_closed_at=int(part.closed_at[at]),
            received_at=ASKED_AT_MS + at, answered_at=ASKED_AT_MS + at + 1, version=version,
            bundle_digest=bundle.digest, role="production", features=matrix[first + at].tolist(), input_digest="ab" * 32,
            probability=float(probability[at]), target_position=_side(int(target[at])), abstain_reason=None,
            out_of_distribution=0.0, data_age_ms=100, status="ok",
        )
        for at in range(len(part))
    ]  # fmt: skip


def _side(target: int) -> Any:  # noqa: ANN401  a literal
    return target


def elsewhere(row: Row, **changes: Any) -> Row:  # noqa: ANN401  any field
    """The same answer with other fields."""
    return msgspec.structs.replace(row, **changes)


@cache
def bars_at(days: float) -> Gathered:
    """The bars of a run some days later, validated once for all tests; every installation of the story would get the same."""
    folder, bundle = trained()
    return gather(Story(folder, story_strategy(), load_bundle(bundle), Notes()).run(days).job)


def story(folder: Path, **changes: Any) -> Story:  # noqa: ANN401  parts of a strategy file
    """A copy of the trained installation below a folder.

    MLflow's tables name the folder of the artifacts, so those stay where they were made.
    """
    source, bundle = trained()
    for name in ("mlruns", "data"):
        shutil.copytree(source / name, folder / name, copy_function=_linked)
    return Story(folder, story_strategy(**changes), load_bundle(bundle), Notes())


def _linked(source: str, target: str) -> None:
    if source.endswith(".db"):
        shutil.copy2(source, target)
    else:
        os.link(source, target)
