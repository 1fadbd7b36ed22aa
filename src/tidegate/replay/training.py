"""Stage A: one month trained by itself, from bars up to its first moment, and nothing else: not what was promoted, nor any other month.

The stages are those of a retrain (`tidegate.pipeline`). Two things differ, and no figure depends on either: bars are not kept in a store of
the installation, and no prediction is timed for a gate, since what a machine was doing then says nothing about a month of history.
"""

import json
import resource
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tidegate.bars.bars import Bars
from tidegate.bars.sources.source import RawBars
from tidegate.durable import write_whole
from tidegate.errors import BundleError, ModelError, NotEnoughHistory, TidegateError, ValidationFailed
from tidegate.gates.evaluation import Measurement
from tidegate.gates.result import Verdict
from tidegate.model.fit_clock import FITS
from tidegate.pipeline.data import Gathered, Prepared, prepare
from tidegate.pipeline.fold import Fold
from tidegate.pipeline.job import Job, Stopwatch
from tidegate.pipeline.judge import Measured, measure_run
from tidegate.pipeline.permuted import permuted_labels
from tidegate.pipeline.retrain import run_folds
from tidegate.replay.history import History
from tidegate.replay.identity import month_identity
from tidegate.replay.plan import Configuration, Month, Permuted, first_wanted_ms, months_between, read_configuration
from tidegate.replay.trained import seal, work_folder, write_measured, write_outcome
from tidegate.report.record import SymbolRecord
from tidegate.settings.settings import Settings
from tidegate.validation.validate import Validated, require, validate

ACTOR: Final = "replay"
LATENCY: Final = "latency_p95_ms"
_NOT_TIMED: Final = Measurement(
    None,
    ruling=Verdict.NOT_ENOUGH_EVIDENCE,
    reason="not judged in a replay: what a machine does today says nothing about a month of history",
)
_NOT_PERMUTED: Final = Measurement(
    None,
    n=0,
    ruling=Verdict.NOT_ENOUGH_EVIDENCE,
    reason="not measured in a replay where the gate skill refuses whatever it would show",
)
_FAILURES: Final = (NotEnoughHistory, ValidationFailed, ModelError)
_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class MonthJob(Job):
    """A retrain whose files lie in the month's folder."""

    place: Path = Path()

    @property
    def folder(self) -> Path:
        """Folder of the month's files."""
        return self.place


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """Everything that one month's training may look at.

    Attributes:
        configuration: strategy and settings.
        month: the month.
        raw: bars up to its first moment, one series a symbol.
        name: of the month's folder, with the digest of all of this.
    """

    configuration: Configuration
    month: Month
    raw: tuple[RawBars, ...]
    name: str


def train_month(reference: str) -> str:
    """Train one month, unless it is there already.

    Args:
        reference: from `Plan.reference`: `<replay's folder>/months/<month>`.
    Returns:
        path of the month's folder, which is there whole. A month without a model has one as well, that says why.
    Raises:
        ConfigurationError, SourceError, StoreError: the replay's files are not what they should be.
        OSError: they cannot be written.
    """
    wanted = Path(reference)
    inputs = read_inputs(wanted.parent.parent, wanted.name)
    target = wanted.parent / inputs.name
    if target.is_dir():
        return str(target)
    FITS.clock = time.perf_counter
    watch, before = Stopwatch(), FITS.read()
    with work_folder(wanted.parent, wanted.name) as place:
        temporary = Path(place) / inputs.name
        temporary.mkdir()
        _train(inputs, temporary, watch)
        seal(temporary, target)
    fits, seconds = (now - then for now, then in zip(FITS.read(), before, strict=True))
    _note_timings(wanted.parent.parent, inputs.name, watch, int(fits), seconds)
    return str(target)


def read_inputs(folder: Path, name: str) -> Inputs:
    """What a month is trained on; bars that closed after its first moment are not read.

    Raises:
        ConfigurationError, SourceError, StoreError: the replay's files are not what they should be.
    """
    configuration = read_configuration(folder)
    strategy, settings = configuration.strategy, configuration.settings
    (month,) = months_between(name, name)
    history = History(folder, strategy.bar)
    start = first_wanted_ms(strategy, month.as_of_ms, settings.validation.max_missing_share)
    raw = tuple(history.read(symbol, start, month.as_of_ms) for symbol in strategy.symbols)
    digest = month_identity(configuration, month.as_of_ms, [each.bars for each in raw])
    return Inputs(configuration, month, raw, f"{name}-{digest[:_DIGITS]}")


