"""The page: everything inline, nothing loaded, complete without scripts."""

import base64
import hashlib
import os
import secrets
from importlib.resources import files
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tidegate.monitoring.page.headline import basis, headline
from tidegate.monitoring.page.parts import Part
from tidegate.monitoring.page.record import MonitorRecord
from tidegate.monitoring.page.sections.changes import drift
from tidegate.monitoring.page.sections.difference import difference
from tidegate.monitoring.page.sections.judgement import check_rows, checklist_lead, finding_rows, findings_lead
from tidegate.monitoring.page.sections.performance import performance
from tidegate.monitoring.page.sections.provenance import facts
from tidegate.monitoring.page.sections.rows import rows
from tidegate.monitoring.page.sections.versions import regimes, versions
from tidegate.monitoring.page.sections.wins import wins
from tidegate.monitoring.page.tiles import tiles
from tidegate.report import formats
from tidegate.report.page import unbroken_dates


def render(record: MonitorRecord) -> str:
    """The page about one monitoring run as one HTML document.

    The same record gives the same text. Its content security policy allows nothing but the page's own style and script.

    Args:
        record: one run; values that are missing, NaN or infinite are shown as such, never as zero.
    """
    style = _packaged("tidegate.report", "style.css") + _packaged("tidegate.monitoring.page", "monitor.css")
    script = _packaged("tidegate.report", "enhance.js")
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("tidegate.monitoring.page"), PackageLoader("tidegate.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["dates"] = unbroken_dates
    parts = (
        performance(record),
        Part(wins(record)),
        drift(record),
        Part(difference(record)),
        Part(regimes(record)),
        Part(versions(record)),
        Part(rows(record)),
    )
    return environment.get_template("monitor.html.j2").render(
        record=record,
        strategy=record.strategy,
        formats=formats,
        style=style,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(str(script).encode()).digest()).decode(),
        headline=headline(record),
        basis=basis(record),
        tiles=tiles(record),
        findings=finding_rows(record),
        findings_lead=findings_lead(record),
        parts=[part for part in parts if part.section.blocks],
        absent=[part.section for part in parts if not part.section.blocks],
        checklist=check_rows(record),
        checklist_lead=checklist_lead(record),
        facts=facts(record),
    )


def write_page(record: MonitorRecord, path: Path) -> None:
    """Write the page as one HTML file, whole or not at all.

    Args:
        record: one run.
        path: the file; its folder is made if it is missing, an older page is replaced.
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


def _packaged(package: str, name: str) -> Markup:
    return Markup((files(package) / "templates" / name).read_text(encoding="utf-8"))  # noqa: S704  the packages' own files
