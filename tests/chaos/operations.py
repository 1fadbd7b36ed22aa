"""The operations that are disturbed: each is prepared without a fault, and then asked of the command line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tests.chaos.stage import AS_OF, SMALL, Stage


@dataclass(frozen=True, slots=True)
class Act:
    """One operation, ready to be asked.

    Attributes:
        operation: its name.
        strategy: whose versions it moves.
        command: what is asked; the same again is the rerun.
        before: the version in production before.
        after: the version in production once it is done; None where the operation finds it itself.
        version: that it promotes, None for others.
        moves: whether the serving process follows the strategy.
        newest: the newest backup before.
        rows: rows in the strategy's ledger before.
    """

    operation: str
    strategy: str
    command: tuple[str, ...]
    before: int | None
    after: int | None
    version: int | None = None
    is_served: bool = True
    newest: str = ""
    rows: int = 0


def _retrain(stage: Stage) -> Act:
    name = stage.strategy()
    return Act("retrain", name, ("retrain", name, "--direct", "--json", "--as-of", AS_OF), None, None, is_served=False)


def _promote(stage: Stage) -> Act:
    before, version = stage.promoter.current(SMALL), stage.register()
    return Act(
        "promote", SMALL, ("promote", SMALL, str(version), "--reason", "chaos", "--json"), before, version, version
    )


def _rollback(stage: Stage) -> Act:
    back = stage.promoter.current(SMALL)
    left = stage.register()
    stage.promote(left)
    stage.until_served(SMALL, left)
    return Act("rollback", SMALL, ("rollback", SMALL, "--from", str(left), "--reason", "chaos", "--json"), left, back)


def _backup(stage: Stage) -> Act:
    current = stage.promoter.current(SMALL)
    return Act(
        "backup", SMALL, ("backup", "--reason", "chaos", "--json"), current, current, newest=stage.newest_backup()
    )


def _deploy(stage: Stage) -> Act:
    before, version = stage.promoter.current(SMALL), stage.register()
    command = ("deploy", SMALL, str(version), "--reason", "chaos", "--watch-minutes", "0.01", "--json")
    return Act("deploy", SMALL, command, before, version, version, newest=stage.newest_backup())


OPERATIONS: Final[Mapping[str, Callable[[Stage], Act]]] = MappingProxyType(
    {"retrain": _retrain, "promote": _promote, "rollback": _rollback, "backup": _backup, "deploy": _deploy}
)
