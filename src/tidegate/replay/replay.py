"""The whole replay: bars once, months side by side, then paths month by month, and what hindsight says of it all."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from tidegate.backtest.result import Times
from tidegate.bars.bars import Bars
from tidegate.errors import ConfigurationError, ServiceError, ValidationFailed
from tidegate.pipeline.fold_identity import library_versions
from tidegate.pipeline.job import Stopwatch
from tidegate.pipeline.threads import limit_linear_algebra
from tidegate.replay.figures import Walked, path_result
from tidegate.replay.hindsight import Hindsights
from tidegate.replay.history import collect
from tidegate.replay.identity import LIBRARIES
from tidegate.replay.journal import Journal, chained
from tidegate.replay.life import Life, Newest
from tidegate.replay.mapping import Mapper, in_order
from tidegate.replay.market import Market
from tidegate.replay.paths import lives
from tidegate.replay.plan import Month, Plan, write_configuration
from tidegate.replay.result import PathResult, ReplayResult, Training
from tidegate.replay.trained import TrainedMonth, read_trained
from tidegate.replay.training import peak_memory_mb, read_inputs, train_month
from tidegate.strategy.strategy import Strategy

OnMonth = Callable[[str, int, int], None]
"""What is being done, months done, months in all."""


def replay(
    plan: Plan,
    mapper: Mapper = in_order,
    *,
    workers: int = 1,
    on_month: OnMonth = lambda _what, _done, _of: None,
) -> ReplayResult:
    """Replay a strategy's life.

    What an earlier run of the same configuration has finished, whole or killed, is taken from its folder.

    Args:
        plan: months, strategy, folder.
        mapper: how months are trained side by side.
        workers: how many processes the mapper trains on, for the record.
        on_month: told of progress.
    Raises:
        ConfigurationError: another replay is working in this folder.
        DataError: the source cannot be read, or has no bars in a month, or validation leaves none.
        ModelError, LedgerError: files in the folder are damaged.
        ServiceError: a month was trained by other code than this process has.
    """
    limit_linear_algebra(plan.settings.compute.threads)
    timing = Stopwatch()
    with _alone(plan.folder), timing.stage("total"):
        with timing.stage("bars"):
            write_configuration(plan)
            history = collect(plan)
        market = Market(history, plan.strategy, plan.settings.validation)
        walk = _Walk(plan, market, timing, on_month)
        expected = _expected(plan, timing)
        missing = [month for month in plan.months if not expected[month.name].is_dir()]
        trained = _trained(plan, mapper, expected, missing, timing)
        for number, month in enumerate(plan.months):
            walk.step(month, next(trained), number)
        with timing.stage("hindsight"):
            paths = walk.results()
    training = _training(plan, walk.trained, missing, timing, workers)
    return _result(plan, paths, training)


class _Walk:
    """All paths, side by side through the months."""

    def __init__(self, plan: Plan, market: Market, timing: Stopwatch, on_month: OnMonth) -> None:
        self._plan = plan
        self._market = market
        self._timing = timing
        self._on_month = on_month
        self._paths = [_Path(life, journal) for life, journal in lives(plan, market)]
        self._versions: dict[int, TrainedMonth] = {}
        self._tried: dict[str, float] = {}
        self._closed_at: list[Times] = []
        self.trained: list[TrainedMonth] = []

    def step(self, month: Month, trained: TrainedMonth, number: int) -> None:
        """One month of all paths."""
        self._on_month(f"trained {month.name}", number, len(self._plan.months))
        with self._timing.stage("decide and trade"):
            version = None if trained.failure else len(self._versions) + 1
            measured = None if trained.failure else trained.measured()
            if version is not None and measured is not None:
                self._versions[version] = trained
                self._tried |= measured.trials
            newest = Newest(month, trained, version, measured, self._tried)
            self.trained.append(trained)
            bars = [self._market.month(symbol, month.name) for symbol in self._plan.strategy.symbols]
            _require_bars(month.name, bars)
            hashes = [each.content_hash() for each in bars]
            axes = [path.step(newest, hashes) for path in self._paths]
            self._closed_at.append(axes[0])
        self._on_month(f"lived through {month.name}", number + 1, len(self._plan.months))

    def results(self) -> tuple[PathResult, ...]:
        """All paths, with hindsight."""
        hindsights = Hindsights(self._market, self._versions, self._plan.end_ms)
        closed_at = np.concatenate(self._closed_at)
        return tuple(path.result(closed_at, hindsights, self._plan.strategy) for path in self._paths)


class _Path:
    """One path with its journal: months that were lived through with the same inputs are read, the others lived."""

    def __init__(self, life: Life, journal: Journal) -> None:
        self._life = life
        self._journal = journal
        self._journal.sweep()
        self._chain = ""
        self._walked: list[Walked] = []
        self._living = False

    def step(self, newest: Newest, bars: Sequence[str]) -> Times:
        """Read a month, or live through it; returns the closes of its bars."""
        month, previous = newest.month.name, self._walked[-1].record.month if self._walked else None
        self._chain = chained(self._chain, month, newest.trained.name, *bars)
        if not self._living and self._journal.holds(month, self._chain):
            stepped = self._journal.read(month)
            self._life.know(newest)
            self._life.remember(stepped.traded)
        else:
            if not self._living:
                self._begin(previous)
            stepped = self._life.step(newest)
            self._journal.keep(month, self._chain, stepped, self._life.save())
        self._walked.append(Walked.of(stepped))
        return stepped.traded.closed_at

    def _begin(self, previous: str | None) -> None:
        self._living = True
        state = self._journal.begin(previous)
        if state:
            self._life.load(state)

    def result(self, closed_at: Times, hindsights: Hindsights, strategy: Strategy) -> PathResult:
        """The path's result."""
        shutil.rmtree(self._journal.work, ignore_errors=True)
        months = tuple(each.record for each in self._walked)
        if self._life.policy:
            net = np.concatenate([each.net_return for each in self._walked])
            months = hindsights.judge(months, closed_at, net)
        return path_result(self._life, closed_at, self._walked, months, strategy)


