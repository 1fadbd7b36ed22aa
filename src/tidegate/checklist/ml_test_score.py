"""The ML Test Score of Breck et al. over the checklist's probes: 28 tests in four sections.

A test that runs by itself and passes gives a point, one that a person has done and signed for gives half a point; so does one of which probes see only
a part, and a person signs for the rest. A section's points are added, and the score is the least section's.

Source: E. Breck, S. Cai, E. Nielsen, M. Salib, D. Sculley, "The ML Test Score: A Rubric for ML Production Readiness and Technical Debt Reduction",
IEEE Big Data 2017.
"""

from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tidegate.checklist.context import Context
from tidegate.checklist.examine import answer
from tidegate.checklist.finding import Finding
from tidegate.checklist.items import Item
from tidegate.checklist.probe import Probe
from tidegate.checklist.result import Line, MlTestScore
from tidegate.errors import ConfigurationError
from tidegate.settings.loading import describe, read_yaml

SECTIONS: Final = ("data", "model", "infrastructure", "monitoring")
AUTOMATIC, BY_HAND = 1.0, 0.5
_READINGS: Final = (
    (0.0, "a research project, not a production system"),
    (1.0, "not wholly untested, with serious holes in reliability possible"),
    (2.0, "a first step to production, more is needed"),
    (3.0, "reasonably tested, more could run by itself"),
    (5.0, "strong tests and monitoring that run by themselves"),
)
_BEST: Final = "exceptional tests and monitoring that run by themselves"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MlTest(_Part):
    """One test: probes that must all pass, a signature, or both."""

    id: str = Field(pattern=r"^score\.[a-z]+\.[a-z_]+$")
    section: Literal["data", "model", "infrastructure", "monitoring"]
    text: str = Field(min_length=1)
    probes: tuple[str, ...] = ()
    manual: int | None = Field(None, ge=1, le=400)

    @model_validator(mode="after")
    def _one_answers(self) -> Self:
        if not self.probes and self.manual is None:
            raise ValueError("probes, manual or both must be given")
        return self

    @property
    def item(self) -> Item:
        """The test as a line: the same names, states and signatures."""
        if self.manual is not None:
            return Item(id=self.id, text=self.text, manual=self.manual)
        return self.seen

    @property
    def seen(self) -> Item:
        """What probes see of it, as a line."""
        return Item(id=self.id, text=self.text, probe="+".join(self.probes))


class MlTests(_Part):
    """All tests."""

    version: Literal[1] = 1
    tests: tuple[MlTest, ...]

    @model_validator(mode="after")
    def _each_counts_once(self) -> Self:
        ids = [one.id for one in self.tests]
        if len(set(ids)) != len(ids):
            raise ValueError(f"an id stands twice: {', '.join(sorted({one for one in ids if ids.count(one) > 1}))}")
        return self


def score_file(root: Path) -> Path:
    """Where a project keeps its tests."""
    return root / "configs" / "ml-test-score.yaml"


def load_tests(path: Path) -> MlTests:
    """Read the tests.

    Raises:
        ConfigurationError: the file is missing or wrong.
    """
    try:
        return MlTests.model_validate(read_yaml(path))
    except ValidationError as error:
        raise ConfigurationError(f"ML Test Score {path} is wrong: {describe(error)}") from error


def score_of(
    context: Context, tests: MlTests, probes: Mapping[str, Probe], known: MutableMapping[str, Finding]
) -> MlTestScore:
    """The score.

    Args:
        context: what is looked at.
        tests: all of them.
        probes: by name.
        known: findings of this look, so that nothing is looked at twice.
    """
    lines = tuple(_line(context, one, probes, known) for one in tests.tests)
    sections = tuple((name, sum(points(line) for line in lines if line.section == (name,))) for name in SECTIONS)
    score = min(value for _, value in sections)
    return MlTestScore(sections, lines, score, reading(score))


def _line(context: Context, test: MlTest, probes: Mapping[str, Probe], known: MutableMapping[str, Finding]) -> Line:
    section = (test.section,)
    if not test.probes or test.manual is None:
        return answer(context, test.item, section, probes, known)
    seen, signed = (answer(context, item, section, probes, known) for item in (test.seen, test.item))
    evidence = f"{seen.evidence}; {signed.evidence}"
    return replace(signed, state=signed.state if seen.is_good else seen.state, evidence=evidence, link=seen.link)


def points(line: Line) -> float:
    """What a line is worth."""
    if not line.is_good:
        return 0.0
    return BY_HAND if line.answered_by == "person" else AUTOMATIC


def reading(score: float) -> str:
    """What a score means, in words.

    >>> reading(0.0), reading(2.5)
    ('a research project, not a production system', 'reasonably tested, more could run by itself')
    """
    return next((words for most, words in _READINGS if score <= most), _BEST)
