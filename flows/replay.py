"""The replay as a Prefect flow: months are tasks on Dask, side by side, of all models; then each model's life is decided in order, and its page shown."""

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from pathlib import Path
from typing import Any, cast

from prefect import flow, get_run_logger, runtime, task
from prefect.artifacts import create_link_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner
from prefect_dask import DaskTaskRunner

from tidegate.logs.ids import bound
from tidegate.logs.starting import join_logging
from tidegate.registry.database import system_clock
from tidegate.replay.mapping import Mapper
from tidegate.replay.page import write_pages
from tidegate.replay.plan import Plan, make_plan, require_past
from tidegate.replay.replay import replay as live_through
from tidegate.replay.result import ReplayResult
from tidegate.replay.training import train_month
from tidegate.replay.workers import connected, local_cluster, result_of
from tidegate.settings.loading import load_settings
from tidegate.settings.settings import Settings
from tidegate.strategy.strategy import find_strategy, slug
from tidegate.strategy.symbols import named_symbols, with_symbols

TAGS = ["replay"]


def cluster() -> AbstractContextManager[Any]:
    """What months are trained on: the cluster that the settings name, or one of this run's own. Asked for by the first month of a run.

    Raises:
        ConfigurationError: the scheduler is encrypted, and there are no certificates.
        ServiceError: no scheduler or no worker answers, or a worker's libraries differ from those here.
    """
    settings = _settings()[1]
    address = settings.compute.dask_address
    if address:
        with connected(settings):  # refused as on the command line, before a month is given away
            pass
    return nullcontext(address) if address else local_cluster(settings)


# Not yet a cluster: that is made for a run, and gone after it.
DASK = cast("TaskRunner[PrefectFuture[Any]]", DaskTaskRunner(cluster_class=cast("Any", cluster)))


@flow(name="replay", flow_run_name="replay {strategy} {first} to {last}", task_runner=DASK)
def replay(strategy: str, first: str, last: str, symbols: str | None = None) -> list[dict[str, Any]]:
    """Live through history month by month, as the deployed procedure would have.

    Args:
        strategy: name of a file in the strategies' folder, or its path.
        first: month, such as 2018-01.
        last: month; it is traded to its end.
        symbols: a list with commas, such as BTC/USDT,ETH/USDT. Empty: those of the file.
    """
    models = plans(strategy, first, last, symbols)
    with ThreadPoolExecutor(len(models)) as side_by_side:
        lives = [side_by_side.submit(copy_context().run, live, plan) for plan in models]
        return [publish(plan.folder, life.result()) for plan, life in zip(models, lives, strict=True)]


def plans(strategy: str, first: str, last: str, symbols: str | None) -> list[Plan]:
    """One plan for each model of the strategy."""
    root, settings = _settings()
    join_logging(settings.logs, "replay")
    found = find_strategy(strategy, settings.paths.strategies)
    if symbols is not None:
        found = with_symbols(found, named_symbols(symbols))
    models = [make_plan(single, settings, root, first, last) for single in found.single()]
    for plan in models:
        require_past(plan, system_clock())
    return models


def live(plan: Plan) -> ReplayResult:
    """One model's life; its months are trained while other models' are."""
    with bound(run_id=runtime.flow_run.id, strategy=plan.strategy.name):
        log = get_run_logger()
        log.info("replaying %s, %d months", plan.strategy.name, len(plan.months))
        return live_through(
            plan,
            on_tasks(plan.strategy.name),
            workers=plan.settings.compute.workers,
            on_month=lambda what, done, of: log.info("%s: %s, %d of %d", plan.strategy.name, what, done, of),
        )


def on_tasks(strategy: str) -> Mapper:
    """A mapper whose pieces of work are task runs."""

    def mapped(_function: Callable[[str], str], references: Sequence[str]) -> Iterator[str]:
        futures = [train.submit(reference, strategy, Path(reference).name) for reference in references]
        return (result_of(future.result, reference) for future, reference in zip(futures, references, strict=True))

    return mapped


def _is_passing(_task: Any, _run: Any, state: Any) -> bool:  # noqa: ANN401  Prefect's own types here are loose
    """Whether trying again makes sense: a disk or its server was away."""
    return isinstance(state.result(raise_on_failure=False), OSError)


@task(
    name="train month",
    task_run_name="train {strategy} {month}",
    tags=TAGS,
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[5, 60],
    retry_condition_fn=_is_passing,
)
def train(reference: str, strategy: str, month: str) -> str:
    """Train one month, unless it is there already. Texts go to the worker and come back."""
    del strategy, month
    return train_month(reference)


@task(
    name="publish page",
    task_run_name="publish page",
    tags=TAGS,
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=5,
)
def publish(folder: Path, result: ReplayResult) -> dict[str, Any]:
    """Write result and page, and show the page in Prefect."""
    page = write_pages(result, folder)
    create_link_artifact(
        page.as_uri(), link_text=page.name, key=f"replay-{slug(result.strategy)}", description=str(page)
    )
    return {
        "strategy": result.strategy,
        "months": result.training.months,
        "trained": result.training.trained,
        "returns": {path.name: path.summary.total_return for path in result.paths},
        "page": str(page),
    }


def _settings() -> tuple[Path, Settings]:
    """The project's folder, and its settings with one fold at a time in each of several processes."""
    root = Path(os.environ.get("TIDEGATE_ROOT", ".")).resolve()
    settings = load_settings(root)
    if settings.compute.workers == 1 and settings.compute.dask_address is None:
        return root, settings
    compute = settings.compute.model_copy(update={"parallel_folds": 1})
    return root, settings.model_copy(update={"compute": compute})


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the flow from a shell: `python -m flows.replay STRATEGY --from 2018-01 --to 2023-12 [--symbols LIST]`."""
    parser = argparse.ArgumentParser(prog="python -m flows.replay", description=main.__doc__)
    parser.add_argument("strategy")
    parser.add_argument("--from", dest="first", required=True)
    parser.add_argument("--to", dest="last", required=True)
    parser.add_argument("--symbols")
    chosen = parser.parse_args(arguments)
    replay(chosen.strategy, chosen.first, chosen.last, chosen.symbols)


if __name__ == "__main__":
    main()
