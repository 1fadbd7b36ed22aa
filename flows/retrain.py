"""The monthly retraining as a Prefect flow: the pipeline's stages as tasks, one model after another."""

import argparse
import os
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

from prefect import Task, flow, get_run_logger, runtime, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import TaskRunContext
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from prefect.utilities.annotations import quote

from flows.catching_up import why_skipped
from flows.fold_cache import KEPT, PREFIX, FoldSerializer, remove_stale_folds
from flows.telling import tell_failure, tell_outcome
from tidegate.backup.require import back_up_before
from tidegate.checklist.checklist import require
from tidegate.dataset.windows import FoldWindows
from tidegate.errors import PromotionRefused, RegistryError, SourceError
from tidegate.logs.ids import bound
from tidegate.logs.starting import join_logging
from tidegate.pipeline import data, judge, publish
from tidegate.pipeline.contest import Champion
from tidegate.pipeline.fold import Fold, run_fold
from tidegate.pipeline.fold_identity import fold_identity
from tidegate.pipeline.job import Job, Stopwatch, describe_job, make_job
from tidegate.pipeline.outcome import Outcome, describe
from tidegate.registry.retrains import RetrainLedger
from tidegate.registry.schema import RowRefused
from tidegate.report.record import PromotionRecord
from tidegate.settings.loading import load_settings
from tidegate.strategy.strategy import find_strategy, slug
from tidegate.strategy.symbols import named_symbols, with_symbols

T = TypeVar("T")

WATCH: ContextVar[Stopwatch | None] = ContextVar("WATCH", default=None)
"""Progress of whoever runs the flow in this process; a deployed run has none."""


