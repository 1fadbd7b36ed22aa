"""A strategy with a real ledger in a folder, an in-memory registry, serving processes that follow when told, and people who hear."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.registry_factories import REAL, Crash, FakeVersions, decision

from tidegate.registry.database import Database
from tidegate.registry.events import Event, EventLedger, Kind
from tidegate.registry.ledger import Ledger
from tidegate.registry.promotion import Promoter
from tidegate.rollback.act import carry_out
from tidegate.rollback.automatic import read_situation
from tidegate.rollback.decision import Decision, Situation, decide
from tidegate.rollback.finding import Action, Finding
from tidegate.rollback.procedure import ActReport, Procedure
from tidegate.rollback.verification import Followed, Verification
from tidegate.strategy.strategy import Rollback

START = 1_780_000_000_000
RULES = Rollback(cooldown_minutes=30, watch_minutes=30)
MINUTE = 60_000


class Heard:
    """People."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, str]] = []
        self.bodies: list[str] = []

    def send(
        self, severity: Literal["info", "warning", "critical"], title: str, body: str, *, strategy: str, subject: str
    ) -> None:
        assert strategy == REAL
        self.said.append((severity, title, subject))
        self.bodies.append(body)


@dataclass
class Desk:
    """Everything a decision needs; `crash_at` stops the procedure at a named step, once."""

    folder: Path
    promoted: int = 3
    now: int = START
    crash_at: str | None = None
    follows: bool = True
    asked: list[tuple[int | None, str | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.versions = FakeVersions()
        database = Database(f"sqlite:///{self.folder}/ledger.db", clock=lambda: self.now)
        self.ledger, self.events, self.people = Ledger(database), EventLedger(database), Heard()
        self.promoter = Promoter(self.ledger, self.versions, on_step=self.step)
        for _ in range(self.promoted):
            self.promote()
        self.procedure = Procedure(self.promoter, self.events, self.verifies, self.people, ("logs",), self.step)

    def promote(self) -> None:
        version = self.versions.add()
        made = decision(self.versions.manifests[version])
        self.promoter.promote(REAL, version, made, actor="ann", reason="told", champion=self.promoter.current(REAL))

    def step(self, name: str) -> None:
        if name == self.crash_at:
            self.crash_at = None
            raise Crash(name)

    def verifies(self, strategy: str, version: int | None, digest: str | None) -> Verification:
        assert strategy == REAL
        self.asked.append((version, digest))
        state: Any = "followed" if self.follows else "behind"
        one = Followed("one", "http://127.0.0.1:1", state, 0.1 if self.follows else None, "as told")
        return Verification(strategy, version, digest, self.now, 0.1, (one,))

    def situation(self, *, acting_allowed: bool = True) -> Situation:
        return read_situation(self.ledger, self.events, REAL, RULES, acting_allowed=acting_allowed)

    def decide(self, *findings: Finding, acting_allowed: bool = True) -> Decision:
        return decide(findings, self.situation(acting_allowed=acting_allowed))

    def carry_out(self, made: Decision, *, acting_allowed: bool = True) -> ActReport:
        return carry_out(made, self.procedure, RULES, actor="watch", acting_allowed=acting_allowed)

    def fire(self, rule: str = "latency", action: Action = "roll_back") -> ActReport:
        return self.carry_out(self.decide(fired(rule, action)))

    def rows(self, *kinds: Kind) -> list[Event]:
        return self.events.rows(REAL, kinds=kinds)

    def acts(self) -> list[tuple[str, int | None, int | None]]:
        """Committed acts after the promotions."""
        rows = [row for row in self.ledger.rows(REAL) if row.state == "committed" and row.action != "promote"]
        return [(row.action, row.from_version, row.to_version) for row in rows]


def fired(rule: str = "latency", action: Action = "roll_back") -> Finding:
    return Finding(rule, action, "fired", 25.0, 20.0, "ms", 60, START, f"{rule} is bad", "never", {"worst": "one"})
