"""The page of a monitoring run: everything inline, nothing loaded, complete without scripts; in the report's style."""

import os
import secrets
from importlib.resources import files
from pathlib import Path
from typing import Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tidegate.monitoring.page.record import MonitorRecord
from tidegate.monitoring.page.sections import sections
from tidegate.monitoring.page.words import basis, checklist_rows, headline, rule_rows, tiles
from tidegate.report import formats
from tidegate.report.page import unbroken_dates

_STYLE: Final = files("tidegate.report") / "templates" / "style.css"


def render(record: MonitorRecord) -> str:
    """One HTML document; the same record gives the same text.

    Its content security policy allows nothing but the page's own style, so that neither a hostile name nor a mistake here can load or run anything.

    Args:
        record: one run; values that are missing, NaN or infinite are shown as such.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("tidegate.monitoring.page"), PackageLoader("tidegate.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["dates"] = unbroken_dates
    return environment.get_template("monitoring.html.j2").render(
        record=record,
        strategy=record.strategy,
        formats=formats,
        style=Markup(_STYLE.read_text(encoding="utf-8")),  # noqa: S704  the package's own file
        headline=headline(record),
        basis=basis(record),
        tiles=tiles(record),
        rules=rule_rows(record.findings),
        checklist=checklist_rows(record.checklist),
        sections=sections(record),
    )


def write_page(record: MonitorRecord, path: Path) -> None:
    """Write the page, whole or not at all; an older one is replaced.

    Args:
        record: one run.
        path: the file; its folder is made if it is missing.
    Raises:
        OSError: the file cannot be written; what stood there before still stands.
    """
    text = render(record)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
