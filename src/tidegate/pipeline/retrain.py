"""The whole retraining in one process and without an orchestrator; `flows/retrain.py` runs the same stages as Prefect tasks."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from tidegate.pipeline.data import Prepared, gather, prepare
from tidegate.pipeline.fold import Fold, run_fold
from tidegate.pipeline.job import Job
from tidegate.pipeline.judge import judge
from tidegate.pipeline.publish import (
    Retrained,
    champion_of,
    promote,
    publish_report,
    record_reads,
    record_run,
    reporting,
)
from tidegate.registry.retrains import RetrainLedger


def retrain(job: Job) -> Retrained:
    """Validate, train, test, judge, register, promote or refuse, and report: one strategy and month at a time.

    Raises:
        DataError, ModelError, RegistryError: as the stages do. Nothing is promoted then.
        ReportFailed: the outcome is there and on record, its report is not.
        PromotionConflict: another retrain of this strategy and month is running.
    """
    with RetrainLedger.from_settings(job.settings).retrain_lock(job.strategy.name, job.month) as lock:
        lock.record("started", as_of=job.as_of_ms)
        try:
            champion = champion_of(job)
            gathered = gather(job)
            prepared = prepare(job, gathered)
            record_reads(job, gathered, prepared)
            folds = run_folds(job, prepared)
            judged = judge(job, gathered, prepared, folds, champion)
            registered = record_run(job, gathered, folds, judged)
            lock.check()
            promotion = promote(job, judged, registered, champion)
        except BaseException:
            lock.record("failed", as_of=job.as_of_ms)
            raise
        lock.record("finished", as_of=job.as_of_ms, run_id=registered.run_id, version=registered.version)
        with reporting(job, registered, promotion):
            return publish_report(job, gathered, folds, judged, registered, promotion)


def run_folds(job: Job, prepared: Prepared) -> tuple[Fold, ...]:
    """Train and test all folds, `compute.parallel_folds` at a time."""
    strategy, compute = job.strategy, job.settings.compute
    total = len(prepared.folds)
    with job.watch.stage("train and test"), ThreadPoolExecutor(compute.parallel_folds) as pool:
        futures = [
            pool.submit(run_fold, prepared.dataset, windows, strategy, compute.threads, compute.inner_places(total))
            for windows in prepared.folds
        ]
        try:
            folds = []
            for number, future in enumerate(futures):
                folds.append(future.result())
                job.watch.step(number + 1, total, f"fold {number + 1} of {total}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return tuple(folds)


def retrain_all(job: Job) -> list[Retrained]:
    """Retrain every model of a strategy: one, or one a symbol when `combine` is `separate`."""
    return [retrain(replace(job, strategy=single)) for single in job.strategy.single()]
