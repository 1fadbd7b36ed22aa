"""The palette is readable: WCAG AA for text, in light and dark."""

import re
from importlib.resources import files

import pytest

STYLE = (files("tidegate.report") / "templates" / "style.css").read_text(encoding="utf-8")
TEXT = ("ink", "soft", "accent", "good", "bad", "warn")
WASHES = {"good": "good-wash", "bad": "bad-wash", "warn": "warn-wash", "soft": "wash", "ink": "bad-wash"}


def palette(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


LIGHT = palette(STYLE[: STYLE.index("@media")])
DARK = palette(STYLE[STYLE.index("@media") : STYLE.index("* { box-sizing")])


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", TEXT)
def test_text_stands_out(colours: dict[str, str], name: str) -> None:
    assert contrast(colours[name], colours["paper"]) >= 4.5
    if name in WASHES:
        assert contrast(colours[name], colours[WASHES[name]]) >= 4.5


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["accent", "market", "rival", "bar"])
def test_lines_and_bars_stand_out(colours: dict[str, str], name: str) -> None:
    assert contrast(colours[name], colours["paper"]) >= (2.4 if name == "bar" else 3)


def test_dark_names_the_same_colours_as_light() -> None:
    assert set(LIGHT) == set(DARK)
