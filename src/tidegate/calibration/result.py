"""What a calibration found, in plain values; `to_json` writes them, with null for what is not a number."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from tidegate.backtest.ratios import Z_95
from tidegate.calibration.figures import Figures

NAN: Final = math.nan
SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Share:
    """A share of n, with its 95 % Wilson interval; n is less than what was counted where neighbours are alike."""

    value: float
    low: float
    high: float
    n: float


def share_of(count: float, n: float, alike: float = 1.0) -> Share:
    """A share with its interval.

    Args:
        count: of n.
        n: all.
        alike: how many times less n is worth, because parts of it vary together; at least 1.
    """
    if not n > 0:
        return Share(NAN, NAN, NAN, 0.0)
    value, worth, z2 = count / n, n / max(alike, 1.0), Z_95**2
    centre = (value + z2 / (2 * worth)) / (1 + z2 / worth)
    half = Z_95 * math.sqrt(value * (1 - value) / worth + z2 / (4 * worth * worth)) / (1 + z2 / worth)
    low = max(0.0, centre - half) if count > 0 else 0.0
    return Share(value, low, min(1.0, centre + half) if count < n else 1.0, worth)


@dataclass(frozen=True, slots=True)
class Spread:
    """What years of production earned.

    Attributes:
        mean, q05, median, q95: over all years, fractions of the capital.
        idle: share of years in which nothing was ever in production.
        edges, counts: k edges and k - 1 counts of the other years; `below` and `above` lie outside.
    """

    mean: float
    q05: float
    median: float
    q95: float
    idle: float
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    below: int
    above: int


@dataclass(frozen=True, slots=True)
class Left:
    """Versions that stopped trading in one way.

    Attributes:
        how: replaced, expired, rolled back, or there still at the end.
        number_a_year: per world.
        mean_days, median_days: calendar days in production.
        earned: mean net return, over the capital.
    """

    how: str
    number_a_year: float
    mean_days: float
    median_days: float
    earned: float


@dataclass(frozen=True, slots=True)
class Price:
    """What mistakes cost, as fractions of the capital a year.

    Attributes:
        promotion: expected loss of versions without skill, by their true mean; 0 at a true Sharpe ratio of 0.
        promotion_without_edge: the same, had these versions no gross edge at all and paid their costs.
        promotion_mean, promotion_q05: what one such version earned until it left, mean and worst twentieth (not a year's).
        refusal: expected profit forgone because nothing, or something worse, was in production after a refusal.
        rollback: expected profit forgone because nothing was in production after a version with skill was rolled back.
    """

    promotion: float
    promotion_without_edge: float
    promotion_mean: float
    promotion_q05: float
    refusal: float
    rollback: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one policy did in one world.

    Attributes:
        policy: its name.
        looks: share of looks that promoted.
        years: share of years with at least one promotion.
        wrong_promotions, wrong_refusals, wrong_rollbacks, right_rollbacks: a year and world.
        days: share of days on which the first champion, a later version, or nothing was in production, and why not.
        unskilled_days: mean calendar days a year with a version without skill in production.
        until_noticed: median calendar days from the skill's end until the first champion was rolled back; NaN in other worlds, and where
            not one was.
        noticed: share of those champions that were rolled back before they expired or were replaced; NaN in other worlds.
        left: how versions left.
        price: of mistakes.
        earned: net return of a year in production.
        failed, refused: share of looks, by gate.
    """

    policy: str
    looks: Share
    years: Share
    wrong_promotions: float
    wrong_refusals: float
    wrong_rollbacks: float
    right_rollbacks: float
    days: Mapping[str, float]
    unskilled_days: float
    until_noticed: float
    noticed: float
    left: tuple[Left, ...]
    price: Price
    earned: Spread
    failed: Mapping[str, float]
    refused: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class WorldResult:
    """One world under all policies; Sharpe ratios are the true ones.

    Attributes:
        name, title: of the world.
        procedure: of all versions made after the first look.
        champion: of the one in production at the start; None where nothing is.
        win_rate: of the procedure's trades.
        best: true net return a year of what should be in production.
        outcomes: by policy, the chosen one first.
    """

    name: str
    title: str
    procedure: float
    champion: float | None
    win_rate: float
    best: float
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One true Sharpe ratio, without a champion: how often a look, and a year of twelve, promotes, by policy; and the gate skill alone."""

    sharpe: float
    look: Mapping[str, Share]
    year: Mapping[str, Share]
    skill_look: Share
    skill_year: Share


@dataclass(frozen=True, slots=True)
class Endurance:
    """The sequential test by itself, without expiry, successors or looks.

    Attributes:
        promise, truth: true Sharpe ratio when the version was tested, and in production.
        alarms_a_year: of watched years.
        median_days: calendar days until half of the versions have alarmed; infinite where fewer have.
        within: share that has alarmed, by calendar days.
        allowed: false alarms a year that the strategy allows on a version whose win rate is the lower end of its interval.
    """

    promise: float
    truth: float
    alarms_a_year: float
    median_days: float
    within: Mapping[int, float]
    allowed: float


@dataclass(frozen=True, slots=True)
class ClosedForm:
    """A probability that can be computed, beside the simulated one."""

    what: str
    formula: str
    computed: float
    simulated: Share


@dataclass(frozen=True, slots=True)
class Agreement:
    """Full statistics on some worlds, against what all worlds are judged by: verdicts that agree, of n, and the largest difference."""

    what: str
    agree: int
    n: int
    largest_difference: float
    note: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """All of it.

    Attributes:
        strategy, kind: whose gates.
        policy: the chosen one; `policies` has all, it first.
        worlds: of each kind.
        years: of each world.
        seed: of all chance.
        figures: what was simulated.
        own_sharpe: the annual Sharpe ratio that the strategy's own figures amount to.
        yearly_error: share of years that the chosen policy may promote without skill.
        level: of a scheduled look's test of skill, by policy.
        pool_days: market days of the pooled test.
        month_days: market days of a month.
        trials: in the ledger before the first look, and added by each.
        shared: share of their trades that champion and challenger have in common.
        results: the worlds.
        curve: by true Sharpe ratio, ascending.
        endurance: the sequential test by itself, on a healthy version and on one whose skill has ended.
        closed: closed forms.
        agreements: the check by the full statistics.
        modelled, left_out: gates that are simulated, and those that are taken to pass.
        assumptions: in words.
    """

    strategy: str
    kind: str
    policy: str
    policies: tuple[str, ...]
    worlds: int
    years: int
    seed: int
    figures: Figures
    own_sharpe: float
    yearly_error: float
    level: Mapping[str, float]
    pool_days: int
    month_days: int
    trials: tuple[int, int]
    shared: float
    results: tuple[WorldResult, ...]
    curve: tuple[CurvePoint, ...]
    endurance: tuple[Endurance, ...]
    closed: tuple[ClosedForm, ...]
    agreements: tuple[Agreement, ...]
    modelled: tuple[str, ...]
    left_out: tuple[str, ...]
    assumptions: tuple[str, ...]

    def world(self, name: str) -> WorldResult:
        """One world by its name."""
        return next(world for world in self.results if world.name == name)

    def plain(self) -> dict[str, Any]:
        """Plain values, None for what is not a finite number."""
        return {"schema_version": SCHEMA_VERSION, **_plain(asdict(self))}

    def to_json(self) -> str:
        """The plain values as JSON text."""
        return json.dumps(self.plain(), indent=1, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:  # noqa: ANN401  any of the values above
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
