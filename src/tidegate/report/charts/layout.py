"""The two sizes every wide chart is drawn in: the page shows one of them, so that text stays readable on a phone."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Layout:
    """One size of a chart: `css` names it for the page, `points` bounds a line's points, `marks` an axis' marks."""

    css: str
    width: float
    left: float
    right: float
    points: int
    marks: int

    @property
    def end(self) -> float:
        """Where the plot ends, in pixels."""
        return self.width - self.right


WIDE: Final = Layout("wide", 1040, 66, 14, 1500, 7)
NARROW: Final = Layout("narrow", 360, 52, 8, 420, 3)
LAYOUTS: Final = (WIDE, NARROW)
HALF: Final = Layout("half", 460, 52, 12, 600, 6)
"""For charts that stand side by side: one size that reads well from 340 px on."""
