"""Chromium without a window, as Debian installs it: opens a page, waits until it shows what it should, and keeps a picture."""

import io
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, sync_playwright

PROGRAMS: Final = ("chromium", "google-chrome")
WIDTH: Final = 1400
HEIGHT: Final = 900
MOST_BYTES: Final = 200_000
# Root's Chromium has no sandbox; the run graph of Prefect is drawn with WebGL, which a machine without a graphics card does in software.
_ARGUMENTS: Final = (
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--force-color-profile=srgb",
)
_COLOURS: Final = (256, 128, 64, 32)
_LOOKS, _BETWEEN_S = 60, 0.5


class PictureFailed(Exception):
    """A page did not come to show what its picture is of, or the picture cannot be kept."""


def find_chromium() -> str | None:
    """The program, None where this machine has none."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


@contextmanager
def opened(chromium: str, *, timeout_s: float = 60.0) -> Iterator[BrowserContext]:
    """A browser that asks no network but loopback's, with fixed size, language and time zone.

    Args:
        chromium: the program.
        timeout_s: how long each wait for a page may take.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(_ARGUMENTS))
        try:
            context = browser.new_context(
                viewport={"width": WIDTH, "height": HEIGHT},
                locale="en-GB",
                timezone_id="UTC",
                color_scheme="light",
                reduced_motion="reduce",
            )
            context.set_default_timeout(timeout_s * 1000)
            context.route(_is_foreign, lambda route: route.abort())
            yield context
        finally:
            browser.close()


def picture(page: Page, target: Path, *, height: int = HEIGHT) -> None:
    """Keep what the window shows as a PNG in few colours.

    Args:
        page: as it should be seen.
        target: the file; its folder exists.
        height: of the window, pixels.

    Raises:
        PictureFailed: the window does not come to rest, shows one colour only, or makes too large a file.
    """
    page.set_viewport_size({"width": WIDTH, "height": height})
    target.write_bytes(reduced(at_rest(page), target.name))


def at_rest(shown: Page | Locator) -> bytes:
    """A picture of a page or of a part of it, once two in a row are the same: charts follow the window, and fade in.

    Raises:
        PictureFailed: it goes on changing.
    """
    before = b""
    for _ in range(_LOOKS):
        time.sleep(_BETWEEN_S)
        now = shown.screenshot()
        if now == before:
            return now
        before = now
    raise PictureFailed(f"{shown} still changes after {_LOOKS * _BETWEEN_S:.0f} s")


def colours(png: bytes) -> int:
    """How many different colours a picture has: an empty canvas has one."""
    with Image.open(io.BytesIO(png)) as image:
        return len(image.convert("RGB").getcolors(image.width * image.height) or ())


def reduced(png: bytes, name: str) -> bytes:
    """The picture in as many colours as fit into `MOST_BYTES`.

    Raises:
        PictureFailed: it is of one colour only, or is too large with the fewest colours.
    """
    if colours(png) == 1:
        raise PictureFailed(f"{name}: the page is empty")
    with Image.open(io.BytesIO(png)) as image:
        plain = image.convert("RGB")
    size = 0
    for most in _COLOURS:
        written = io.BytesIO()
        plain.quantize(most, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(written, "PNG", optimize=True)
        size = written.tell()
        if size <= MOST_BYTES:
            return written.getvalue()
    raise PictureFailed(f"{name}: {size} bytes in {_COLOURS[-1]} colours, expected at most {MOST_BYTES}")


def _is_foreign(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "file:", "data:", "blob:", "about:"))
