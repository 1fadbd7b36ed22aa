"""Pages in Debian's Chromium, as the script of the documentation's pictures drives it; the servers' pages need the script itself."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from docs.screenshots import browser
from docs.screenshots.browser import PictureFailed, at_rest, colours, find_chromium, opened, picture, reduced
from docs.screenshots.pictures import PICTURES, take
from docs.screenshots.story import Story
from PIL import Image
from playwright.sync_api import BrowserContext, Error
from tests import report_records
from tests.unavailable import unavailable

from tidegate.report.page import write_report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def context() -> Iterator[BrowserContext]:
    chromium = find_chromium()
    if chromium is None:
        unavailable("chromium is not installed")
    with opened(chromium, timeout_s=20) as found:
        yield found


@pytest.fixture
def story(tmp_path: Path) -> Story:
    page = tmp_path / "report.html"
    write_report(report_records.promoted(), page)
    return Story("", "", "", (), "", page, page, page, page, page)


def test_a_picture_of_a_report_shows_the_report(context: BrowserContext, story: Story, tmp_path: Path) -> None:
    wanted = next(each for each in PICTURES if each.name == "report")
    taken = take(context, wanted, story, tmp_path)
    with Image.open(taken) as image:
        assert image.size == (browser.WIDTH, wanted.height)
        # A simulated market's report begins with a yellow band over its whole width.
        red, green, blue = image.convert("RGB").getpixel((browser.WIDTH // 4, 30))  # type: ignore[misc]
    assert red > 200 > green > 100 > blue
    assert taken.stat().st_size <= browser.MOST_BYTES
    assert colours(taken.read_bytes()) > 20


def test_a_page_without_its_content_is_no_picture(context: BrowserContext, story: Story, tmp_path: Path) -> None:
    wanted = next(each for each in PICTURES if each.name == "report")
    story.report.write_text("<!doctype html><title>x</title><p>Error")
    context.set_default_navigation_timeout(20_000)
    context.set_default_timeout(500)
    with pytest.raises(Error, match="h1"):
        take(context, wanted, story, tmp_path)
    with pytest.raises(Error, match="ERR_FILE_NOT_FOUND"):
        take(context, wanted, replace(story, report=tmp_path / "none.html"), tmp_path)
    context.set_default_timeout(20_000)
    assert not (tmp_path / "report.png").exists()


def test_an_empty_page_and_one_that_never_rests_are_no_pictures(
    context: BrowserContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser, "_LOOKS", 3)
    page = context.new_page()
    page.set_content("<!doctype html><title>empty</title>")
    with pytest.raises(PictureFailed, match=r"x\.png: the page is empty"):
        picture(page, tmp_path / "x.png")
    page.set_content("<p>0<script>setInterval(() => document.body.textContent = Math.random(), 20)</script>")
    with pytest.raises(PictureFailed, match="still changes"):
        at_rest(page)
    page.close()


def test_nothing_but_loopback_is_asked(context: BrowserContext) -> None:
    page = context.new_page()
    with pytest.raises(Error, match="ERR_FAILED"):
        page.goto("http://127.0.0.1.example.com/")
    page.close()


def test_a_picture_has_as_many_colours_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = Image.effect_noise((256, 256), 80).convert("RGB")
    written = io.BytesIO()
    noise.save(written, "PNG")
    plenty = reduced(written.getvalue(), "x.png")
    monkeypatch.setattr(browser, "MOST_BYTES", len(plenty) - 1)
    fewer = reduced(written.getvalue(), "x.png")
    assert len(fewer) < len(plenty)
    assert colours(fewer) < colours(plenty) <= 256
    monkeypatch.setattr(browser, "MOST_BYTES", 100)
    with pytest.raises(PictureFailed, match="expected at most 100"):
        reduced(written.getvalue(), "x.png")
