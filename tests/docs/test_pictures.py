"""Pictures of the documentation: each one shown is there, each one there is shown and taken by the script."""

import re
from pathlib import Path

import pytest
from docs.screenshots.browser import MOST_BYTES, WIDTH
from docs.screenshots.pictures import FOLDER, PICTURES
from PIL import Image
from tests.docs.pages import PAGES, name_of, prose

SHOWN = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
FILES = sorted(FOLDER.glob("*"))


def shown(page: Path) -> list[tuple[str, Path]]:
    """What stands in place of each picture of a page, and its file."""
    return [(alternative, (page.parent / target).resolve()) for alternative, target in SHOWN.findall(prose(page))]


@pytest.mark.parametrize("page", [page for page in PAGES if shown(page)], ids=name_of)
def test_every_picture_shown_is_there_and_told_in_words(page: Path) -> None:
    for alternative, path in shown(page):
        assert path.is_file(), path.name
        assert len(alternative.split()) >= 4, path.name


def test_every_picture_there_is_shown_and_is_one_that_the_script_takes() -> None:
    names = [path.name for path in FILES]
    assert names == sorted(f"{each.name}.png" for each in PICTURES)
    from_there = {path for page in PAGES for _, path in shown(page) if path.parent == FOLDER.resolve()}
    assert from_there == {path.resolve() for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_pictures_are_small(path: Path) -> None:
    assert path.stat().st_size <= MOST_BYTES
    with Image.open(path) as image:
        assert (image.format, image.width) == ("PNG", WIDTH)
