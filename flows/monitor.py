"""The monitoring of a model as a Prefect flow: bars, figures, judgement and act as tasks, one model after another."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from prefect import Task, flow, get_run_logger, runtime, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.utilities.annotations import quote

from tidegate.errors import RegistryError, SourceError
from tidegate.logs.ids import bound
from tidegate.logs.starting import join_logging
from tidegate.notify.notifier import Notifier
from tidegate.pipeline import data
from tidegate.pipeline import monitor as stages
from tidegate.pipeline.monitor_job import MonitorJob, monitor_jobs
from tidegate.registry.events import EventLedger
from tidegate.registry.schema import RowRefused
from tidegate.settings.loading import load_settings
from tidegate.strategy.strategy import find_strategy, slug

T = TypeVar("T")


@flow(name="monitor", flow_run_name="monitor {strategy} {period}")
def monitor(strategy: str, as_of: str | None = None, period: str = "daily") -> list[dict[str, Any]]:
    """Compare live with the promise, judge, act by the rules, record and report.

    Args:
        strategy: name of a file in the strategies' folder, or its path.
        as_of: ISO 8601; no bar that closed later is looked at. Empty: the end of the newest UTC day that has ended.
        period: daily, weekly or monthly.
    """
    found, failed = stages.each_model(jobs(strategy, as_of, period), monitor_model)
    if failed:
        raise failed[0]
    return found


def monitor_model(job: MonitorJob) -> dict[str, Any]:
    """One model."""
    get_run_logger().info("monitoring %s %s", job.strategy.name, job.subject)
    with bound(run_id=runtime.flow_run.id, strategy=job.strategy.name):
        bars = gathering(job)(whole(job))
        computed = compute_figures(whole(job), whole(bars))
        return show(whole(conclude(whole(job), whole(computed))))


def gathering(job: MonitorJob) -> Task[[MonitorJob], data.Gathered]:
    """The task that brings bars up to date; without retries where the source is a file, which stays as it is."""
    return gather_bars if data.may_recover(job.strategy) else gather_bars.with_options(retries=0)


def whole(value: T) -> T:
    """Hand a value to a task as it is; Prefect would otherwise search every array in it for futures."""
    return cast("T", quote(value))


def jobs(strategy: str, as_of: str | None, period: str) -> list[MonitorJob]:
    """One job for each model of the strategy."""
    root = Path(os.environ.get("TIDEGATE_ROOT", ".")).resolve()
    settings = load_settings(root)
    join_logging(settings.logs, "monitor")
    found = find_strategy(strategy, settings.paths.strategies)
    actor = f"prefect flow run {runtime.flow_run.name or 'without server'}"
    notifier = Notifier(settings, EventLedger.from_settings(settings))
    return monitor_jobs(found, settings, root, as_of=as_of, period=period, actor=actor, notifies=notifier)


def _is_passing(_task: Any, _run: Any, state: Any) -> bool:  # noqa: ANN401  Prefect's own types here are loose
    """Whether trying again makes sense: a server or an exchange was away."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, (RegistryError, SourceError, OSError)) and not isinstance(error, RowRefused)


@task(
    name="gather bars",
    task_run_name="gather bars",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=[5, 30, 120],
    retry_condition_fn=_is_passing,
)
def gather_bars(job: MonitorJob) -> data.Gathered:
    """Bring the bars up to date."""
    return data.gather(job.job)


@task(
    name="compute figures",
    task_run_name="compute figures",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=[2, 10, 30],
    retry_condition_fn=_is_passing,
)
def compute_figures(job: MonitorJob, bars: data.Gathered) -> stages.Computed:
    """Figures, tests and rules, from the log and the bars."""
    return stages.compute_run(job, bars)


@task(
    name="decide and act",
    task_run_name="decide and act",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=[2, 10, 30],
    retry_condition_fn=_is_passing,
)
def conclude(job: MonitorJob, computed: stages.Computed) -> stages.Monitored:
    """One decision, its act, the page, the record. Doing it again does nothing twice."""
    return stages.conclude(job, computed)


@task(name="show", task_run_name="show", cache_policy=NO_CACHE)
def show(monitored: stages.Monitored) -> dict[str, Any]:
    """Show the verdict in Prefect."""
    record = monitored.record
    create_markdown_artifact(
        monitored.markdown, key=f"monitoring-{slug(record.strategy.name)}", description=monitored.subject
    )
    return stages.describe(monitored)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the flow from a shell: `python -m flows.monitor STRATEGY [--as-of TIME] [--period daily]`."""
    parser = argparse.ArgumentParser(prog="python -m flows.monitor", description=main.__doc__)
    parser.add_argument("strategy")
    parser.add_argument("--as-of")
    parser.add_argument("--period", default="daily")
    chosen = parser.parse_args(arguments)
    monitor(chosen.strategy, chosen.as_of, chosen.period)


if __name__ == "__main__":
    main()
