"""What happened in worlds under one policy, counted: looks, promotions, days in production, rollbacks, earnings."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegate.calibration.draws import Values
from tidegate.calibration.production import FIRST, LATER, Kind, Month, Production, Stints
from tidegate.calibration.verdicts import Verdicts

DAYS: Final = ("first", "later", "after_rollback", "after_refusal")
"""Where days go: the first champion trades, a later version trades, or nothing does, and why."""


@dataclass(frozen=True, slots=True)
class Truth:
    """True mean net returns a day of the first champion and of all that the procedure makes."""

    first: float
    later: float

    @property
    def best(self) -> float:
        """Of what should be in production; nothing is better than a loss."""
        return max(0.0, self.first, self.later)


@dataclass(slots=True, eq=False)
class Tally:
    """Counts over w worlds.

    Attributes:
        truth: what is true in them.
        looks, promoted: numbers of looks, and of those that promoted.
        years_promoted: (w, years) whether a look of the year promoted.
        failed, refused: by gate, looks at which it did not pass, and at which it refused.
        wrong_promotions, wrong_refusals: looks.
        right_rollbacks, wrong_rollbacks: of versions without and with skill.
        days: by `DAYS`.
        earned: (w, years) net return of production.
        stints: versions that stopped trading.
    """

    truth: Truth
    looks: int
    promoted: int
    years_promoted: NDArray[np.bool_]
    failed: dict[str, int]
    refused: dict[str, int]
    wrong_promotions: int
    wrong_refusals: int
    right_rollbacks: int
    wrong_rollbacks: int
    days: dict[str, int]
    earned: Values
    stints: list[Stints] = field(default_factory=list)

    @classmethod
    def empty(cls, worlds: int, years: int, truth: Truth) -> "Tally":
        """Nothing has happened yet."""
        return cls(
            truth,
            0,
            0,
            np.zeros((worlds, years), bool),
            {},
            {},
            0,
            0,
            0,
            0,
            dict.fromkeys(DAYS, 0),
            np.zeros((worlds, years), np.float32),
        )

    def look(self, year: int, verdicts: Verdicts, production: Production, month_days: int) -> None:
        """Count a look, before its versions go into production."""
        self.looks += len(verdicts.promote)
        self.promoted += int(verdicts.promote.sum())
        self.years_promoted[:, year] |= verdicts.promote
        for name, passed in verdicts.passed.items():
            self.failed[name] = self.failed.get(name, 0) + int((~passed).sum())
            self.refused[name] = self.refused.get(name, 0) + int(verdicts.refuses[name].sum())
        if self.truth.later <= 0:
            self.wrong_promotions += int(verdicts.promote.sum())
            return
        stays = production.trading & (production.age + month_days <= production.watch.age_days)
        if self.truth.first < self.truth.later:
            stays &= production.what == LATER
        self.wrong_refusals += int((~verdicts.promote & ~stays).sum())

    def month(self, year: int, what: Kind, month: Month, production: Production) -> None:
        """Count a month; `what` was in production when it began, `production` is what is there after it."""
        self.earned[:, year] += month.returns.sum(axis=1)
        traded = month.traded.sum(axis=1)
        idle = month.traded.shape[1] - traded
        back = production.went_back
        for name, amount in (
            ("first", traded[what == FIRST]),
            ("later", traded[what == LATER]),
            ("after_rollback", idle[back]),
            ("after_refusal", idle[~back]),
        ):
            self.days[name] += int(amount.sum())
        for kind, mean in ((FIRST, self.truth.first), (LATER, self.truth.later)):
            number = int((month.rolled_back & (what == kind)).sum())
            if mean > 0:
                self.wrong_rollbacks += number
            else:
                self.right_rollbacks += number


def added(tallies: Iterable[Tally]) -> Tally:
    """Tallies of chunks of the same world as one, in their order."""
    parts = list(tallies)
    total = Tally.empty(0, parts[0].earned.shape[1], parts[0].truth)
    for one in fields(Tally):
        values = [getattr(part, one.name) for part in parts]
        if one.name in {"failed", "refused", "days"}:
            setattr(total, one.name, {key: sum(value[key] for value in values) for key in values[0]})
        elif one.name in {"years_promoted", "earned"}:
            setattr(total, one.name, np.concatenate(values))
        elif one.name == "stints":
            total.stints = [stints for value in values for stints in value]
        elif one.name != "truth":
            setattr(total, one.name, sum(values))
    return total
