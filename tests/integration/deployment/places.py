"""A deployment on a real ledger in a folder, a registry in a file, and processes, backups and people that keep count in files.

Everything outlives the process, so that a process may be killed at any step and another one go on.
"""

import os
import pickle
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.registry_factories import NOW, REAL, FakeVersions, decision

from tidegate.deployment.journal import Plan
from tidegate.deployment.ports import Ports, Seen
from tidegate.deployment.procedure import Deployed, Wish, deploy
from tidegate.errors import BundleError, ServiceError
from tidegate.notify.notifier import Notifier
from tidegate.registry.database import Database
from tidegate.registry.events import EventLedger
from tidegate.registry.ledger import Ledger
from tidegate.registry.promotion import Promoter
from tidegate.rollback.verification import Followed, Verification
from tidegate.settings.settings import Settings

REASON = "the month's model"


class KeptVersions(FakeVersions):
    """The registry of the other tests, in a file that is written whole."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        if path.exists():
            self.__dict__.update(pickle.loads(path.read_bytes()))  # noqa: S301  its own
            self._path = path

    def keep(self) -> None:
        temporary = self._path.with_suffix(".new")
        temporary.write_bytes(pickle.dumps(self.__dict__))
        temporary.replace(self._path)

    def set_alias(self, strategy: str, alias: str, version: int | None) -> None:
        super().set_alias(strategy, alias, version)
        self.keep()

    def keep_signed_state(self, strategy: str, text: str) -> bool:
        found = super().keep_signed_state(strategy, text)
        self.keep()
        return found


@dataclass
class Count:
    """Counts what was done, in a file each line of which is one time."""

    path: Path

    def add(self, what: str) -> str:
        with self.path.open("a") as file:
            file.write(what + "\n")
        return what

    def all(self) -> list[str]:
        return self.path.read_text().splitlines() if self.path.exists() else []


@dataclass
class Boxes:
    """Serving processes as files: those that run, and the one that gets requests."""

    folder: Path
    name: str
    count: Count
    is_ill: bool = False

    def addresses(self) -> list[str]:
        return []

    def pull(self) -> str:
        return self.count.add("pull")

    def start(self) -> str:
        if not (self.folder / self.name).exists():
            (self.folder / self.name).touch()
            self.count.add("start")
        return self.name

    def require_healthy(self) -> str:
        if self.is_ill:
            raise ServiceError(f"{self.name} is not ready")
        return "ready"

    def switch(self) -> str:
        (self.folder / "requests").write_text(self.name)
        return "switched"

    def back(self) -> str:
        (self.folder / "requests").write_text("old")
        return "switched back"

    def stop_old(self) -> str:
        (self.folder / "old").unlink(missing_ok=True)
        return "stopped"

    def stop_new(self) -> str:
        (self.folder / self.name).unlink(missing_ok=True)
        return "stopped"


@dataclass
class Place:
    """An installation in a folder; v1 is in production, v2 wants to be.

    Attributes:
        folder: where all of it lies.
        kill_at: the step at which the process is killed.
        watch, bots: what those looks come to.
        is_ill: whether the new process does not become ready.
        follows: whether serving processes follow.
        serves: whether there is any serving process.
        broken: versions that do not answer their golden windows.
    """

    folder: Path
    kill_at: str | None = None
    watch: Seen = Seen("done", "quiet", {})  # noqa: RUF009  frozen
    bots: Seen = Seen("done", "no bots", {})  # noqa: RUF009
    is_ill: bool = False
    follows: bool = True
    serves: bool = True
    broken: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        (self.folder / "boxes").mkdir(exist_ok=True)
        self.versions = KeptVersions(self.folder / "versions")
        database = Database(f"sqlite:///{self.folder}/ledger.db", busy_timeout_s=5)
        self.promoter = Promoter(Ledger(database), self.versions, today=lambda _strategy: NOW, on_step=self.step)
        self.events = EventLedger(database)
        self.count = Count(self.folder / "count")
        if not self.versions.manifests:
            self.first()

    def first(self) -> None:
        """v1 in production, v2 registered."""
        for _ in (1, 2):
            made = self.versions.add()
            self.versions.decisions[made] = decision(self.versions.manifests[made])
        self.versions.keep()
        self.promoter.promote(REAL, 1, self.versions.decisions[1], actor="ann", reason="first", champion=None)
        (self.folder / "boxes" / "old").touch()
        (self.folder / "boxes" / "requests").write_text("old")

    def step(self, name: str) -> None:
        if name == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def ports(self) -> Ports:
        return Ports(
            promoter=self.promoter,
            events=self.events,
            notifies=Notifier(Settings(), self.events),
            replicas=lambda name, _plan: Boxes(self.folder / "boxes", name, self.count, self.is_ill),
            back_up=self.back_up,
            answers=self.answers,
            verifies=self.verifies,
            bots=lambda _strategy, _version, _since: self.bots,
            watches=lambda _strategy, _version, _until: self.watch,
            shows=self.shows,
            alertmanager=None,
            folder=self.folder / "deployments",
            on_step=self.step,
        )

    def deploy(self, version: int | None = 2) -> Deployed:
        return deploy(self.ports(), Wish(REAL, version, "ann", REASON, 30.0))

    def back_up(self, reason: str) -> str:
        name = f"backup-{len(self.count.all())}"
        self.count.add("backup")
        content = {"reason": reason, "taken_at": self.events.database.clock()}
        self.events.append("backup", strategy="", subject=name, actor="ann", content=content)
        return name

    def answers(self, _strategy: str, version: int) -> str:
        if version in self.broken:
            raise BundleError(f"v{version} answers wrongly")
        return f"v{version} answers"

    def verifies(self, strategy: str, version: int | None, digest: str | None) -> Verification:
        served = self.versions.alias(strategy, "production")
        state: Any = "followed" if self.follows and served == version else "behind"
        one = Followed("one", "http://127.0.0.1:1", state, 0.1, f"v{served} answers")
        return Verification(strategy, version, digest, 0, 0.1, (one,) if self.serves else ())

    def shows(self, _plan: Plan, tags: Mapping[str, str], paths: tuple[Path, ...]) -> None:
        assert all(path.is_file() for path in paths)
        (self.folder / "tags").write_text(str(dict(tags)))

    def ended(self) -> dict[str, Any]:
        """Where everything is now."""
        boxes = self.folder / "boxes"
        rows = self.events.rows()
        state = self.promoter.ledger.state(REAL)
        return {
            "ledger": state.current,
            "alias": self.versions.alias(REAL, "production"),
            "open": state.open_intent,
            "requests": (boxes / "requests").read_text().partition("-")[0],
            "running": sorted(path.name.partition("-")[0] for path in boxes.iterdir() if path.name != "requests"),
            "started": self.count.all().count("start"),
            "backups": self.count.all().count("backup"),
            "told": sorted(
                str(row.content["title"]) for row in rows if row.kind == "notification" and "title" in row.content
            ),
            "windows": [row.kind for row in rows if row.kind.startswith("maintenance")],
            "deployments": len({row.subject for row in rows if row.kind == "deployment"}),
        }
