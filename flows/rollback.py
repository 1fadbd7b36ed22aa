"""A rollback by a person's word as a Prefect flow: go back, see that every serving process follows, report."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from prefect import flow, get_run_logger, runtime, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tidegate.logs.starting import join_logging
from tidegate.notify.notifier import Notifier
from tidegate.registry.events import EventLedger
from tidegate.registry.opening import open_promoter
from tidegate.registry.repair import repair
from tidegate.rollback.act import roll_back
from tidegate.rollback.page import markdown
from tidegate.rollback.procedure import ActReport, open_procedure, rules_of
from tidegate.settings.loading import load_settings
from tidegate.settings.settings import Settings


@flow(name="rollback", flow_run_name="rollback {strategy}")
def rollback(
    strategy: str, reason: str, leaving: int | None = None, to: int | None = None, keep: bool = False
) -> dict[str, object]:
    """Go back to the last good version, or halt where there is none, and require that every serving process follows.

    Args:
        strategy: the registered model's name.
        reason: why; goes into the ledger.
        leaving: the version to leave; nothing is done when production is another one.
        to: the version to go to; empty: the last good one.
        keep: do not bar the version that is left.

    Returns:
        message, changed, incident, verdict.

    Raises:
        NotVerified: a serving process does not follow; the rollback stands.
    """
    repair_ledger(strategy)
    report = go_back(strategy, reason, leaving, to, keep)
    show(strategy, markdown(strategy, report), report.message)
    if report.verification is not None:
        report.verification.require()
    verdict = None if report.verification is None else report.verification.verdict
    return {"message": report.message, "changed": report.changed, "incident": report.incident, "verdict": verdict}


@task(name="repair", task_run_name="repair", cache_policy=NO_CACHE)
def repair_ledger(strategy: str) -> None:
    """Finish or undo what a crash left open."""
    for alert in repair(open_promoter(_settings()), strategy).alerts:
        get_run_logger().warning("%s", alert)


@task(name="go back and verify", task_run_name="go back and verify", cache_policy=NO_CACHE)
def go_back(strategy: str, reason: str, leaving: int | None, to: int | None, keep: bool) -> ActReport:
    """Move the aliases, ask every serving process, open the incident, tell people."""
    settings = _settings()
    join_logging(settings.logs, "rollback")
    promoter = open_promoter(settings)
    notifier = Notifier(settings, EventLedger(promoter.ledger.database))
    report = roll_back(
        open_procedure(settings, notifies=notifier, promoter=promoter),
        strategy,
        actor=f"prefect flow run {runtime.flow_run.name or 'without server'}",
        reason=reason,
        watch_minutes=rules_of(settings, strategy).watch_minutes,
        leaving=leaving,
        to=to,
        keep=keep,
    )
    get_run_logger().info("%s", report.message)
    return report


@task(name="report", task_run_name="report", cache_policy=NO_CACHE)
def show(strategy: str, text: str, message: str) -> None:
    """Show what every serving process did."""
    create_markdown_artifact(text, key=f"rollback-{strategy}", description=message)


def _settings() -> Settings:
    return load_settings(Path(os.environ.get("TIDEGATE_ROOT", ".")).resolve())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the flow from a shell: `python -m flows.rollback STRATEGY --reason TEXT [--leaving N] [--to N] [--keep]`."""
    parser = argparse.ArgumentParser(prog="python -m flows.rollback", description=main.__doc__)
    parser.add_argument("strategy")
    parser.add_argument("--reason", required=True)
    parser.add_argument("--leaving", type=int)
    parser.add_argument("--to", type=int)
    parser.add_argument("--keep", action="store_true")
    chosen = parser.parse_args(arguments)
    rollback(chosen.strategy, chosen.reason, chosen.leaving, chosen.to, chosen.keep)


if __name__ == "__main__":
    main()
