"""What one retraining is asked to do, and where its files go."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tidegate.bars.bars import iso, parse_time
from tidegate.errors import ConfigurationError
from tidegate.gates.evaluation import require_sane
from tidegate.registry.retrains import retrain_key
from tidegate.settings.settings import Settings
from tidegate.strategy.gates import Gates
from tidegate.strategy.policies import built_in, named_policies
from tidegate.strategy.strategy import Strategy

# Stages in order, with the share of the whole that each takes roughly, for the time left.
STAGES = {
    "bars": 6,
    "features and labels": 4,
    "train and test": 50,
    "checks": 14,
    "gates": 1,
    "record": 12,
    "promotion": 4,
    "report": 4,
}


@dataclass(slots=True)
class Stopwatch:
    """Seconds by stage; the progress of those who want none shown."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def step(self, done: int, of: int, what: str) -> None:
        """Steps are not timed."""


@dataclass(frozen=True, slots=True)
class Job:
    """One retraining of one strategy.

    Attributes:
        strategy: of one model (see `Strategy.single`).
        settings: of the installation.
        root: the project's folder; relative paths of sources are taken from it.
        as_of_ms: UTC ms; no bar that closed later is looked at.
        now_ms: UTC ms, >= as_of_ms; the market's today, for the record: the clock's time, or `as_of_ms` where a simulated market, which
            has no today of its own, is looked at from a later time.
        actor: who asked for it.
        watch: progress and timings.
        started_ms: UTC ms by the clock, which names the run's folder; by default `now_ms`.
        policies: gate policies by name, for what each would say.
    """

    strategy: Strategy
    settings: Settings
    root: Path
    as_of_ms: int
    now_ms: int
    actor: str
    watch: Stopwatch = field(default_factory=Stopwatch)
    started_ms: int | None = None
    policies: Mapping[str, Gates] = field(default_factory=built_in)

    @property
    def month(self) -> str:
        """Calendar month of `as_of_ms`, such as 2026-11."""
        return datetime.fromtimestamp(self.as_of_ms / 1000, UTC).strftime("%Y-%m")

    @property
    def key(self) -> str:
        """Retrain key: strategy and month."""
        return retrain_key(self.strategy.name, self.month)

    @property
    def folder(self) -> Path:
        """Folder of the run's files."""
        started_ms = self.now_ms if self.started_ms is None else self.started_ms
        started = datetime.fromtimestamp(started_ms / 1000, UTC).strftime("%Y%m%dT%H%M%S")
        return self.settings.paths.runs / self.strategy.name / f"{self.month}-{started}-{started_ms % 1000:03d}"


def make_job(
    strategy: Strategy,
    settings: Settings,
    root: Path,
    *,
    as_of: str | None = None,
    actor: str = "command line",
    watch: Stopwatch | None = None,
) -> Job:
    """A job that starts now.

    Args:
        strategy: of one model.
        settings: of the installation.
        root: the project's folder.
        as_of: ISO 8601; empty for now. A simulated market has no today, so that any time is taken as given.
        actor: who asked for it.
        watch: progress; silent by default.

    Raises:
        ConfigurationError: `as_of` cannot be read, or is in the future of a real market; or a gate policy's file is wrong.
    """
    started_ms = time.time_ns() // 1_000_000
    as_of_ms = started_ms if as_of is None else parse_time(as_of)
    if as_of_ms > started_ms and strategy.kind != "simulated":
        raise ConfigurationError(
            f"{strategy.name}: the time to look from is in the future",
            expected=f"at most now, {iso(started_ms)}",
            actual=iso(as_of_ms),
            setting="as_of",
            next_step="name a time that has come, or leave it out for now",
        )
    require_sane(strategy.gates)
    now_ms = max(started_ms, as_of_ms)
    policies = named_policies(settings.paths.strategies.parent / "policies")
    return Job(strategy, settings, root, as_of_ms, now_ms, actor, watch or Stopwatch(), started_ms, policies)


def describe_job(job: Job) -> str:
    """A job in one line, for logs and run names."""
    return f"{job.key} as of {iso(job.as_of_ms)}"
