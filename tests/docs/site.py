"""What a built page asks for and where it leads."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ASKING = {
    "img": "src",
    "script": "src",
    "iframe": "src",
    "source": "src",
    "audio": "src",
    "video": "src",
    "embed": "src",
}
ASKING |= {"link": "href", "object": "data"}
_STYLE = re.compile(r"url\(\s*[\"']?([^\"')]+)|@import\s+[\"']([^\"']+)")


@dataclass
class Page(HTMLParser):
    """A page's anchors, what it links to, and what a browser fetches for it."""

    path: Path
    anchors: set[str] = field(default_factory=set)
    leads: list[str] = field(default_factory=list)
    asks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and "href" in given:
            self.leads.append(given["href"])
        if ASKING.get(tag, "") in given:
            self.asks.append(given[ASKING[tag]])
        self.asks += addresses_of(given.get("style", ""))


def addresses_of(style: str) -> list[str]:
    """What a style sheet fetches."""
    return [found[0] or found[1] for found in _STYLE.findall(style)]


def is_elsewhere(address: str) -> bool:
    """Whether an address is another host's. `data:` carries its content along."""
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme not in {"", "data"}


def astray(pages: dict[Path, Page]) -> list[str]:
    """Links and files within the site that are not there, as `page: address`."""
    found = []
    for path, page in pages.items():
        for address in (*page.leads, *page.asks):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            other = pages.get(target)
            if not target.is_file() or (anchor and other is not None and anchor not in other.anchors):
                found.append(f"{path.name}: {address}")
    return found
