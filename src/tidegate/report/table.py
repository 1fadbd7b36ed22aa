"""A table as the page's one macro draws it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Tone = Literal["", "good", "bad", "warn", "muted"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `note` explains it where the title is too short to."""

    title: str
    numeric: bool = True
    note: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell.

    Attributes:
        text: as shown.
        sort: what sorting goes by, where it is not the text.
        tone: colour; the text must tell the same without it.
        share: length of a bar under the text, in [-1, 1] of the column's width; None for no bar.
    """

    text: str
    sort: float | None = None
    tone: Tone = ""
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table: the first cell of a row names the row."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


def shares(values: Sequence[float | None]) -> list[float | None]:
    """Values over the largest magnitude among them, for bars; None where a value is not finite."""
    found = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    usable = np.isfinite(found)
    largest = float(np.abs(found[usable]).max()) if usable.any() else 0.0
    return [float(value) / largest if ok and largest > 0 else None for value, ok in zip(found, usable, strict=True)]


def sign_tone(value: float | None) -> Tone:
    """Good for a gain, bad for a loss."""
    if value is None or not np.isfinite(value) or value == 0:
        return ""
    return "good" if value > 0 else "bad"
