"""What a look at the whole list came to."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from tidegate.checklist.items import Item

State = Literal["pass", "fail", "not_measured", "signed", "unsigned"]
GOOD: frozenset[State] = frozenset(("pass", "signed"))


@dataclass(frozen=True, slots=True)
class Line:
    """One line with its answer.

    Attributes:
        item: the line.
        section: its headings.
        state: what came of it. `signed` and `unsigned` are for manual lines; a signature that has expired is a `fail`.
        evidence: what was seen.
        link: where it can be seen again; empty for none.
        at: when it was looked at, or signed, UTC ms.
    """

    item: Item
    section: tuple[str, ...]
    state: State
    evidence: str
    link: str
    at: int

    @property
    def is_good(self) -> bool:
        """Whether nothing stands against going on."""
        return self.state in GOOD

    @property
    def answered_by(self) -> Literal["machine", "person", "sum"]:
        """Who answers for it."""
        if self.item.manual is not None:
            return "person"
        return "sum" if self.item.parts else "machine"


@dataclass(frozen=True, slots=True)
class MlTestScore:
    """The ML Test Score: points of each section, and the least of them, which is the score."""

    sections: tuple[tuple[str, float], ...]
    lines: tuple[Line, ...]
    score: float
    reading: str


@dataclass(frozen=True, slots=True)
class Looked:
    """A look.

    Attributes:
        strategy: its name, empty for all.
        version: that was looked at, None where none is in production.
        at: UTC ms.
        took_s: seconds.
        lines: in the list's order.
        test_score: of the second rubric, where all lines were looked at.
        section: None where all lines were looked at.
        kind: the strategy's, None without one.
    """

    strategy: str
    version: int | None
    at: int
    took_s: float
    lines: tuple[Line, ...]
    test_score: MlTestScore | None = None
    section: str | None = None
    kind: Literal["real", "simulated"] | None = None

    @property
    def blocking(self) -> tuple[Line, ...]:
        """Lines that block a deployment and are not good."""
        return refusing(self.lines, ("deployment", "promotion"))

    @property
    def by_machine(self) -> int:
        """How many lines a probe answers for."""
        return sum(line.answered_by == "machine" for line in self.lines)

    @property
    def decided(self) -> int:
        """How many of those it could say something of: pass or fail."""
        return sum(line.answered_by == "machine" and line.state in {"pass", "fail"} for line in self.lines)

    def counts(self) -> Counter[State]:
        """Lines by state."""
        return Counter(line.state for line in self.lines)

    def plain(self) -> dict[str, Any]:
        """For machines."""
        return {
            "strategy": self.strategy,
            "kind": self.kind,
            "version": self.version,
            "section": self.section,
            "at": self.at,
            "took_s": round(self.took_s, 3),
            "passes": not self.blocking,
            "counts": dict(self.counts()),
            "by_machine": self.by_machine,
            "decided_by_machine": self.decided,
            "blocking": [line.item.id for line in self.blocking],
            "lines": [_plain(line) for line in self.lines],
            "ml_test_score": None
            if self.test_score is None
            else {
                "score": self.test_score.score,
                "reading": self.test_score.reading,
                "sections": dict(self.test_score.sections),
                "tests": [_plain(line) for line in self.test_score.lines],
            },
        }


def refusing(lines: Iterable[Line], blocks: tuple[str, ...]) -> tuple[Line, ...]:
    """Lines that block one of these and are not good."""
    return tuple(line for line in lines if line.item.blocks in blocks and not line.is_good)


def _plain(line: Line) -> dict[str, Any]:
    return {
        "id": line.item.id,
        "section": list(line.section),
        "text": line.item.text,
        "kind": line.item.kind,
        "by": line.answered_by,
        "blocks": line.item.blocks,
        "state": line.state,
        "evidence": line.evidence,
        "link": line.link,
        "at": line.at,
    }
