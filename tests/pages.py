"""A page as tests read it, and what holds for every page: well formed, small, nothing loaded, charts inside their frames."""

import base64
import hashlib
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from typing import Final

HOSTILE: Final = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7 * 7191 }}"
_VOID: Final = {"meta", "link", "br", "img", "input", "hr"}
_LOADING: Final = {"src", "srcset", "data", "poster", "action", "formaction", "background", "xlink:href"}


class Page(HTMLParser):
    """Checks nesting while it collects what tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.faults: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if "style" not in self.open and "script" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        """All words, with one space wherever there was any."""
        return re.sub(r"\s+", " ", " ".join(self.words))


def assert_stands_alone(text: str, most_bytes: int) -> None:
    """The page is well formed, shorter than `most_bytes`, and neither loads nor runs anything from elsewhere."""
    page = Page(text)
    assert page.faults == []
    assert page.open == []
    assert len(text.encode()) < most_bytes
    for tag, attributes in page.tags:
        assert tag not in {"iframe", "object", "embed", "base", "img"}
        # A path's outline is its `d`; nothing else on a page names something to load.
        assert not _LOADING & set(attributes)
        assert not any(key.startswith("on") for key in attributes)
        if tag == "link":
            assert attributes["href"] == "data:,"
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def links_and_places(text: str) -> tuple[set[str], set[str]]:
    """Where all links lead, and the places within the page that one may lead to, as `#id`; each id stands once."""
    tags = Page(text).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    return {str(attributes["href"]) for tag, attributes in tags if tag == "a"}, {f"#{each}" for each in ids}


def assert_charts_inside(text: str, least: int, *, letter_px: float = 6.6, over_px: float = 3) -> None:
    """There are `least` charts or more, each of them XML with a title and its texts inside its frame.

    Args:
        text: of the page.
        least: how many.
        letter_px: width that a letter is taken to have; 0.55 em of a 12 px font is a little more than these fonts need.
        over_px: how far a text may stick out at the left.
    """
    charts = re.findall(r"<svg class=\"chart.*?</svg>", text, re.DOTALL)
    assert len(charts) >= least
    for chart in charts:
        root = ET.fromstring(chart)  # noqa: S314  our own output
        assert (root.findtext("title") or "").strip()
        assert root.get("role") == "img"
        width, height = (float(part) for part in str(root.get("viewBox")).split()[2:])
        for each in root.iter("text"):
            reach = letter_px * len(each.text or "")
            before = {"start": 0.0, "middle": reach / 2, "end": reach}[str(each.get("text-anchor"))]
            left = float(str(each.get("x"))) - before
            assert -over_px <= left <= left + reach <= width + 6, each.text
            assert 0 <= float(str(each.get("y"))) <= height


def assert_only_its_own_script(text: str) -> None:
    """The content security policy allows nothing by default, and of scripts the page's own one."""
    policy = next(attributes["content"] for tag, attributes in Page(text).tags if tag == "meta" and attributes.get("http-equiv"))  # fmt: skip
    assert policy is not None
    assert "default-src 'none'" in policy
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert f"script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy
