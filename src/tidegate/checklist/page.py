"""The page: everything inline, nothing loaded, complete without scripts."""

from importlib.resources import files
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tidegate.checklist.result import Looked
from tidegate.checklist.words import ICONS, TONES, WORDS, basis, chapters, counted, headline
from tidegate.pipeline.files import whole_file
from tidegate.report import formats
from tidegate.report.page import unbroken_dates


def render(looked: Looked) -> str:
    """The page as text: the same for the same look. Its content security policy allows nothing but the page's own style."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("tidegate.checklist"), PackageLoader("tidegate.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["dates"] = unbroken_dates
    return environment.get_template("checklist.html.j2").render(
        looked=looked,
        style=_packaged("tidegate.report", "style.css") + _packaged("tidegate.checklist", "checklist.css"),
        headline=headline(looked),
        basis=basis(looked),
        blocking=looked.blocking,
        chapters=[(outer, list(sections)) for outer, sections in chapters(looked)],
        counted=counted,
        words=WORDS,
        icons=ICONS,
        tones=TONES,
        formats=formats,
    )


def write_page(looked: Looked, path: Path) -> None:
    """Write the page as one file, whole or not at all.

    Raises:
        OSError: it cannot be written; what stood there before still stands.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write_text(render(looked), encoding="utf-8")


def _packaged(package: str, name: str) -> Markup:
    return Markup((files(package) / "templates" / name).read_text(encoding="utf-8"))  # noqa: S704  the packages' own files
