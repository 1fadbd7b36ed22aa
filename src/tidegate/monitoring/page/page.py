"""The page: everything inline, nothing loaded, complete without scripts."""

from pathlib import Path

from tidegate.durable import write_whole
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
from tidegate.report.document import document


def render(record: MonitorRecord) -> str:
    """The page about one monitoring run as one HTML document.

    The same record gives the same text. Its content security policy allows nothing but the page's own style and script.

    Args:
        record: one run; values that are missing, NaN or infinite are shown as such, never as zero.
    """
    parts = (
        performance(record),
        Part(wins(record)),
        drift(record),
        Part(difference(record)),
        Part(regimes(record)),
        Part(versions(record)),
        Part(rows(record)),
    )
    return document(
        "tidegate.monitoring.page",
        "monitor.html.j2",
        styles=("style.css", "monitor.css"),
        scripts=("enhance.js",),
        record=record,
        strategy=record.strategy,
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
    write_whole(path, render(record))
