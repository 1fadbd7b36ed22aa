"""The restore drill: into an empty folder, start what was restored, ask it, and say how long each kind of loss takes to mend."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import SecretStr

from tidegate.backup.bundles import bundle_fault, signature_fault, verifier_of
from tidegate.backup.chains import Chains, read_chains, read_chains_of_file
from tidegate.backup.drill_servers import INSTANCE, mlflow_of, restored_settings, serving_of
from tidegate.backup.in_place import mend
from tidegate.backup.listing import Listed, list_backups
from tidegate.backup.lock import only_one
from tidegate.backup.manifest import BackupManifest, HeldVersion
from tidegate.backup.opening import open_repository
from tidegate.backup.places import Choice, DatabaseName, own_folder
from tidegate.backup.postgresql import Server
from tidegate.backup.recording import record
from tidegate.backup.restic import Restic
from tidegate.backup.restore import require_empty, restore_parts
from tidegate.errors import BackupError, ConfigurationError, TidegateError
from tidegate.model.bundle import ONNX, load_bundle
from tidegate.registry.database import Database
from tidegate.registry.state import StrategyState, derive
from tidegate.rollback.verification import Target, verify
from tidegate.settings.settings import Settings

CaseName = Literal["model corruption", "outage", "data loss"]
TARGETS_S: Final[Mapping[CaseName, tuple[float, float]]] = {
    "model corruption": (60.0, 300.0),
    "outage": (120.0, 900.0),
    "data loss": (600.0, 3600.0),
}
"""Seconds that a case may take: tidegate's own target, and the production checklist's."""
_REST: Final[tuple[Choice, ...]] = ("bars", "runs", "predictions", "configuration")


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of loss. `took_s` is None where it was not mended; `fault` says why, and is empty where it was."""

    name: CaseName
    took_s: float | None
    fault: str = ""

    @property
    def verdict(self) -> Literal["passed", "slow", "failed"]:
        """`slow`: mended, and later than tidegate's own target."""
        if self.fault or self.took_s is None:
            return "failed"
        return "passed" if self.took_s <= TARGETS_S[self.name][0] else "slow"

    def content(self) -> dict[str, Any]:
        """For the event ledger and for machines."""
        target_s, checklist_s = TARGETS_S[self.name]
        took_s = None if self.took_s is None else round(self.took_s, 3)
        return {"case": self.name, "took_s": took_s, "target_s": target_s, "checklist_s": checklist_s, "verdict": self.verdict, "fault": self.fault}  # fmt: skip


@dataclass(frozen=True, slots=True)
class DrillReport:
    """A whole drill.

    Attributes:
        backup: name of the backup that was restored.
        cases: as they were run.
        answered: versions that the restored service answered with, or `<strategy> halted`.
        ledger_head: the promotion ledger's last hash after the restore.
        unrecorded: why it stands in no ledger, empty where it does.
    """

    backup: str
    cases: tuple[Case, ...]
    answered: tuple[str, ...]
    ledger_head: str
    unrecorded: str = ""

    @property
    def passed(self) -> bool:
        """Whether every case was mended within tidegate's target, and the live ledger says so."""
        mended = len(self.cases) == len(TARGETS_S) and all(one.verdict == "passed" for one in self.cases)
        return mended and not self.unrecorded

    def content(self) -> dict[str, Any]:
        """For the event ledger and for machines."""
        return {
            "backup": self.backup,
            "passed": self.passed,
            "cases": [one.content() for one in self.cases],
            "answered": list(self.answered),
            "ledger_head": self.ledger_head,
            **({"unrecorded": self.unrecorded} if self.unrecorded else {}),
        }


@dataclass(slots=True)
class _Run:
    """A drill under way."""

    settings: Settings
    root: Path
    folder: Path
    repository: Restic
    listed: Listed
    manifest: BackupManifest
    urls: Mapping[DatabaseName, str]
    servers: Mapping[DatabaseName, Server]
    cases: list[Case] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    chains: Chains | None = None


