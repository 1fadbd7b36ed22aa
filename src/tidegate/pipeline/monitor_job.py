"""What one monitoring run is asked to do, and where its files go."""

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, get_args

from tidegate.bars.bars import iso
from tidegate.bars.interval import DAY_MS
from tidegate.errors import ConfigurationError
from tidegate.pipeline.job import Job, make_job
from tidegate.rollback.procedure import Notifies
from tidegate.settings.settings import Settings
from tidegate.strategy.strategy import Strategy

Period = Literal["daily", "weekly", "monthly"]
PERIODS: Final[tuple[Period, ...]] = get_args(Period)


@dataclass(frozen=True, slots=True)
class GatherJob(Job):
    """A job whose files lie beside those of retrains, not among them."""

    place: Path = Path()

    @property
    def folder(self) -> Path:
        """Folder of the run's files: the same for the same time, so that a rerun replaces its own."""
        return self.place


@dataclass(frozen=True, slots=True)
class MonitorJob:
    """One monitoring run of one model.

    Attributes:
        job: strategy, settings, `as_of_ms` and who asked for it.
        period: daily; weekly and monthly runs do the same and add their rows to the checklist.
        notifies: tells people; None tells nobody.
        verify_s: seconds for serving processes to follow a rollback; None: `watch.verify_s`.
    """

    job: GatherJob
    period: Period = "daily"
    notifies: Notifies | None = None
    verify_s: float | None = None

    @property
    def strategy(self) -> Strategy:
        """Whose model it is."""
        return self.job.strategy

    @property
    def settings(self) -> Settings:
        """Of the installation."""
        return self.job.settings

    @property
    def by_clock(self) -> bool:
        """Whether the time at which a question was asked is near its bar's: not with a clock of bars, nor in a simulated market."""
        return self.settings.serving.clock == "system" and self.strategy.kind == "real"

    @property
    def as_of(self) -> int:
        """UTC ms; no bar that closed later is looked at."""
        return self.job.as_of_ms

    @property
    def subject(self) -> str:
        """Names the run in the event ledger."""
        return f"{self.period}/{iso(self.as_of)}"

    @property
    def folder(self) -> Path:
        """Folder of the run's files."""
        return self.job.folder


def monitor_jobs(
    strategy: Strategy,
    settings: Settings,
    root: Path,
    *,
    as_of: str | None = None,
    period: str = "daily",
    actor: str = "command line",
    notifies: Notifies | None = None,
) -> list[MonitorJob]:
    """One job for each model of a strategy.

    Args:
        strategy: as its file describes it.
        settings: of the installation.
        root: the project's folder.
        as_of: ISO 8601; None: the end of the newest UTC day that has ended, so that a run later on the same day is the same run.
        period: `daily`, `weekly` or `monthly`.
        actor: who asked for it.
        notifies: tells people.

    Raises:
        ConfigurationError: the period is none, or `as_of` cannot be read or lies in the future of a real market.
    """
    chosen = next((known for known in PERIODS if known == period), None)
    if chosen is None:
        raise ConfigurationError("the period of a monitoring run", expected=", ".join(PERIODS), actual=period)
    today = iso(time.time_ns() // 1_000_000 // DAY_MS * DAY_MS)
    made = make_job(strategy, settings, root, as_of=as_of or today, actor=actor)
    return [monitor_job(_of(made, single), chosen, notifies=notifies) for single in strategy.single()]


def monitor_job(job: Job, period: Period = "daily", *, notifies: Notifies | None = None) -> MonitorJob:
    """A monitoring run at the time of a job."""
    at = datetime.fromtimestamp(job.as_of_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    place = job.settings.paths.runs / job.strategy.name / "monitoring" / f"{period}-{at}"
    gather = GatherJob(
        job.strategy,
        job.settings,
        job.root,
        job.as_of_ms,
        job.now_ms,
        job.actor,
        job.watch,
        job.started_ms,
        job.policies,
        place=place,
    )
    return MonitorJob(gather, period, notifies)


def _of(job: Job, strategy: Strategy) -> Job:
    return replace(job, strategy=strategy)
