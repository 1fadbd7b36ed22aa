"""The ledger of looks: every time the out-of-sample results of a strategy were held against chance, with the error that was spent.

A look is reserved before its outcome is known, so that a run which dies after it has read its test windows has spent its level all the
same. The same look again (same configuration, same data, same windows) is on record already, and keeps its level. Both tables are
append-only by trigger.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, select

from tidegate.bars.interval import DAY_MS
from tidegate.errors import LedgerError
from tidegate.registry.database import Database
from tidegate.registry.schema import look_outcomes, looks, require_fit
from tidegate.settings.settings import Settings
from tidegate.statistics.spending import Allowance, allowance
from tidegate.statistics.spending import Look as SpentLook


@dataclass(frozen=True, slots=True)
class Look:
    """One look, as it is on record.

    Attributes:
        strategy: whose results were looked at.
        key: digest of configuration, data and windows.
        looked_at: UTC ms up to which bars were known.
        level: the probability of a false promotion that this look may spend, reserved before its outcome was known.
        p_value: what came out; None where the run never got there, or it was not a number.
        promote: what the gates said; None where the run never got there.
    """

    strategy: str
    key: str
    looked_at: int
    level: float
    p_value: float | None
    promote: bool | None


class LookLedger:
    """Looks in one database: the installation's, or that of a replay's path."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @classmethod
    def from_settings(cls, settings: Settings) -> "LookLedger":
        """Open the ledger that the settings name; nothing is read or written yet."""
        return cls(Database.from_settings(settings))

    def reserve(
        self, strategy: str, key: str, looked_at: int, *, yearly_error: float, looks_per_year: int
    ) -> Allowance:
        """Put a look on record and tell what it may spend; a look that is on record keeps the level it was given.

        Looks are counted by the UTC day: a run that starts a minute earlier than a year ago does not pay for that minute.

        Args:
            strategy: whose results are looked at.
            key: digest of configuration, data and windows, 64 characters.
            looked_at: UTC ms up to which bars are known.
            yearly_error: probability of a false promotion within a year that all looks together may spend.
            looks_per_year: looks that the budget is laid out for.
        Raises:
            LedgerError: unreachable, busy, or a name is too long.
        """
        with self.database.write() as connection:
            known = self._looks(connection, strategy)
            allowed = allowance(
                spent([_spent_look(look) for look in known], looked_at),
                key,
                _day(looked_at),
                yearly_error=yearly_error,
                looks_per_year=looks_per_year,
            )
            if all(look["look_key"] != key for look in known):
                row = {
                    "strategy": strategy,
                    "look_key": key,
                    "looked_at": looked_at,
                    "level": allowed.level,
                    "yearly_error": yearly_error,
                    "looks_per_year": looks_per_year,
                }
                require_fit(looks, row)
                connection.execute(looks.insert().values(**row, created_at=self.database.clock()))
        return allowed

    def record_outcome(self, strategy: str, key: str, *, p_value: float, promote: bool) -> None:
        """Write what came out of a look; the first outcome of a look stays, since the same look has the same.

        Raises:
            LedgerError: the look was never reserved, or the database cannot be reached.
        """
        with self.database.write() as connection:
            query = select(looks.c.id).where(looks.c.strategy == strategy, looks.c.look_key == key)
            found = connection.execute(query).scalar_one_or_none()
            if found is None:
                raise LedgerError(f"the look {key[:12]} of {strategy} has an outcome and was never reserved")
            known = select(look_outcomes.c.id).where(look_outcomes.c.look_id == found)
            if connection.execute(known).first() is None:
                row = {
                    "look_id": found,
                    "p_value": p_value if math.isfinite(p_value) else None,
                    "promote": promote,
                }
                connection.execute(look_outcomes.insert().values(**row, created_at=self.database.clock()))

    def looks(self, strategy: str) -> list[Look]:
        """A strategy's looks, as they were reserved, oldest first."""
        with self.database.read() as connection:
            return [
                Look(strategy, row["look_key"], row["looked_at"], row["level"], row["p_value"], row["promote"])
                for row in self._looks(connection, strategy)
            ]

    @staticmethod
    def _looks(connection: Connection, strategy: str) -> list[dict[str, Any]]:
        joined = looks.outerjoin(look_outcomes, look_outcomes.c.look_id == looks.c.id)
        query = (
            select(looks, look_outcomes.c.p_value, look_outcomes.c.promote)
            .select_from(joined)
            .where(looks.c.strategy == strategy)
            .order_by(looks.c.id)
        )
        return [dict(row) for row in connection.execute(query).mappings()]


def spent(known: Sequence[SpentLook], looked_at: int) -> list[SpentLook]:
    """What other looks have spent, as seen from `looked_at`.

    A look from a later time counts like one as long ago, and one that is a year away either way not at all: going back in time is no way
    to a fresh budget, and a history that is replayed beside the present pays for its own looks only.
    """
    today = _day(looked_at)
    return [replace(look, at_ms=today - abs(today - _day(look.at_ms))) for look in known]


def _spent_look(row: dict[str, Any]) -> SpentLook:
    share = row["yearly_error"] / row["looks_per_year"]
    return SpentLook(row["looked_at"], row["look_key"], row["level"], share)


def _day(at_ms: int) -> int:
    return at_ms - at_ms % DAY_MS
