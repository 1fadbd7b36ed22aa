"""The page: one HTML document with everything inline, and the same as Markdown and JSON."""

from pathlib import Path

from tidegate.calibration.headline import headline, tiles
from tidegate.calibration.markdown import markdown
from tidegate.calibration.page_sections import figures_facts, sections
from tidegate.calibration.result import Calibration
from tidegate.durable import write_whole
from tidegate.report import formats
from tidegate.report.document import document


def render(found: Calibration, created_ms: int) -> str:
    """The page as text: the same for the same calibration and time.

    Args:
        found: the calibration.
        created_ms: UTC ms, for the foot of the page.
    """
    return document(
        "tidegate.calibration",
        "calibration.html.j2",
        styles=("style.css", "calibration.css"),
        scripts=("enhance.js",),
        found=found,
        headline=headline(found),
        tiles=tiles(found),
        sections=sections(found),
        facts=figures_facts(found),
        created=formats.moment(created_ms),
    )


def write_pages(found: Calibration, folder: Path, *, created_ms: int) -> Path:
    """Write `calibration.html`, `.md` and `.json`, each whole or not at all.

    Args:
        found: the calibration.
        folder: made if it is missing; older files are replaced.
        created_ms: UTC ms.
    Returns:
        the page.
    Raises:
        OSError: a file cannot be written.
    """
    texts = {"json": found.to_json(), "md": markdown(found, created_ms), "html": render(found, created_ms)}
    for kind, text in texts.items():
        write_whole(folder / f"calibration.{kind}", text)
    return folder / "calibration.html"
