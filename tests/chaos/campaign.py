"""The faults, how each is injected into an operation that runs, and what one injection came to."""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from tests.chaos.invariants import after_fault, after_halt, after_rerun
from tests.chaos.operations import OPERATIONS, Act
from tests.chaos.processes import Clocked, Forked
from tests.chaos.stage import Stage

from tidegate.errors import TidegateError

LIMIT_S: Final = 240.0
_DAY_S: Final = 86_400
CALLS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "to a server": "sendto",
        "to the disk": "fsync,fdatasync,rename,renameat,renameat2,link,linkat,mkdir,mkdirat,unlink,unlinkat,rmdir",
        "of a file": "write,pwrite64,openat",
    }
)
"""System calls at which processes are killed: what is known to others, what is durable, and everything that is written."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of the campaign.

    Attributes:
        kind: of `KINDS`.
        operation: of `OPERATIONS`.
        seed: draws when and how much.
    """

    kind: str
    operation: str
    seed: int


@dataclass(frozen=True, slots=True)
class Injected:
    """What came of it, before anything was asked again.

    Attributes:
        took: whether the fault was there while the operation ran; otherwise it is not counted.
        how: what was done, for people.
        code: exit code; minus a signal's number; None where it had to be ended.
        said: the end of what the operation said.
    """

    took: bool
    how: str
    code: int | None
    said: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One fault from its beginning to its end, for the report."""

    kind: str
    operation: str
    seed: int
    took: bool
    how: str
    code: int | None
    rerun: tuple[int | None, ...]
    broken: tuple[str, ...]
    said: str
    seconds: float
    rerun_s: float
    halted: bool = False

    @property
    def is_well(self) -> bool:
        """Whether everything held and the rerun completed."""
        return not self.broken and bool(self.rerun) and self.rerun[-1] == 0

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {"is_well": self.is_well}


@dataclass(frozen=True, slots=True)
class Usual:
    """What an operation is like without a fault.

    Attributes:
        seconds: that it takes.
        calls: of each group, how many each of its processes makes at most.
    """

    seconds: float
    calls: Mapping[str, int]


def measure(stage: Stage, operation: str) -> Usual:
    """Ask an operation without a fault, traced.

    Raises:
        RuntimeError: it fails, or leaves something broken.
    """
    act = prepared(stage, operation)
    running = Forked(stage, act.command, trace=",".join(CALLS.values()))
    code = running.wait(LIMIT_S)
    seconds = time.monotonic() - running.began
    broken = after_rerun(stage, act) if code == 0 else []
    if code != 0 or broken:
        raise RuntimeError(f"{operation} fails without a fault: {code} {broken} {running.said()[-2000:]}")
    counts: dict[str, dict[str, int]] = {group: {} for group in CALLS}
    for line in running.log.read_text(errors="replace").splitlines():
        process, _, call = line.partition(" ")
        name = call.strip().partition("(")[0]
        for group, names in CALLS.items():
            if name in names.split(","):
                # strace counts each call of each process for itself.
                counts[group][f"{process} {name}"] = counts[group].get(f"{process} {name}", 0) + 1
    # Half of it is strace's; the first rerun corrects it.
    return Usual(seconds / 2, {group: max(found.values()) for group, found in counts.items() if found})


def prepared(stage: Stage, operation: str) -> Act:
    """An operation ready to be asked."""
    act = OPERATIONS[operation](stage)
    rows = len(stage.promoter.ledger.rows(act.strategy))
    return replace(act, rows=rows)


def inject(stage: Stage, fault: Fault, usual: Usual) -> Record:
    """Prepare the operation, disturb it, look, ask again, look again."""
    began, rng = time.monotonic(), random.Random(f"{fault.kind} {fault.operation} {fault.seed}")  # noqa: S311  repeatable
    act = prepared(stage, fault.operation)
    found = KINDS[fault.kind](stage, act, rng, usual)
    heal(stage)
    broken = [f"after the fault: {one}" for one in _looked(after_fault, stage, act)]
    codes: list[int | None] = []
    said = found.said
    # Nobody who comes too early for a lease or a lock is told more than to come again.
    for _ in range(2):
        running = Forked(stage, act.command)
        codes.append(running.wait(LIMIT_S))
        if codes[-1] == 0:
            break
        said += f"\n--- asked again: {running.said()[-1500:]}"
        time.sleep(1)
    rerun_s = time.monotonic() - running.began
    halted = stage.promoter.ledger.state(act.strategy).halt is not None
    if codes[-1] == 0:
        broken += [f"after the rerun: {one}" for one in _looked(after_halt if halted else after_rerun, stage, act)]
    if halted:
        stage.go_on(act.after or 0)
    seconds = round(time.monotonic() - began, 1)
    return Record(**asdict(fault), took=found.took, how=found.how, code=found.code, rerun=tuple(codes), broken=tuple(broken), said=said, seconds=seconds, rerun_s=round(rerun_s, 2), halted=halted)  # fmt: skip


def _looked(look: Callable[[Stage, Act], list[str]], stage: Stage, act: Act) -> list[str]:
    try:
        return look(stage, act)
    except (TidegateError, OSError) as error:
        return [f"could not be looked at: {type(error).__name__}: {error}"]


def heal(stage: Stage) -> None:
    """Bring back what a fault has taken; the installation itself is not touched."""
    (stage.disk / "filler").unlink(missing_ok=True)
    stage.postgresql.start()
    stage.mlflow.go_on()
    stage.mlflow.start()
    deadline = time.monotonic() + 60
    while True:
        try:
            stage.tracking.versions("nothing")
        except TidegateError:
            # The server's own connections to a database that was away.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def _moment(rng: random.Random, usual: Usual) -> float:
    return rng.uniform(0.05, 0.95) * usual.seconds


def _ended(running: Forked | Clocked, how: str, *, took: bool) -> Injected:
    code = running.wait(LIMIT_S)
    return Injected(took, how, code, running.said()[-1500:])


def _killed_in_time(stage: Stage, act: Act, rng: random.Random, usual: Usual) -> Injected:
    running, after_s = Forked(stage, act.command), _moment(rng, usual)
    time.sleep(after_s)
    took = running.kill()
    return _ended(running, f"SIGKILL to the group after {after_s:.2f} s", took=took)


def _killed_at_call(stage: Stage, act: Act, rng: random.Random, usual: Usual) -> Injected:
    group = rng.choice(sorted(usual.calls))
    when = rng.randint(1, usual.calls[group])
    names = CALLS[group]
    running = Forked(stage, act.command, inject=f"inject={names}:signal=KILL:when={when}", trace=names)
    found = _ended(running, f"SIGKILL at call {when} {group}", took=False)
    return replace(
        found, took=found.code == -signal.SIGKILL or "killed by SIGKILL" in running.log.read_text(errors="replace")
    )


def _full_disk(stage: Stage, act: Act, rng: random.Random, _usual: Usual) -> Injected:
    left_kb = rng.choice((0, 4, 16, 64, 256, 1024))
    _fill(stage.disk, left_kb * 1024)
    running = Forked(stage, act.command)
    found = _ended(running, f"the disk has {left_kb} kB left", took=False)
    return replace(found, took="No space left" in found.said or found.code != 0 or left_kb == 0)


def _fill(folder: Path, left: int) -> None:
    room = os.statvfs(folder)
    size = max(0, room.f_bavail * room.f_bsize - left)
    with (folder / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, size))


def _postgresql_gone(stage: Stage, act: Act, rng: random.Random, usual: Usual) -> Injected:
    running, after_s = Forked(stage, act.command), _moment(rng, usual)
    away_s = rng.choice((0.0, 1.0, LIMIT_S))
    time.sleep(after_s)
    took = running.is_running
    stage.postgresql.crash()
    if away_s < LIMIT_S:
        time.sleep(away_s)
        stage.postgresql.start()
    back = "until the operation ended" if away_s == LIMIT_S else f"for {away_s:g} s"
    return _ended(running, f"PostgreSQL crashes after {after_s:.2f} s, {back}", took=took)


def _mlflow_killed(stage: Stage, act: Act, rng: random.Random, usual: Usual) -> Injected:
    running, after_s = Forked(stage, act.command), _moment(rng, usual)
    time.sleep(after_s)
    took = running.is_running
    stage.mlflow.kill()
    return _ended(running, f"MLflow is killed after {after_s:.2f} s", took=took)


def _mlflow_hangs(stage: Stage, act: Act, rng: random.Random, usual: Usual) -> Injected:
    running, after_s = Forked(stage, act.command), _moment(rng, usual)
    time.sleep(after_s)
    took = running.is_running
    stage.mlflow.hang()
    hangs_s = rng.uniform(2, 12)
    code = running.wait(hangs_s) if rng.random() < 0.3 else None
    if code is None and running.is_running:
        time.sleep(hangs_s)
    stage.mlflow.go_on()
    return _ended(running, f"MLflow answers nothing after {after_s:.2f} s, for {hangs_s:.0f} s", took=took)


@contextmanager
def _without_store(stage: Stage) -> Iterator[None]:
    store, away = stage.mlflow.artifacts, stage.mlflow.artifacts.with_name("away")
    store.rename(away)
    store.touch()  # a file in its place: MLflow makes a folder that is missing
    try:
        yield
    finally:
        store.unlink()
        away.rename(store)


def _artifacts_gone(stage: Stage, act: Act, rng: random.Random, usual: Usual) -> Injected:
    after_s = rng.choice((0.0, _moment(rng, usual)))
    running = Forked(stage, act.command)
    time.sleep(after_s)
    took = running.is_running
    with _without_store(stage):
        return _ended(running, f"the artifact store is gone after {after_s:.2f} s", took=took)


def _artifact_lost(stage: Stage, act: Act, rng: random.Random, _usual: Usual) -> Injected:
    lost = _bundle(stage, act.version or act.before or 0)
    file = rng.choice(sorted(path for path in lost.iterdir() if path.is_file()))
    away = stage.folder / "lost"
    shutil.move(file, away)
    try:
        found = _ended(Forked(stage, act.command), f"{file.name} of the bundle is lost", took=True)
    finally:
        shutil.move(away, file)
    return found


def _bundle(stage: Stage, version: int) -> Path:
    """Where the bundle of a version of the small strategy lies among the artifacts."""
    wanted = (stage.bundles[version] / "manifest.json").read_bytes()
    paths = stage.mlflow.artifacts.rglob("manifest.json")
    return next(path.parent for path in paths if path.read_bytes() == wanted)


def _clock_jumps(ahead_s: int, words: str) -> Callable[[Stage, Act, random.Random, Usual], Injected]:
    def jump(stage: Stage, act: Act, rng: random.Random, usual: Usual) -> Injected:
        # It imports its libraries first, which takes a good part of the time on a quick machine and most of it on a busy one.
        after_s = rng.choice((0.0, _moment(rng, usual) + rng.uniform(0.3, 2.0)))
        running = Clocked(stage, act.command)
        if after_s == 0.0:
            running.ahead(ahead_s)
        time.sleep(after_s)
        took = running.is_running
        running.ahead(ahead_s)
        return _ended(running, f"the clock jumps {words} after {after_s:.2f} s", took=took)

    return jump


def _two_at_once(stage: Stage, act: Act, rng: random.Random, usual: Usual) -> Injected:
    first = Forked(stage, act.command, name="one")
    apart_s = rng.choice((0.0, 0.1, _moment(rng, usual)))
    time.sleep(apart_s)
    second = Forked(stage, act.command, name="two")
    both = first.is_running
    codes = [one.wait(LIMIT_S) for one in (first, second)]
    said = f"{first.said()[-700:]}\n--- the other: {second.said()[-700:]}"
    return Injected(both, f"twice, {apart_s:.2f} s apart: exit codes {codes}", min(codes, key=str), said)


KINDS: Final[Mapping[str, Callable[[Stage, Act, random.Random, Usual], Injected]]] = MappingProxyType(
    {
        "killed at a call": _killed_at_call,
        "killed in time": _killed_in_time,
        "full disk": _full_disk,
        "PostgreSQL gone": _postgresql_gone,
        "MLflow killed": _mlflow_killed,
        "MLflow hangs": _mlflow_hangs,
        "artifact store gone": _artifacts_gone,
        "artifact lost": _artifact_lost,
        "clock 40 days ahead": _clock_jumps(40 * _DAY_S, "40 days ahead"),
        "clock 2 days back": _clock_jumps(-2 * _DAY_S, "2 days back"),
        "two at once": _two_at_once,
    }
)
"""What can be injected. Each returns whether it was there while the operation ran."""
ONLY: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({"artifact lost": ("promote", "deploy", "backup")})
"""Faults that mean something to some operations only."""
_KILLS: Final = ("killed at a call", "killed in time")


def plan(faults: int, seed: int) -> list[Fault]:
    """Faults of a campaign: each kind once first, every second one after that is a kill.

    Raises:
        ValueError: fewer than there are kinds.
    """
    if faults < len(KINDS):
        raise ValueError(f"a campaign has at least {len(KINDS)} faults, one of each kind")
    rng, made = random.Random(seed), list[Fault]()  # noqa: S311  repeatable
    turns = {kind: rng.sample(ONLY.get(kind, tuple(OPERATIONS)), len(ONLY.get(kind, OPERATIONS))) for kind in KINDS}
    kinds = list(KINDS)
    while len(made) < faults:
        number = len(made)
        kind = kinds[number] if number < len(kinds) else _KILLS[number // 2 % 2] if number % 2 else rng.choice(kinds)
        # Every operation in turn, so that a short campaign leaves none out.
        operation = turns[kind][sum(one.kind == kind for one in made) % len(turns[kind])]
        made.append(Fault(kind, operation, seed + number))
    return made


def run(stage: Stage, faults: list[Fault], limit_s: float, told: Callable[[Record], None]) -> list[Record]:
    """Inject faults one after another, as many as fit into the time."""
    began, usual, records = time.monotonic(), dict[str, Usual](), list[Record]()
    for fault in faults:
        if time.monotonic() - began > limit_s:
            break
        if fault.operation not in usual:
            usual[fault.operation] = measure(stage, fault.operation)
        records.append(inject(stage, fault, usual[fault.operation]))
        if records[-1].rerun[-1] == 0:
            usual[fault.operation] = replace(usual[fault.operation], seconds=records[-1].rerun_s)
        told(records[-1])
    return records
