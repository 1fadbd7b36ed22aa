"""Runs `python -m flows.deploy`, the only place that tells Prefect what to run when, as a child process."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tidegate.errors import ServiceError
from tidegate.services.process import Service
from tidegate.services.worker import flow_environment, pool_name
from tidegate.settings.settings import Settings

_LISTS = ("created", "updated", "unchanged", "without_strategy", "not_caught_up")
NAME = "deploy"
TITLE = "creating the deployments"
MONTHLY = "17 3 1 * *"
# Before everything that reads them.
BARS = "5 0 * * *"
# Monitoring looks at UTC days that have ended; the month's look comes before the month's training.
DAILY, WEEKLY, MONTHS = "20 0 * * *", "40 0 * * 1", "0 1 1 * *"
# After the day's monitoring and before the month's training; the drill when markets are closed.
BACKUPS, DRILLS = "30 2 * * *", "30 4 * * 0"
# A day after the trainings, which have logged their trials by then.
PROPOSALS = "0 6 2 * *"


@dataclass(frozen=True)
class Deployed:
    """What was done about the deployments.

    Args:
        created: deployments that are new, as `flow/name`.
        updated: deployments that were out of date.
        unchanged: deployments that were right already.
        without_strategy: strategies that have deployments and are not among those asked for; left alone.
        skipped_runs: missed scheduled runs that were cancelled, since a newer one catches up.
        crashed_runs: runs that a kill had left as running.
        not_caught_up: strategies whose missed training is not caught up, and why.
    """

    created: tuple[str, ...]
    updated: tuple[str, ...]
    unchanged: tuple[str, ...]
    without_strategy: tuple[str, ...]
    skipped_runs: int
    crashed_runs: int
    not_caught_up: tuple[str, ...] = ()


def service(
    settings: Settings, root: Path, logs: Path, strategies: Sequence[str], cron: str, inherited: Mapping[str, str]
) -> Service:
    """Describe the command. Its answer is read with `read_outcome` after it has ended.

    Args:
        settings: where the Prefect server is.
        root: the project's folder, which holds `flows/`.
        logs: folder of the log and of the answer.
        strategies: names of strategies.
        cron: the schedule, UTC.
        inherited: the caller's environment.

    Raises:
        ServiceError: the project has no flows.
    """
    if not (root / "flows" / "deploy.py").is_file():
        raise ServiceError(
            f"{root} holds no flows/deploy.py",
            next_step="run the command in the project's folder, or set TIDEGATE_ROOT",
        )
    answer = answer_file(logs)
    answer.unlink(missing_ok=True)
    options = ("--root", str(root), "--pool", pool_name(settings), "--cron", cron, "--answer", str(answer))
    return Service(
        name=NAME,
        title=TITLE,
        command=(sys.executable, "-m", "flows.deploy", *options, "--", *strategies),
        environment=flow_environment(settings, root, inherited),
        folder=root,
        log=logs / f"{NAME}.log",
        ready=lambda: True,
    )


def answer_file(logs: Path) -> Path:
    """Where the command leaves its answer."""
    return logs / "deployments.json"


def read_outcome(logs: Path) -> Deployed:
    """Read what the command did.

    Raises:
        ServiceError: it left no answer, or one that cannot be read.
    """
    try:
        content = json.loads(answer_file(logs).read_text(encoding="utf-8"))
        lists = {name: tuple(content[name]) for name in _LISTS}
        return Deployed(**lists, skipped_runs=int(content["skipped_runs"]), crashed_runs=int(content["crashed_runs"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ServiceError(
            f"{TITLE} left no readable answer in {answer_file(logs)}: {error!r}", next_step=f"see {logs / 'deploy.log'}"
        ) from error
