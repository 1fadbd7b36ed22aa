"""The page: everything inline, nothing loaded, complete without scripts."""

from pathlib import Path

from tidegate.checklist.result import Looked
from tidegate.checklist.words import ICONS, TONES, WORDS, basis, chapters, counted, headline
from tidegate.durable import write_whole
from tidegate.report.document import document


def render(looked: Looked) -> str:
    """The page as text: the same for the same look. Its content security policy allows nothing but the page's own style."""
    return document(
        "tidegate.checklist",
        "checklist.html.j2",
        styles=("style.css", "checklist.css"),
        scripts=(),
        looked=looked,
        headline=headline(looked),
        basis=basis(looked),
        blocking=looked.blocking,
        chapters=[(outer, list(sections)) for outer, sections in chapters(looked)],
        counted=counted,
        words=WORDS,
        icons=ICONS,
        tones=TONES,
    )


def write_page(looked: Looked, path: Path) -> None:
    """Write the page as one file, whole or not at all.

    Raises:
        OSError: it cannot be written; what stood there before still stands.
    """
    write_whole(path, render(looked))