# `train_folds` submits no more than `compute.parallel_folds` at a time; this is only the setting's upper bound.
FOLDS: TaskRunner[PrefectFuture[Any]] = cast("TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner(max_workers=64))


@flow(name="retrain", flow_run_name="retrain {strategy}", task_runner=FOLDS)
def retrain(strategy: str, as_of: str | None = None, symbols: str | None = None) -> list[Outcome]:
    """Validate, train, test out of sample, judge, register, promote or refuse, and report.

    Args:
        strategy: name of a file in the strategies' folder, or its path.
        as_of: ISO 8601; no bar that closed later is looked at. Empty: now.
        symbols: a list with commas, such as BTC/USDT,ETH/USDT. Empty: those of the file.
    """
    remove_stale_folds()
    why = why_skipped(strategy, load_settings(project_root()))
    if why is not None:
        get_run_logger().warning("%s is skipped: %s", strategy, why)
        return []
    return [retrain_model(job) for job in jobs(strategy, as_of, symbols)]


def retrain_model(job: Job) -> Outcome:
    """Retrain one model: one run a strategy and month at a time."""
    get_run_logger().info("retraining %s", describe_job(job))
    with bound(run_id=runtime.flow_run.id, strategy=job.strategy.name):
        return _retrain_model(job)


def _retrain_model(job: Job) -> Outcome:
    with RetrainLedger.from_settings(job.settings).retrain_lock(job.strategy.name, job.month) as lock:
        lock.record("started", as_of=job.as_of_ms)
        try:
            champion = find_champion(whole(job))
            bars = validation(job)(whole(job))
            prepared = build_features(whole(job), whole(bars))
            folds = train_folds(job, prepared)
            judged = judge_model(whole(job), whole(bars), whole(prepared), whole(folds), whole(champion))
            registered = register_model(whole(job), whole(bars), whole(folds), whole(judged))
            lock.check()
            promotion = promote_model(whole(job), whole(judged), whole(registered), whole(champion))
        except BaseException as error:
            tell_failure(job, error)
            lock.record("failed", as_of=job.as_of_ms)
            raise
        lock.record("finished", as_of=job.as_of_ms, run_id=registered.run_id, version=registered.version)
        tell_outcome(job, promotion)
        with publish.reporting(job, registered, promotion):
            given = whole(job), whole(bars), whole(folds), whole(judged), whole(registered), whole(promotion)
            return describe(write_report(*given))


def validation(job: Job) -> Task[[Job], data.Gathered]:
    """The task that validates bars; without retries where the source is a file, which stays as it is."""
    return validate_bars if data.may_recover(job.strategy) else validate_bars.with_options(retries=0)


def whole(value: T) -> T:
    """Hand a value to a task as it is; Prefect would otherwise search every array in it for futures."""
    return cast("T", quote(value))


def project_root() -> Path:
    """The project's folder."""
    return Path(os.environ.get("TIDEGATE_ROOT", ".")).resolve()


def jobs(strategy: str, as_of: str | None, symbols: str | None) -> list[Job]:
    """One job for each model of the strategy."""
    root = project_root()
    settings = load_settings(root)
    if runtime.deployment.id:
        join_logging(settings.logs, "retrain")  # at a person's terminal the command has begun its own log
    found = find_strategy(strategy, settings.paths.strategies)
    if symbols is not None:
        found = with_symbols(found, named_symbols(symbols))
    actor = f"prefect flow run {runtime.flow_run.name or 'without server'}"
    job = make_job(found, settings, root, as_of=as_of, actor=actor, watch=WATCH.get())
    return [replace(job, strategy=single) for single in found.single()]


def train_folds(job: Job, prepared: data.Prepared) -> tuple[Fold, ...]:
    """Train and test all folds, `compute.parallel_folds` at a time, oldest first."""
    with job.watch.stage("train and test"):
        futures: list[PrefectFuture[Fold]] = []
        total, places = len(prepared.folds), job.settings.compute.parallel_folds
        for number, windows in enumerate(prepared.folds):
            if number >= places:
                futures[number - places].wait()
            futures.append(train_and_test.submit(whole(job), whole(prepared), whole(windows), number + 1))
            job.watch.step(max(0, number - places + 1), total, f"fold {number + 1} of {total}")
        return tuple(future.result() for future in futures)


def _is_passing(_task: Any, _run: Any, state: Any) -> bool:  # noqa: ANN401  Prefect's own types here are loose
    """Whether trying again makes sense: a server or an exchange was away. Bad data stay bad."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, (RegistryError, SourceError, OSError)) and not isinstance(error, RowRefused)


def _fold_key(_context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """Content of everything a fold depends on."""
    job, prepared, windows = parameters["job"], parameters["prepared"], parameters["windows"]
    return PREFIX + fold_identity(prepared.dataset, windows, job.strategy, job.settings.compute.threads)


@task(
    name="find champion",
    task_run_name="find champion",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=[2, 10, 30],
    retry_condition_fn=_is_passing,
)
def find_champion(job: Job) -> Champion | None:
    """The model in production, repaired and verified."""
    return publish.champion_of(job)


@task(
    name="validate bars",
    task_run_name="validate bars",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=[5, 30, 120],
    retry_condition_fn=_is_passing,
)
def validate_bars(job: Job) -> data.Gathered:
    """Fetch, validate, store and name the bars."""
    return data.gather(job)


@task(name="build features", task_run_name="build features", cache_policy=NO_CACHE)
def build_features(job: Job, bars: data.Gathered) -> data.Prepared:
    """Features, labels and walk-forward windows, which are on record as read from here on."""
    prepared = data.prepare(job, bars)
    publish.record_reads(job, bars, prepared)
    return prepared


@task(
    name="train and test",
    task_run_name="train and test fold {number}",
    cache_key_fn=_fold_key,
    cache_expiration=KEPT,
    persist_result=True,
    result_serializer=FoldSerializer(),
)
def train_and_test(job: Job, prepared: data.Prepared, windows: FoldWindows, number: int) -> Fold:
    """One fold: train on its window, test on the next, unseen one."""
    del number
    compute = job.settings.compute
    places = compute.inner_places(len(prepared.folds))
    return run_fold(prepared.dataset, windows, job.strategy, compute.threads, places)


@task(name="judge", task_run_name="judge", cache_policy=NO_CACHE)
def judge_model(
    job: Job, bars: data.Gathered, prepared: data.Prepared, folds: tuple[Fold, ...], champion: Champion | None
) -> judge.Judged:
    """Pack the bundle, check it, hold the contest, ask the gates."""
    return judge.judge(job, bars, prepared, folds, champion)


@task(
    name="register",
    task_run_name="register",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=[2, 10, 30],
    retry_condition_fn=_is_passing,
)
def register_model(job: Job, bars: data.Gathered, folds: tuple[Fold, ...], judged: judge.Judged) -> publish.Registered:
    """Log the run to MLflow and register the challenger."""
    return publish.record_run(job, bars, folds, judged)


@task(
    name="promote or refuse",
    task_run_name="promote or refuse",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=[2, 10, 30],
    retry_condition_fn=_is_passing,
)
def promote_model(
    job: Job, judged: judge.Judged, registered: publish.Registered, champion: Champion | None
) -> PromotionRecord:
    """Promote what the gates let through, and, where settings ask for it, the lines of the production checklist about the model, after a backup."""
    if judged.decision.promote:
        try:
            require(job.settings, job.root, job.strategy, registered.version)
            back_up(job, f"{job.strategy.name} v{registered.version}")
        except PromotionRefused as refusal:
            before = None if champion is None else champion.version
            return PromotionRecord("refused", registered.version, before, str(refusal))
    return publish.promote(job, judged, registered, champion)


def back_up(job: Job, what: str) -> None:
    """The backup before a promotion. A disk that refuses it, such as a full one, refuses the promotion: the retraining itself has not failed.

    Raises:
        PromotionRefused: there is no backup.
    """
    try:
        back_up_before(job.settings, job.root, what, actor=job.actor)
    except OSError as error:
        raise PromotionRefused(
            f"{what} not promoted: no backup could be taken before it ({error})",
            setting="backup.before_promotion",
            next_step="see docs/backups.md; then promote it by hand, or retrain again",
        ) from error


@task(
    name="report",
    task_run_name="report",
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=5,
    retry_condition_fn=_is_passing,
)
def write_report(
    job: Job,
    bars: data.Gathered,
    folds: tuple[Fold, ...],
    judged: judge.Judged,
    registered: publish.Registered,
    promotion: PromotionRecord,
) -> publish.Retrained:
    """Write the report, and show the verdict in Prefect."""
    retrained = publish.publish_report(job, bars, folds, judged, registered, promotion)
    create_markdown_artifact(retrained.markdown, key=f"verdict-{slug(job.strategy.name)}", description=job.key)
    return retrained


def run(strategy: str, as_of: str | None, watch: Stopwatch | None = None, symbols: str | None = None) -> list[Outcome]:
    """Run the flow in this process and show its progress to `watch`."""
    token = WATCH.set(watch)
    try:
        return retrain(strategy, as_of, symbols)
    finally:
        WATCH.reset(token)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the flow from a shell: `python -m flows.retrain STRATEGY [--as-of TIME] [--symbols LIST]`."""
    parser = argparse.ArgumentParser(prog="python -m flows.retrain", description=main.__doc__)
    parser.add_argument("strategy")
    parser.add_argument("--as-of")
    parser.add_argument("--symbols")
    chosen = parser.parse_args(arguments)
    retrain(chosen.strategy, chosen.as_of, chosen.symbols)


if __name__ == "__main__":
    main()
