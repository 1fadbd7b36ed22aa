"""The calibration in a sentence, and its key figures."""

from dataclasses import dataclass
from typing import Final

from tidegate.calibration.charts import interval, percent
from tidegate.calibration.result import Calibration, Share
from tidegate.gates.specifications import BY_NAME
from tidegate.report import formats
from tidegate.report.sections.gates import Tile
from tidegate.report.table import Tone

LITTLE_POWER: Final = 0.2
"""A policy that promotes skill in fewer of its years than this keeps its promise by refusing nearly everything."""


@dataclass(frozen=True, slots=True)
class Headline:
    """A word, the finding, and what it rests on."""

    word: str
    sentence: str
    basis: str
    tone: Tone
    icon: str


def kept(years: Share, allowed: float) -> Tone:
    """Whether no more years than allowed promote luck: good or bad where the interval tells, and a warning where nothing does."""
    return "good" if years.high <= allowed else "bad" if years.low > allowed else "warn"


def headline(found: Calibration) -> Headline:
    """Whether the chosen policy keeps its promise, and at what power."""
    luck, equal = found.world("no_skill").outcomes[0], found.world("equal")
    skilled = next((point for point in found.curve if point.sharpe == equal.procedure), None)
    allowed = formats.percent(found.yearly_error, 0)
    able = skilled is None or skilled.year[found.policy].value >= LITTLE_POWER
    tone = kept(luck.years, found.yearly_error)
    if tone == "bad":
        word, icon = "PROMISE BROKEN", "\u2717"
    elif tone != "good":
        word, icon = "TOO FEW WORLDS TO TELL", "?"
    elif able:
        word, icon = "PROMISE KEPT", "\u2713"
    else:
        word, tone, icon = "PROMISE KEPT, AT THE PRICE OF SKILL", "warn", "!"
    sentence = (
        f"With policy {found.policy}, a strategy that trades like {found.strategy} and has no skill is promoted in {percent(luck.years.value)} of its years; "
        f"at most {allowed} is what the policy is to allow."
    )
    if skilled is not None:
        year, look = skilled.year[found.policy], skilled.look[found.policy]
        sentence += f" One with a true Sharpe ratio of {equal.procedure:g} is promoted in {formats.percent(year.value, 0)} of its first years, at {formats.percent(look.value, 0)} of its looks."
    if not able:
        sentence += f" Most of these looks fail {_hardest(found)}: the trades are not such as these gates were made for, or the gates are too strict for them."
    basis = (
        f"{found.worlds:,} worlds of each of four kinds, {formats.plural(found.years, 'year')} each, seed {found.seed}. Figures of the trades: {found.figures.source}. "
        "Simulated worlds are simpler than markets: read the assumptions at the end."
    )
    return Headline(word, sentence, basis, tone, icon)


def _hardest(found: Calibration) -> str:
    """The two gates that refuse skill most often under the chosen policy."""
    refused = found.world("equal").outcomes[0].refused
    names = sorted(refused, key=lambda name: -refused[name])[:2]
    return formats.enumerate_words([f"{BY_NAME[name].title} ({formats.percent(refused[name], 0)})" for name in names])


def tiles(found: Calibration) -> tuple[Tile, ...]:
    """Six key figures of the chosen policy."""
    luck, equal, better, lost = (found.world(name) for name in ("no_skill", "equal", "better", "lost"))
    first, same, more, gone = (world.outcomes[0] for world in (luck, equal, better, lost))
    alone = found.endurance[-1].median_days
    seen = (
        f"half of such cases within {alone:.0f} days"
        if formats.known(alone)
        else f"less than half of such cases within {formats.plural(found.years, 'year')}"
    )
    return (
        Tile(
            "Years that promote luck",
            percent(first.years.value),
            f"95\N{NO-BREAK SPACE}% interval {percent(first.years.low)} to {percent(first.years.high)}, allowed {formats.percent(found.yearly_error, 0)}",
            tone=kept(first.years, found.yearly_error),
        ),
        Tile(
            f"Years that promote an equal, Sharpe {equal.procedure:g}",
            formats.percent(same.years.value, 1),
            f"against a champion as good: {interval(same.years)}",
        ),
        Tile(
            f"Years that promote a better one, {better.procedure:g} over {better.champion or 0:g}",
            formats.percent(more.years.value, 1),
            f"looks: {formats.percent(more.looks.value, 1)}",
        ),
        Tile(
            "Healthy models rolled back",
            formats.decimal(same.wrong_rollbacks, 3),
            "a year, by the sequential test, while an equal strategy lives on",
        ),
        Tile(
            "Days a year without skill in production",
            formats.decimal(gone.unskilled_days, 0),
            f"after the champion's skill has ended; the sequential test alone would see {seen}",
        ),
        Tile(
            "Price of caution",
            formats.percent(same.price.refusal + same.price.rollback, 1),
            f"of the capital a year forgone by a strategy whose true return is {formats.percent(equal.best, 1)}",
        ),
    )
