"""The start page leads to every page, and its lists for readers are the site's."""

import re

from tests.docs.pages import ROOT, blocks_of, prose

DOCS = ROOT / "docs"
INDEX = DOCS / "index.md"


def listed() -> list[list[str]]:
    """Pages of each list of the site."""
    found = [block.text.splitlines() for block in blocks_of(INDEX) if block.language == "{toctree}"]
    return [
        [re.sub(r".+<(.+)>", r"\1", line) for line in lines if line and not line.startswith(":")] for lines in found
    ]


def linked() -> list[list[str]]:
    """Pages that each part of the start page links to."""
    parts = re.split(r"^## ", prose(INDEX), flags=re.MULTILINE)[1:]
    return [[link.removesuffix(".md") for link in re.findall(r"\]\(([^)#]+)\)", part)] for part in parts]


def test_the_lists_for_readers_are_those_of_the_site() -> None:
    assert len(listed()) == 4
    assert linked() == listed()


def test_every_page_stands_in_one_list() -> None:
    names = [name for names in listed() for name in names]
    assert len(names) == len(set(names))
    top = {path.stem for path in DOCS.glob("*.md")} - {"index"}
    below = {f"{path.parent.name}/README" for path in DOCS.glob("*/README.md")}
    assert set(names) == top | below
