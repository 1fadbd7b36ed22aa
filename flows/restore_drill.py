"""The weekly restore drill as a Prefect flow: restore into an empty place, start it, ask it, time it."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, runtime, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from tidegate.backup.drill import drill
from tidegate.errors import BackupError
from tidegate.logs.starting import join_logging
from tidegate.settings.loading import load_settings


@flow(name="restore-drill", flow_run_name="restore drill")
def restore_drill() -> dict[str, Any]:
    """Restore the newest backup for practice; the run fails unless every kind of loss is mended within its target.

    Raises:
        BackupError: a case failed, or took longer than its target.
    """
    content = practise()
    if not content["passed"]:
        told = [f"{one['case']} {one['verdict']} {one['fault']}".strip() for one in content["cases"]]
        told += [f"not recorded: {content['unrecorded']}"] if "unrecorded" in content else []
        raise BackupError(f"the restore drill did not pass: {'; '.join(told)}", next_step="see docs/backups.md")
    return content


@task(name="restore, start, ask", cache_policy=NO_CACHE)
def practise() -> dict[str, Any]:
    """The drill; its seconds are an artifact."""
    root = Path(os.environ.get("TIDEGATE_ROOT", ".")).resolve()
    settings = load_settings(root)
    join_logging(settings.logs, "restore-drill")
    actor = f"prefect flow run {runtime.flow_run.name or 'without server'}"
    content = drill(settings, root, actor=actor).content()
    get_run_logger().info(
        "restore of backup %s: %s", content["backup"], "passed" if content["passed"] else "not passed"
    )
    create_table_artifact(content["cases"], key="restore-drill", description=f"Restore of backup {content['backup']}")
    return content


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the flow from a shell: `python -m flows.restore_drill`."""
    argparse.ArgumentParser(prog="python -m flows.restore_drill", description=main.__doc__).parse_args(arguments)
    restore_drill()


if __name__ == "__main__":
    main()
