"""Tells Prefect what to run when: one deployment a strategy, in one work pool, on one schedule.

`tidegate up` runs `python -m flows.deploy` once its Prefect server answers and before its worker starts. Running it again
changes nothing that is right already, and never what people set in Prefect: whether a deployment or its schedule is paused.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import (
    DeploymentScheduleCreate,
    DeploymentScheduleUpdate,
    DeploymentUpdate,
    WorkPoolCreate,
    WorkPoolUpdate,
)
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags, FlowRunFilter
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions, FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.states import Cancelled, Crashed
from prefect.types._datetime import now
from prefect.utilities.callables import parameter_schema
from prefect.workers.process import ProcessWorker

from tidegate.services.deployments import MONTHLY
from tidegate.services.worker import POOL

ENTRYPOINT = "flows/retrain.py:retrain"
TAG = "tidegate"
SLUG = "retrain"
PARAMETER = "strategy"

Schedule = CronSchedule | IntervalSchedule


@dataclass
class Outcome:
    """What was done; `tidegate.services.deployments.Deployed` reads it."""

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    without_strategy: list[str] = field(default_factory=list)
    skipped_runs: int = 0
    crashed_runs: int = 0


def deploy(
    root: Path,
    strategies: Sequence[str],
    schedule: Schedule,
    *,
    pool: str = POOL,
    entrypoint: str = ENTRYPOINT,
) -> Outcome:
    """Create or update the work pool and one deployment a strategy, and tidy up after a time without servers.

    Args:
        root: the project's folder: working folder of every run, and what `entrypoint` is relative to.
        strategies: names of strategies.
        schedule: when each is trained.
        pool: name of the work pool.
        entrypoint: `file:function` of the flow, which takes the strategy's name as its parameter `strategy`.

    Raises:
        ValueError: the flow does not take a strategy.
    """
    # A flow that cannot be imported is refused now, not in the night of the first of the month.
    flow: Flow[..., Any] = load_flow_from_entrypoint(str(root / entrypoint), use_placeholder_flow=False)
    if PARAMETER not in parameter_schema(flow).properties:
        raise ValueError(f"flow {entrypoint} must take the parameter {PARAMETER!r}")
    outcome = Outcome()
    with get_client(sync_client=True) as client:
        ensure_pool(client, pool)
        for strategy in strategies:
            wanted = description(root, strategy, flow, pool=pool, entrypoint=entrypoint)
            getattr(outcome, ensure_deployment(client, flow, strategy, wanted, schedule)).append(strategy)
        ours = client.read_deployments(deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG])))
        for deployment in ours:
            outcome.crashed_runs += close_cut_off_runs(client, deployment)
            outcome.skipped_runs += skip_missed_runs(client, deployment)
            if deployment.name not in strategies:
                outcome.without_strategy.append(deployment.name)
    return outcome


def description(root: Path, strategy: str, flow: Flow[..., Any], *, pool: str, entrypoint: str) -> dict[str, Any]:
    """Everything about a deployment that is ours to decide, by the name of Prefect's field."""
    return {
        "description": f"Retrains {strategy}, decides at the gates, promotes or refuses.",
        "parameters": {PARAMETER: strategy},
        "tags": [TAG, strategy],
        "entrypoint": entrypoint,
        # The code is where it is: no copy, no git remote, no image.
        "pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": str(root)}}],
        "job_variables": {"working_dir": str(root)},
        "parameter_openapi_schema": parameter_schema(flow).model_dump_for_openapi(),
        "enforce_parameter_schema": True,
        "work_pool_name": pool,
        # A second run of a strategy is refused, not queued: it would train the same month again.
        "concurrency_options": ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
    }


def ensure_pool(client: SyncPrefectClient, name: str) -> None:
    """Have a work pool that runs one process at a time: two trainings at once would only slow each other."""
    try:
        found = client.read_work_pool(name)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(
            WorkPoolCreate(name=name, type=ProcessWorker.type, base_job_template=template, concurrency_limit=1)
        )
        return
    if found.type != ProcessWorker.type:
        raise ValueError(f"work pool {name} exists with type {found.type}, expected {ProcessWorker.type}")
    if found.concurrency_limit != 1:
        client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=1))


