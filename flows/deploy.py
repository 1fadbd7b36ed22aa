"""Tells Prefect what to run when: for each strategy the daily bars, the monthly retrain, the daily, weekly and monthly monitoring, the monthly proposal, and a rollback that people start.

All run in one work pool. Retrains wait for each other in a queue of their own, so that nothing else waits for a training. `tidegate up` runs `python -m flows.deploy` once its Prefect server answers and before its worker starts. Running it again
changes nothing that is right already, and never what people set in Prefect: whether a deployment or its schedule is paused.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import (
    DeploymentScheduleCreate,
    DeploymentScheduleUpdate,
    DeploymentUpdate,
)
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags, FlowRunFilter
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions, FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.states import Crashed
from prefect.utilities.callables import parameter_schema

from flows.automations import TAG, ensure_automations, ensure_silent_ends
from flows.catching_up import Refuses, Rule, skip_missed_runs
from flows.work_pools import TRAINING, ensure_pool, job_variables, outlives_worker, working_folder
from tidegate.services.deployments import BACKUPS, BARS, DAILY, DRILLS, MONTHLY, MONTHS, PROPOSALS, WEEKLY
from tidegate.services.worker import POOL, pool_name
from tidegate.settings.loading import load_settings
from tidegate.settings.work_pool import WorkPool

SLUG = "retrain"
_ENTER = "prefect.deployments.steps.set_working_directory"
PARAMETER = "strategy"
DEFAULT = "default"

Schedule = CronSchedule | IntervalSchedule


@dataclass(frozen=True)
class Plan:
    """One deployment that each strategy has.

    Args:
        entrypoint: `file:function` of the flow, which takes the strategy's name as its parameter `strategy`.
        cron: when it runs, in the schedules' time zone; None: when people start it.
        says: its description; `{}` is the strategy.
        suffix: of the deployment's name behind the strategy's.
        parameters: besides the strategy.
        queue: of the work pool.
    """

    entrypoint: str
    cron: str | None
    says: str
    suffix: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    queue: str = DEFAULT


RETRAIN = Plan(
    "flows/retrain.py:retrain",
    MONTHLY,
    "Retrains {}, decides at the gates, promotes or refuses.",
    queue=TRAINING,
)
_LOOKS = "Compares what {} does live with its promise, judges by the rules, acts, and reports"
PLANS = (
    RETRAIN,
    Plan("flows/ingest.py:ingest", BARS, "Fetches, validates and stores the bars of {}."),
    Plan("flows/monitor.py:monitor", DAILY, f"{_LOOKS}, every day.", "", {"period": "daily"}),
    Plan("flows/monitor.py:monitor", WEEKLY, f"{_LOOKS}, with the week's checks.", "-weekly", {"period": "weekly"}),
    Plan("flows/monitor.py:monitor", MONTHS, f"{_LOOKS}, with the month's checks.", "-monthly", {"period": "monthly"}),
    Plan("flows/propose.py:propose", PROPOSALS, "Says whether what was tried for {} speaks for another configuration."),
    Plan("flows/rollback.py:rollback", None, "Takes {} back to the last good version; say why in `reason`."),
)
INSTALLATION = "installation"
OF_INSTALLATION = (
    Plan("flows/backup.py:backup", BACKUPS, "Backs the {} up, and looks whether the backup would help."),
    Plan("flows/restore_drill.py:restore_drill", DRILLS, "Restores the {} for practice, and times it."),
)
"""Deployed once, where backups are set up; these flows take no strategy."""


@dataclass
class Outcome:
    """What was done; `tidegate.services.deployments.Deployed` reads it."""

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    without_strategy: list[str] = field(default_factory=list)
    skipped_runs: int = 0
    crashed_runs: int = 0
    not_caught_up: list[str] = field(default_factory=list)


def deploy(
    root: Path,
    strategies: Sequence[str],
    schedule: Schedule,
    *,
    pool: str = POOL,
    plans: Sequence[Plan] = PLANS,
    webhook_urls: Sequence[str] = (),
    of_installation: Sequence[Plan] = (),
    time_zone: str = "UTC",
    rule: Refuses | None = None,
    work_pool: WorkPool | None = None,
) -> Outcome:
    """Create or update the work pool and the deployments, and tidy up after a time without servers.

    Args:
        root: the project's folder: working folder of every run, and what entrypoints are relative to.
        strategies: names of strategies.
        schedule: when each is trained.
        pool: name of the work pool.
        plans: which deployments each strategy has.
        webhook_urls: whom Prefect tells of runs that fail or do not start; none: nobody.
        of_installation: deployments that belong to no strategy.
        time_zone: of all schedules but the trainings', which have their own.
        rule: says which missed trainings are not caught up; None: the newest one always is.
        work_pool: where runs run; None: as processes of the worker.

    Raises:
        ValueError: a flow does not take a strategy.
        ConfigurationError: the work pool cannot be had.
        OSError, ImportError: a flow is not there, or cannot be imported.
    """
    # A flow that cannot be imported is refused now, not in the night of the first of the month.
    flows = {plan.entrypoint: _flow(root, plan.entrypoint) for plan in plans}
    outcome, where = Outcome(), work_pool or WorkPool()
    with get_client(sync_client=True) as client:
        ensure_pool(client, pool, where)
        for strategy in strategies:
            for plan in plans:
                flow, name = flows[plan.entrypoint], f"{strategy}{plan.suffix}"
                wanted = description(root, strategy, flow, plan, pool=pool, work_pool=where)
                when = schedule if plan is RETRAIN else _cron(plan, time_zone)
                done = ensure_deployment(client, flow, name, wanted, when)
                getattr(outcome, done).append(f"{flow.name}/{name}")
        for plan in of_installation:
            flow = load_flow_from_entrypoint(str(root / plan.entrypoint), use_placeholder_flow=False)
            wanted = description(root, INSTALLATION, flow, plan, pool=pool, work_pool=where) | {"parameters": {}}
            done = ensure_deployment(client, flow, INSTALLATION, wanted, _cron(plan, time_zone))
            getattr(outcome, done).append(f"{flow.name}/{INSTALLATION}")
        ours = client.read_deployments(deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG])))
        gone = set()
        for deployment in ours:
            # A container may well run on while its worker was started anew; of a dead one the automation below tells.
            outcome.crashed_runs += 0 if outlives_worker(where) else close_cut_off_runs(client, deployment)
            strategy = deployment.parameters.get(PARAMETER, deployment.name)
            refuses = rule if deployment.entrypoint == RETRAIN.entrypoint else None
            skipped, why = skip_missed_runs(client, _runs(client, deployment, ["SCHEDULED"]), strategy, refuses)
            outcome.skipped_runs += skipped
            outcome.not_caught_up += [] if why is None else [f"{strategy}: {why}"]
            gone |= set() if strategy in {*strategies, INSTALLATION} else {strategy}
        outcome.without_strategy = sorted(gone)
        ensure_automations(client, webhook_urls)
        ensure_silent_ends(client, wanted=outlives_worker(where))
    return outcome


def _flow(root: Path, entrypoint: str) -> Flow[..., Any]:
    flow: Flow[..., Any] = load_flow_from_entrypoint(str(root / entrypoint), use_placeholder_flow=False)
    if PARAMETER not in parameter_schema(flow).properties:
        raise ValueError(f"flow {entrypoint} must take the parameter {PARAMETER!r}")
    return flow


def _cron(plan: Plan, time_zone: str) -> Schedule | None:
    return None if plan.cron is None else CronSchedule(cron=plan.cron, timezone=time_zone)


def description(
    root: Path, strategy: str, flow: Flow[..., Any], plan: Plan, *, pool: str, work_pool: WorkPool
) -> dict[str, Any]:
    """Everything about a deployment that is ours to decide, by the name of Prefect's field."""
    return {
        "description": plan.says.format(strategy),
        "parameters": {PARAMETER: strategy, **plan.parameters},
        "tags": [TAG, strategy],
        "entrypoint": plan.entrypoint,
        # The code is where it is, in the project's folder or in the image: no copy, no git remote.
        "pull_steps": [{_ENTER: {"directory": working_folder(work_pool, root)}}],
        "job_variables": job_variables(work_pool, root),
        "parameter_openapi_schema": parameter_schema(flow).model_dump_for_openapi(),
        "enforce_parameter_schema": True,
        "work_pool_name": pool,
        "work_queue_name": plan.queue,
        # A second run of the same is refused, not queued: it would do the same again.
        "concurrency_options": ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
    }