def _train(inputs: Inputs, folder: Path, watch: Stopwatch) -> None:
    month, configuration = inputs.month, inputs.configuration
    strategy, settings, at = configuration.strategy, _untimed(configuration.settings), month.as_of_ms
    job = MonthJob(strategy, settings, folder, at, at, ACTOR, watch, place=folder)
    try:
        gathered = _validated(job, inputs.raw)
        prepared = prepare(job, gathered)
        folds = run_folds(job, prepared)
        measured = measure_run(job, gathered, prepared, folds, permutations=0)
        measured = _with_permuted(job, prepared, folds[-1], measured, configuration.permuted)
    except _FAILURES as error:
        if isinstance(error, BundleError):
            raise
        shutil.rmtree(folder)
        folder.mkdir()
        write_outcome(folder, month.name, month.as_of_ms, _words(error))
        return
    write_measured(folder, replace(measured, measurements={**measured.measurements, LATENCY: _NOT_TIMED}))
    write_outcome(folder, month.name, month.as_of_ms)


def _untimed(settings: Settings) -> Settings:
    """The settings with as few timed predictions as they allow, since nobody looks at the times."""
    return settings.model_copy(update={"compute": settings.compute.model_copy(update={"latency_samples": 50})})


def _with_permuted(job: Job, prepared: Prepared, newest: Fold, measured: Measured, wanted: Permuted) -> Measured:
    """The same with as many permutations as any path's policy asks for, where they can make a difference."""
    p_value, compute = measured.measurements["skill"].value, job.settings.compute
    if not wanted.draws:
        return measured
    if p_value is None or not p_value <= wanted.p_value:
        return replace(measured, measurements={**measured.measurements, "permuted_labels": _NOT_PERMUTED})
    with job.watch.stage("gates"):
        found = permuted_labels(
            prepared.dataset,
            newest,
            job.strategy,
            wanted.draws,
            threads=compute.threads,
            workers=compute.parallel_folds,
        )
    return replace(measured, measurements={**measured.measurements, "permuted_labels": found})


def _validated(job: Job, raw: tuple[RawBars, ...]) -> Gathered:
    """As `pipeline.data.gather` without a store: history is what the source says it was.

    Raises:
        ValidationFailed: a fatal rule found rows.
        NotEnoughHistory: a symbol has no bars at all.
    """
    bars: list[Bars] = []
    records = []
    with job.watch.stage("bars"):
        for each in raw:
            if not len(each.bars):
                raise NotEnoughHistory(f"there are no bars of {each.bars.symbol} before {job.month}")
            validated = validate(
                each.bars, rules=job.settings.validation, calendar=job.strategy.calendar, as_of_ms=job.as_of_ms
            )
            bars.append(require(validated))
            records.append(_record(each, validated))
    return Gathered(tuple(bars), tuple(records), dict.fromkeys(job.strategy.symbols, 0))


def _record(raw: RawBars, validated: Validated) -> SymbolRecord:
    bars = validated.bars
    return SymbolRecord(
        symbol=bars.symbol,
        origin=raw.origin,
        notes=raw.notes,
        snapshot=bars.content_hash(),
        bars=len(bars),
        first_at=int(bars.opened_at[0]),
        last_at=int(bars.closed_at[-1]),
        validation=validated.summary(),
    )


def peak_memory_mb() -> float:
    """The largest resident memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _words(error: TidegateError) -> str:
    """The error in one line, without advice: nobody can act on the past."""
    parts = [error.what]
    parts += [f"expected {error.expected}"] if error.expected is not None else []
    parts += [f"was {error.actual}"] if error.actual is not None else []
    return f"{error.code}: {', '.join(parts)}"


def _note_timings(folder: Path, name: str, watch: Stopwatch, fits: int, fit_s: float) -> None:
    """Beside the months, not in them: a month's folder is the same on every machine."""
    content = {"seconds": watch.seconds, "fits": fits, "fit_s": fit_s, "peak_memory_mb": peak_memory_mb()}
    write_whole(folder / "timings" / f"{name}.json", json.dumps(content) + "\n")
