"""The page: one HTML document with everything inline, and the same as Markdown and JSON."""

import base64
import hashlib
from importlib.resources import files
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tidegate.calibration.headline import headline, tiles
from tidegate.calibration.markdown import markdown
from tidegate.calibration.page_sections import figures_facts, sections
from tidegate.calibration.result import Calibration
from tidegate.pipeline.files import whole_file
from tidegate.report import formats
from tidegate.report.page import unbroken_dates


def render(found: Calibration, created_ms: int) -> str:
    """The page as text: the same for the same calibration and time.

    Args:
        found: the calibration.
        created_ms: UTC ms, for the foot of the page.
    """
    style = _packaged("tidegate.report", "style.css") + _packaged("tidegate.calibration", "calibration.css")
    script = _packaged("tidegate.report", "enhance.js")
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("tidegate.calibration"), PackageLoader("tidegate.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["dates"] = unbroken_dates
    return environment.get_template("calibration.html.j2").render(
        found=found,
        formats=formats,
        style=style,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(str(script).encode()).digest()).decode(),
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
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"json": found.to_json(), "md": markdown(found, created_ms), "html": render(found, created_ms)}
    for kind, text in texts.items():
        with whole_file(folder / f"calibration.{kind}") as file:
            file.write_text(text, encoding="utf-8")
    return folder / "calibration.html"


def _packaged(package: str, name: str) -> Markup:
    return Markup((files(package) / "templates" / name).read_text(encoding="utf-8"))  # noqa: S704  the packages' own files
