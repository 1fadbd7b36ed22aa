"""A drawing surface that writes SVG. Colours and strokes come from the page's style by class, so that dark mode and print work."""

from collections.abc import Iterable, Mapping

import numpy as np
from markupsafe import Markup, escape

from tidegate.bars.bars import Floats
from tidegate.report.charts.scales import Scale


class Canvas:
    """One chart being drawn.

    Args:
        name: unique on the page; ids begin with it.
        width, height: in pixels at natural size.
        title: what a screen reader says first.
        description: what the chart shows, in words.
    """

    def __init__(self, name: str, width: float, height: float, title: str, description: str) -> None:
        self.name, self.width, self.height = name, width, height
        self.title, self.description = title, description
        self._parts: list[Markup] = []

    def add(self, tag: str, css: str, tip: str = "", content: str = "", **attributes: float | str) -> None:
        """Add an element; `tip` is shown by browsers when the pointer rests on it."""
        inner = Markup("<title>{}</title>").format(tip) if tip else Markup("")
        self._parts.append(
            Markup('<{} class="{}"{}>{}{}</{}>').format(
                Markup(tag),  # noqa: S704  element names are literals of this package
                css,
                _attributes(attributes),
                inner,
                content,
                Markup(tag),  # noqa: S704
            )
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, css: str) -> None:
        """Add a straight line."""
        self.add("line", css, x1=x1, y1=y1, x2=x2, y2=y2)

    def curve(self, xs: Floats, ys: Floats, css: str) -> None:
        """Add a line through points."""
        if len(xs):
            self.add("path", css, d="M" + _points(xs, ys))

    def area(self, xs: Floats, ys: Floats, base: float, css: str) -> None:
        """Add the area between points and a horizontal line."""
        if len(xs):
            self.add(
                "path", css, d=f"M{_short(xs[0])},{_short(base)} {_points(xs, ys)} {_short(xs[-1])},{_short(base)}Z"
            )

    def box(self, x: float, y: float, width: float, height: float, css: str, tip: str = "") -> None:
        """Add a rectangle."""
        self.add("rect", css, tip, x=x, y=y, width=max(width, 0.0), height=max(height, 0.0))

    def dot(self, x: float, y: float, radius: float, css: str, tip: str = "") -> None:
        """Add a circle."""
        self.add("circle", css, tip, cx=x, cy=y, r=radius)

    def text(self, x: float, y: float, content: str, css: str = "label", anchor: str = "start") -> None:
        """Add a text; `anchor` is start, middle or end."""
        self.add("text", css, content=content, x=x, y=y, text_anchor=anchor)

    def marks_left(self, scale: Scale, marks: Iterable[tuple[float, str]], left: float, right: float) -> None:
        """Add horizontal grid lines with labels left of them."""
        for value, label in marks:
            y = scale.at(value)
            self.line(left, y, right, y, "grid")
            self.text(left - 7, y + 4, label, anchor="end")

    def marks_below(self, scale: Scale, marks: Iterable[tuple[float, str]], y: float, room: float = 34) -> None:
        """Add labels under an axis; those that would leave the chart or touch the one before are left out."""
        taken = -1e9
        for value, label in marks:
            x = scale.at(value)
            half = max(room, 6.4 * len(label)) / 2
            if x - half < taken or x + half > self.width + 1:
                continue
            self.line(x, y, x, y + 4, "axis")
            self.text(x, y + 17, label, anchor="middle")
            taken = x + half

    def markup(self, css: str, data: Mapping[str, float | str] | None = None) -> Markup:
        """The finished SVG; `data` become data attributes of the root."""
        named = _attributes({f"data-{key}": value for key, value in (data or {}).items()})
        head = Markup(
            '<svg class="{}" viewBox="0 0 {} {}" role="img" aria-labelledby="{}-title {}-desc"{}>'
            '<title id="{}-title">{}</title><desc id="{}-desc">{}</desc>'
        ).format(
            f"chart {css}", _short(self.width), _short(self.height), self.name, self.name, named,
            self.name, self.title, self.name, self.description,
        )  # fmt: skip
        return head + Markup("").join(self._parts) + Markup("</svg>")


def _attributes(attributes: Mapping[str, float | str]) -> Markup:
    pairs = []
    for name, value in attributes.items():
        text = value if isinstance(value, str) else _short(value)
        pairs.append(Markup(' {}="{}"').format(name.replace("_", "-"), escape(text)))
    return Markup("").join(pairs)


def _points(xs: Floats, ys: Floats) -> str:
    return " ".join(f"{_short(x)},{_short(y)}" for x, y in zip(xs.tolist(), ys.tolist(), strict=True))


def _short(value: float) -> str:
    if not np.isfinite(value):
        raise ValueError(f"a chart was given {value}")
    return f"{round(value, 1) + 0.0:g}" if abs(value) < 1e5 else f"{value:.0f}"