def drill(
    settings: Settings,
    root: Path,
    *,
    actor: str,
    folder: Path | None = None,
    backup: str | None = None,
    databases: Mapping[DatabaseName, str] | None = None,
) -> DrillReport:
    """Restore a backup for practice, and stop everything again. The live installation is only told of it; where its ledger is damaged, people are.

    Args:
        settings: of the live installation.
        root: the project's folder.
        actor: who; goes into the event ledger.
        folder: an empty folder to restore into, which stays; None: one that is removed.
        backup: name of a backup; None: the newest.
        databases: addresses of empty PostgreSQL databases, needed for each dump of the ledger and of MLflow; they are emptied again where the
            folder does not stay. None: `backup.drill_ledger_url` and `backup.drill_mlflow_url`.

    Raises:
        ConfigurationError: the repository cannot be used, or a database for a dump is not named.
        BackupError: there is no backup, or the folder is not empty.
    """
    began = time.monotonic()
    repository = open_repository(settings)
    listed = list_backups(repository).named(backup)
    manifest = listed.manifest(repository)
    urls = dict(databases or _named_databases(settings))
    dumps = {one.name for one in manifest.databases if one.kind == "postgresql"} - {"prefect"}
    if dumps != set(urls):
        raise ConfigurationError(
            "the drill needs an empty PostgreSQL database for each dump of the ledger and of MLflow, and no other",
            expected=", ".join(sorted(dumps)) or "none",
            actual=", ".join(sorted(urls)) or "none",
            setting="backup.drill_ledger_url, backup.drill_mlflow_url",
            next_step="make them with createdb, and name each there or with --database NAME=ADDRESS",
        )
    with only_one(own_folder(settings), "drill"), _empty(settings, folder) as place:
        servers = {name: Server.of(url, settings) for name, url in urls.items()}
        for server in servers.values():
            server.require_empty()
        run = _Run(restored_settings(settings, place, urls), root, place, repository, listed, manifest, urls, servers)
        try:
            _run_cases(run, began)
        finally:
            # They were empty before, so all that they hold is the drill's.
            for server in servers.values() if folder is None else ():
                server.empty_again()
    report = DrillReport(listed.id, tuple(run.cases), tuple(run.answered), run.chains.head if run.chains else "")
    unrecorded = record(settings, "restore_drill", listed.id, actor, report.content())
    return report if unrecorded is None else replace(report, unrecorded=str(unrecorded))


def _named_databases(settings: Settings) -> dict[DatabaseName, str]:
    named: dict[DatabaseName, SecretStr | None] = {
        "ledger": settings.backup.drill_ledger_url,
        "mlflow": settings.backup.drill_mlflow_url,
    }
    return {name: url.get_secret_value() for name, url in named.items() if url is not None}


@contextmanager
def _empty(settings: Settings, folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        require_empty(folder)
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.resolve()
        return
    for left in own_folder(settings).glob("drill-*"):  # what a killed drill has left
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="drill-", dir=own_folder(settings), ignore_cleanup_errors=True) as made:
        yield Path(made)


def _run_cases(run: _Run, began: float) -> None:
    """First what an outage needs, timed from when the repository was opened, then the rest, then one model damaged and mended. A case that fails ends the drill."""
    with ExitStack() as stack:
        if _timed(run, "outage", began, lambda: _outage(run, stack)) and _timed(
            run, "data loss", began, lambda: _rest(run)
        ):
            _damage(run)
            _timed(run, "model corruption", time.monotonic(), lambda: _mend(run))


def _timed(run: _Run, name: CaseName, began: float, do: Callable[[], None]) -> bool:
    try:
        do()
    except (TidegateError, OSError) as error:
        told = error.what if isinstance(error, TidegateError) else str(error)
        run.cases.append(Case(name, None, told))
        return False
    run.cases.append(Case(name, time.monotonic() - began))
    return True


def _outage(run: _Run, stack: ExitStack) -> None:
    """Databases and models, servers on them, golden answers."""
    places = restore_parts(run.settings, run.repository, run.listed, run.manifest, run.folder, ("databases", "models"))
    for name, server in run.servers.items():
        server.load(places[name])
    run.chains = _require_chains(run)
    _require_bundles(run)
    run.settings = stack.enter_context(mlflow_of(run.settings, run.settings.backup.drill_timeout_s))
    _require_answers(run, "first")


