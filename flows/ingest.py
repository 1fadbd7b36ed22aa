"""Fetch, validate and store bars, without training: run it as often as you like."""

import os
from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tidegate.errors import SourceError
from tidegate.pipeline import data
from tidegate.pipeline.job import Job, make_job
from tidegate.settings.loading import load_settings
from tidegate.strategy.strategy import find_strategy


@flow(name="ingest", flow_run_name="ingest {strategy}")
def ingest(strategy: str, as_of: str | None = None) -> dict[str, int]:
    """Bring the store up to date for one strategy.

    Args:
        strategy: name of a file in the strategies' folder, or its path.
        as_of: ISO 8601; empty: now.
    Returns:
        symbol to number of bars.
    """
    root = Path(os.environ.get("TIDEGATE_ROOT", ".")).resolve()
    settings = load_settings(root)
    job = make_job(
        find_strategy(strategy, settings.paths.strategies), settings, root, as_of=as_of, actor="prefect ingest"
    )
    fetching = store_bars if data.may_recover(job.strategy) else store_bars.with_options(retries=0)
    gathered = fetching(job)
    for symbol, revised in gathered.revised.items():
        if revised:
            get_run_logger().warning(
                "%s: the source now gives %d stored bars differently; the stored ones stay", symbol, revised
            )
    return {record.symbol: record.bars for record in gathered.symbols}


@task(
    name="store bars",
    task_run_name="store bars",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=[5, 30, 120],
    retry_condition_fn=lambda _task, _run, state: isinstance(
        state.result(raise_on_failure=False), (SourceError, OSError)
    ),
)
def store_bars(job: Job) -> data.Gathered:
    """Fetch, validate, store and name the bars."""
    return data.gather(job)
