"""The daily backup as a Prefect flow: look what was lost since the last one, take one, then look whether it would help."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE

from tidegate.backup.take import take_backup
from tidegate.backup.verify import compare_live, verify_backups
from tidegate.errors import BackupError
from tidegate.logs.starting import join_logging
from tidegate.settings.loading import load_settings
from tidegate.settings.settings import Settings


@flow(name="backup", flow_run_name="backup")
def backup(reason: str = "daily", live: bool = True) -> dict[str, Any]:
    """Take a backup and verify it; the run fails on damage, so that people are told.

    Args:
        reason: kept with the backup.
        live: compare the live installation with the backup before, and with the new one.

    Returns:
        backup, findings.

    Raises:
        BackupError: there is no new backup, or something is damaged.
    """
    lost = compare() if live else []
    taken = take(reason)
    findings = list(dict.fromkeys([*lost, *look(live)]))
    if findings:
        raise BackupError(
            f"damaged: {'; '.join(findings)[:800]}",
            next_step="`tidegate verify --live` names all of it, with what mends it",
        )
    return {"backup": taken, "findings": findings}


@task(name="compare with the backup before", cache_policy=NO_CACHE)
def compare() -> list[str]:
    """What was deleted or cut off since the newest backup: the next one knows only what is there then."""
    settings, root = _project()
    try:
        findings = compare_live(settings, root)
    except BackupError as error:  # a damaged backup keeps nobody from taking a new one
        return [error.what]
    for one in findings:
        get_run_logger().error("%s: %s; %s", one.where, one.what, one.mend)
    return [f"{one.where}: {one.what}" for one in findings]


@task(name="take a backup", task_run_name="take a backup", cache_policy=NO_CACHE, retries=2, retry_delay_seconds=60)
def take(reason: str) -> str:
    """Databases, models, bars, records, configuration, and the keys apart."""
    settings, root = _project()
    record = take_backup(settings, root, reason=reason, actor=_actor())
    for warning in record.warnings:
        get_run_logger().warning("%s", warning)
    get_run_logger().info("backup %s: %d files, %d bytes new", record.id, record.files, record.added_bytes)
    return record.id


@task(name="verify", task_run_name="verify", cache_policy=NO_CACHE)
def look(live: bool) -> list[str]:
    """Look at the repository and the newest backup as if it were needed now."""
    settings, root = _project()
    verdict = verify_backups(settings, root, actor=_actor(), with_live=live)
    for one in verdict.findings:
        get_run_logger().error("%s: %s; %s", one.where, one.what, one.mend)
    return [f"{one.where}: {one.what}" for one in verdict.findings]


def _project() -> tuple[Settings, Path]:
    root = Path(os.environ.get("TIDEGATE_ROOT", ".")).resolve()
    settings = load_settings(root)
    join_logging(settings.logs, "backup")
    return settings, root


def _actor() -> str:
    return f"prefect flow run {runtime.flow_run.name or 'without server'}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the flow from a shell: `python -m flows.backup [--reason TEXT]`."""
    parser = argparse.ArgumentParser(prog="python -m flows.backup", description=main.__doc__)
    parser.add_argument("--reason", default="by hand")
    backup(parser.parse_args(arguments).reason)


if __name__ == "__main__":
    main()