def _rest(run: _Run) -> None:
    """Everything else, with as many files as there were."""
    places = restore_parts(run.settings, run.repository, run.listed, run.manifest, run.folder, _REST)
    for part in run.manifest.parts:
        place = places.get(part.name)
        if place is None:
            continue
        found = sum(path.is_file() or path.is_symlink() for path in place.rglob("*"))
        if part.name in {"bars", "snapshots", "configuration", "strategies"} and found < part.files:
            raise BackupError(f"{part.name} has {found} files, expected {part.files}")


def _damage(run: _Run) -> None:
    path = run.folder / "mlruns" / "artifacts" / _practised(run).folder / ONNX
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _mend(run: _Run) -> None:
    """Find the damage, put the backup's bundle there, and answer from it with an empty cache."""
    one = _practised(run)
    done = mend(run.settings, run.folder, actor=INSTANCE, artifact=one.folder)
    if [each.path for each in done] != [one.folder]:
        raise BackupError(f"the damaged bundle of {one.name} was not found")
    _require_answers(run, "mended", only=one.strategy)


def _practised(run: _Run) -> HeldVersion:
    """The version that is damaged for practice."""
    return next(one for one in run.manifest.versions if one.production and one.folder)


def _require_chains(run: _Run) -> Chains:
    ledger = next(one for one in run.manifest.databases if one.name == "ledger")
    if ledger.kind == "postgresql":
        return read_chains(Database(run.urls["ledger"]), run.manifest.ledger_head)
    found = read_chains_of_file(run.folder / "data" / "ledger" / "ledger.db", run.manifest.ledger_head)
    if (found.head, found.events_head) != (run.manifest.ledger_head, run.manifest.events_head):
        raise BackupError("the restored ledger ends elsewhere", expected=run.manifest.ledger_head, actual=found.head)
    return found


def _require_bundles(run: _Run) -> None:
    verifier = verifier_of(run.settings.signing.public_key_files)
    for one in run.manifest.versions:
        if one.production:
            folder = run.folder / "mlruns" / "artifacts" / one.folder
            fault = one.fault or bundle_fault(folder, one.digest) or signature_fault(folder, one.digest, verifier)
            if fault:
                raise BackupError(f"the restored bundle of {one.name} is damaged: {fault}")


def _require_answers(run: _Run, name: str, only: str | None = None) -> None:
    """A serving process must answer the golden windows of what the restored ledger has in production."""
    assert run.chains is not None
    states = [one for one in _states(run.chains) if only in {None, one.strategy}]
    served = [one for one in states if one.halt is not None or one.current is not None]
    if not any(one.current is not None and one.halt is None for one in served):
        raise BackupError("nothing can be asked: no strategy has a version in production")
    timeout_s = float(run.settings.backup.drill_timeout_s)
    strategies = [one.strategy for one in served]
    with serving_of(run.settings, strategies, run.root, name, timeout_s, by_bars=_by_bars(run)) as address:
        for state in served:
            version = None if state.halt is not None else state.current
            digest = None if version is None else state.digests.get(version)
            target = Target(INSTANCE, address)
            verify(run.settings, state.strategy, version, digest, instances=[target], deadline_s=timeout_s).require()
            told = f"{state.strategy} halted" if version is None else f"{state.strategy}/v{version}"
            if told not in run.answered:
                run.answered.append(told)


def _states(chains: Chains) -> list[StrategyState]:
    names = sorted({row.strategy for row in chains.rows})
    return [derive(name, [row for row in chains.rows if row.strategy == name]) for name in names]


def _by_bars(run: _Run) -> bool:
    """Simulated markets have their own time."""
    if run.settings.serving.clock == "bars":
        return True
    artifacts = run.folder / "mlruns" / "artifacts"
    held = [one for one in run.manifest.versions if one.production and one.folder]
    return any(load_bundle(artifacts / one.folder).manifest.kind == "simulated" for one in held)
