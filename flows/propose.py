"""The monthly proposal as a Prefect flow: past trials are compared, and what they say is written and shown. Nothing is applied."""

import argparse
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from prefect import flow, get_run_logger, runtime, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tidegate.errors import RegistryError
from tidegate.logs.ids import bound
from tidegate.logs.starting import join_logging
from tidegate.pipeline import propose as stages
from tidegate.registry.schema import RowRefused
from tidegate.settings.loading import load_settings
from tidegate.settings.settings import Settings
from tidegate.strategy.strategy import Strategy, find_strategy, slug


@flow(name="propose", flow_run_name="propose {strategy}")
def propose(strategy: str, month: str | None = None) -> list[dict[str, Any]]:
    """Compare all logged trials of a strategy with its present configuration, and show what they speak for.

    Args:
        strategy: name of a file in the strategies' folder, or its path.
        month: names the proposal, such as 2026-11. Empty: this month.
    """
    root = Path(os.environ.get("TIDEGATE_ROOT", ".")).resolve()
    settings = load_settings(root)
    join_logging(settings.logs, "propose")
    named = month or datetime.now(UTC).strftime("%Y-%m")
    return [
        propose_model(single, settings, named) for single in find_strategy(strategy, settings.paths.strategies).single()
    ]


def propose_model(strategy: Strategy, settings: Settings, month: str) -> dict[str, Any]:
    """One model."""
    with bound(run_id=runtime.flow_run.id, strategy=strategy.name):
        proposed = compare_trials(strategy, settings, month)
        get_run_logger().info("%s %s: %s", strategy.name, month, stages.headline(proposed.proposal))
        return show(proposed)


def _is_passing(_task: Any, _run: Any, state: Any) -> bool:  # noqa: ANN401  Prefect's own types here are loose
    """Whether trying again makes sense: the ledger's server was away."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, (RegistryError, OSError)) and not isinstance(error, RowRefused)


@task(
    name="compare trials",
    task_run_name="compare trials",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=[5, 30, 120],
    retry_condition_fn=_is_passing,
)
def compare_trials(strategy: Strategy, settings: Settings, month: str) -> stages.Proposed:
    """Read the ledger, compare, write the proposal's two files. Doing it again replaces them."""
    return stages.propose_model(strategy, settings, month)


@task(name="show", task_run_name="show", cache_policy=NO_CACHE)
def show(proposed: stages.Proposed) -> dict[str, Any]:
    """Show the proposal in Prefect."""
    name = proposed.proposal.strategy
    create_markdown_artifact(
        proposed.markdown, key=f"proposal-{slug(name)}", description=stages.headline(proposed.proposal)
    )
    return cast("dict[str, Any]", stages.describe(proposed))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the flow from a shell: `python -m flows.propose STRATEGY [--month 2026-11]`."""
    parser = argparse.ArgumentParser(prog="python -m flows.propose", description=main.__doc__)
    parser.add_argument("strategy")
    parser.add_argument("--month")
    chosen = parser.parse_args(arguments)
    propose(chosen.strategy, chosen.month)


if __name__ == "__main__":
    main()