def ensure_deployment(
    client: SyncPrefectClient, flow: Flow[..., Any], name: str, wanted: dict[str, Any], schedule: Schedule | None
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
            schedules=[] if schedule is None else [DeploymentScheduleCreate(schedule=schedule, slug=SLUG)],
            **wanted,
        )
        return "created"
    changes = _changes(found, wanted, schedule)
    if not changes:
        return "unchanged"
    # What is not named stays, above all `paused` and the schedule's `active`.
    client.update_deployment(found.id, DeploymentUpdate(**changes))
    return "updated"


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


def _changes(found: DeploymentResponse, wanted: dict[str, Any], schedule: Schedule | None) -> dict[str, Any]:
    """The fields that differ."""
    changes = {name: value for name, value in wanted.items() if getattr(found, name) != value}
    limit = found.global_concurrency_limit
    if limit is None or limit.limit != 1:
        changes["concurrency_limit"] = 1
    # What people may start only has no schedule of ours, and keeps one that people have given it.
    if schedule is not None and [(one.slug, one.schedule) for one in found.schedules] != [(SLUG, schedule)]:
        changes["schedules"] = [DeploymentScheduleUpdate(schedule=schedule, slug=SLUG)]
    return changes


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line; the answer is written to a file as JSON."""
    parser = argparse.ArgumentParser(prog="python -m flows.deploy", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(), help="the project's folder")
    parser.add_argument("--pool", help="name of the work pool; empty: by work_pool.type")
    parser.add_argument("--cron", default=MONTHLY, help="schedule, in prefect.time_zone")
    parser.add_argument("--answer", type=Path, help="file for the answer")
    parser.add_argument("strategies", nargs="*", help="names of strategies")
    given = parser.parse_args(arguments)
    root = given.root.resolve()
    settings = load_settings(root)
    zone = settings.prefect.time_zone
    schedule = CronSchedule(cron=given.cron, timezone=zone)
    whole = OF_INSTALLATION if settings.backup.repository else ()
    urls = settings.notify.webhook_urls
    done = deploy(
        root,
        given.strategies,
        schedule,
        pool=given.pool or pool_name(settings),
        webhook_urls=urls,
        of_installation=whole,
        time_zone=zone,
        rule=Rule(settings),
        work_pool=settings.work_pool,
    )
    outcome = json.dumps(asdict(done), indent=1)
    if given.answer:
        given.answer.write_text(outcome, encoding="utf-8")
    print(outcome)  # noqa: T201  the log of `tidegate up`


if __name__ == "__main__":
    main()
