"""What a section of the page consists of."""

from dataclasses import dataclass, field

from markupsafe import Markup

from tidegate.report.table import Table


@dataclass(frozen=True, slots=True)
class Legend:
    """One entry of a chart's legend: the line's class, its name and what it came to."""

    css: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with its heading, what it says, and a legend; without markup, `missing` stands in its place."""

    heading: str
    markup: Markup
    caption: str = ""
    missing: str = "Nothing to draw."
    legend: tuple[Legend, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """A figure or a table with an optional heading and remark; blocks of width `half` stand side by side where there is room."""

    figure: Figure | None = None
    table: Table | None = None
    heading: str = ""
    remark: str = ""
    half: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """One section: its anchor, heading, the finding in one sentence or two, and blocks."""

    anchor: str
    heading: str
    lead: str
    blocks: tuple[Block, ...] = field(default=())
