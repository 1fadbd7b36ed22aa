"""A section of the page with tables that are folded away until a reader asks for them."""

from dataclasses import dataclass

from tidegate.report.sections.section import Section
from tidegate.report.table import Table


@dataclass(frozen=True, slots=True)
class Folded:
    """A table behind a line that opens it."""

    summary: str
    table: Table


@dataclass(frozen=True, slots=True)
class Part:
    """A section, and folded tables that stand behind its first `after` blocks."""

    section: Section
    folded: tuple[Folded, ...] = ()
    after: int = 0