def ensure_deployment(
    client: SyncPrefectClient, flow: Flow[..., Any], name: str, wanted: dict[str, Any], schedule: Schedule
) -> str:
    """Have the deployment as wanted.

    Returns:
        `created`, `updated` or `unchanged`.
    """
    try:
        found = client.read_deployment_by_name(f"{flow.name}/{name}")
    except ObjectNotFound:
        client.create_deployment(
            flow_id=client.create_flow_from_name(flow.name),
            name=name,
            concurrency_limit=1,
            schedules=[DeploymentScheduleCreate(schedule=schedule, slug=SLUG)],
            **wanted,
        )
        return "created"
    changes = _changes(found, wanted, schedule)
    if not changes:
        return "unchanged"
    # What is not named stays, above all `paused` and the schedule's `active`.
    client.update_deployment(found.id, DeploymentUpdate(**changes))
    return "updated"


def skip_missed_runs(client: SyncPrefectClient, deployment: DeploymentResponse) -> int:
    """Cancel all missed scheduled runs of a deployment but the newest, which catches up for all.

    After three months without servers Prefect would otherwise run three late trainings one after another.

    Returns:
        How many were cancelled.
    """
    until = now("UTC")
    missed = [
        run
        for run in _runs(client, deployment, ["SCHEDULED"])
        if run.auto_scheduled and run.expected_start_time is not None and run.expected_start_time <= until
    ]
    missed.sort(key=lambda run: run.expected_start_time or until, reverse=True)
    message = "Missed while no worker ran; the newest missed run catches up."
    for run in missed[1:]:
        client.set_flow_run_state(run.id, Cancelled(message=message), force=True)
    return len(missed[1:])


def close_cut_off_runs(client: SyncPrefectClient, deployment: DeploymentResponse) -> int:
    """Mark runs as crashed that a kill or power cut has left as running.

    They would hold the deployment's and the pool's only place for ever. No worker runs yet at this point, so none of
    them can be alive.

    Returns:
        How many were marked.
    """
    left = _runs(client, deployment, ["RUNNING", "PENDING", "CANCELLING"])
    for run in left:
        message = "The servers were stopped while this ran; a new run starts from the beginning."
        client.set_flow_run_state(run.id, Crashed(message=message), force=True)
    return len(left)


def _runs(client: SyncPrefectClient, deployment: DeploymentResponse, states: list[str]) -> list[FlowRun]:
    chosen = FlowRunFilter.model_validate(
        {"deployment_id": {"any_": [deployment.id]}, "state": {"type": {"any_": states}}}
    )
    found: list[FlowRun] = []
    while True:
        page = client.read_flow_runs(
            flow_run_filter=chosen, sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=200, offset=len(found)
        )
        found.extend(page)
        if len(page) < 200:
            return found


def _changes(found: DeploymentResponse, wanted: dict[str, Any], schedule: Schedule) -> dict[str, Any]:
    """The fields that differ."""
    changes = {name: value for name, value in wanted.items() if getattr(found, name) != value}
    limit = found.global_concurrency_limit
    if limit is None or limit.limit != 1:
        changes["concurrency_limit"] = 1
    if [(one.slug, one.schedule) for one in found.schedules] != [(SLUG, schedule)]:
        changes["schedules"] = [DeploymentScheduleUpdate(schedule=schedule, slug=SLUG)]
    return changes


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line; the answer is written to a file as JSON."""
    parser = argparse.ArgumentParser(prog="python -m flows.deploy", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(), help="the project's folder")
    parser.add_argument("--pool", default=POOL, help="name of the work pool")
    parser.add_argument("--cron", default=MONTHLY, help="schedule, UTC")
    parser.add_argument("--answer", type=Path, help="file for the answer")
    parser.add_argument("strategies", nargs="*", help="names of strategies")
    given = parser.parse_args(arguments)
    schedule = CronSchedule(cron=given.cron, timezone="UTC")
    outcome = json.dumps(asdict(deploy(given.root.resolve(), given.strategies, schedule, pool=given.pool)), indent=1)
    if given.answer:
        given.answer.write_text(outcome, encoding="utf-8")
    print(outcome)  # noqa: T201  the log of `tidegate up`


if __name__ == "__main__":
    main()