def _expected(plan: Plan, timing: Stopwatch) -> dict[str, Path]:
    """By month, the folder that it has once it is trained; its name tells by what code and from which inputs."""
    with timing.stage("bars"):
        return {month.name: plan.folder / "months" / read_inputs(plan.folder, month.name).name for month in plan.months}


def _trained(
    plan: Plan, mapper: Mapper, expected: Mapping[str, Path], missing: list[Month], timing: Stopwatch
) -> Iterator[TrainedMonth]:
    """Every month in order; those that are missing are trained as the mapper sees fit."""
    fresh = iter(mapper(train_month, [plan.reference(month) for month in missing]) if missing else ())
    names = {month.name for month in missing}
    for month in plan.months:
        with timing.stage("train"):
            if month.name in names:
                _require_same(month.name, expected[month.name], Path(next(fresh)))
            found = read_trained(expected[month.name])
        yield found


def _require_same(month: str, expected: Path, returned: Path) -> None:
    """Refuse what a worker trained by other code, Python, libraries or inputs than are here."""
    if returned.name != expected.name:
        raise ServiceError(
            f"month {month} was trained by other code, libraries or inputs than this process has",
            expected=expected.name,
            actual=returned.name,
            setting="compute.dask_address",
            next_step="install the same tidegate, Python and libraries on every worker, start the workers anew, and replay again: "
            "what they trained is left aside",
        )


def _require_bars(month: str, bars: Sequence[Bars]) -> None:
    """Refuse a month in which nothing could be traded, and so nothing closed."""
    if not any(map(len, bars)):
        raise ValidationFailed(
            f"validation leaves no bar of {', '.join(each.symbol for each in bars)} in {month}, and a replay needs bars in each of its months",
            expected="at least one usable bar",
            actual=0,
            next_step="choose other months by --from and --to, or correct the source",
        )


def _training(
    plan: Plan, trained: Sequence[TrainedMonth], missing: Sequence[Month], timing: Stopwatch, workers: int
) -> Training:
    fresh = {month.name for month in missing}
    notes: list[dict[str, Any]] = []
    for month in trained:
        path = plan.folder / "timings" / f"{month.name}.json"
        if month.month in fresh and path.exists():
            notes.append(json.loads(path.read_text(encoding="utf-8")))
    return Training(
        months=len(plan.months),
        trained=len(missing),
        reused=len(plan.months) - len(missing),
        failed=sum(bool(month.failure) for month in trained),
        fits=sum(note["fits"] for note in notes),
        fit_s=sum(note["fit_s"] for note in notes),
        workers=workers,
        fits_at_once=plan.settings.compute.parallel_folds,
        seconds=dict(timing.seconds),
        peak_memory_mb=max([peak_memory_mb(), *(note["peak_memory_mb"] for note in notes)]),
    )


def _result(plan: Plan, paths: tuple[PathResult, ...], training: Training) -> ReplayResult:
    strategy = plan.strategy
    return ReplayResult(
        strategy=strategy.name,
        kind=strategy.kind,
        symbols=strategy.symbols,
        interval=strategy.interval,
        policy=paths[0].policy,
        first_month=plan.months[0].name,
        last_month=plan.months[-1].name,
        start_ms=plan.start_ms,
        end_ms=plan.end_ms,
        capital=strategy.capital,
        periods_per_year=strategy.periods_per_year,
        costs=strategy.costs.model_dump(),
        seed=strategy.model.seed,
        paths=paths,
        training=training,
        libraries=library_versions(("tidegate", *LIBRARIES)),
        folder=str(plan.folder),
    )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder alone, and remove what a killed run left; the system frees the lock when the process ends, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(
                f"another replay is working in {folder}", next_step="wait for it, or choose another folder by --out"
            ) from error
        for left in (folder / "months").glob(".*"):
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        os.close(lock)


__all__: Final = ["replay"]
