"""The page: everything inline, nothing loaded, complete without scripts."""

from pathlib import Path

from tidegate.durable import write_whole
from tidegate.report.document import document
from tidegate.report.record import RunRecord
from tidegate.report.sections.contest import contest, folds
from tidegate.report.sections.gates import gate_rows, tiles
from tidegate.report.sections.opinions import changes, halves, policies
from tidegate.report.sections.performance import performance, pointer_rows, quote_currency
from tidegate.report.sections.probabilities import probabilities
from tidegate.report.sections.provenance import provenance
from tidegate.report.sections.quality import quality
from tidegate.report.sections.robustness import costs, regimes
from tidegate.report.sections.trades import trades
from tidegate.report.sections.verdict import basis, headline


def render(record: RunRecord) -> str:
    """The report as one HTML document, under 2 MB for any length of history.

    The same record gives the same text: the page shows the record's times and no others. Its content security policy allows nothing
    but the page's own style and script, so that neither a hostile note nor a mistake here can load or run anything.

    Args:
        record: one retraining; values that are missing, NaN or infinite are shown as such.
    """
    return document(
        "tidegate.report",
        "report.html.j2",
        styles=("style.css",),
        scripts=("enhance.js",),
        record=record,
        strategy=record.strategy,
        headline=headline(record),
        basis=basis(record),
        halves=halves(record),
        policies=policies(record),
        changes=changes(record),
        tiles=tiles(record),
        gates=gate_rows(record),
        sections=(
            performance(record),
            folds(record),
            contest(record),
            trades(record),
            regimes(record),
            costs(record),
            probabilities(record),
        ),
        quality=quality(record),
        provenance=provenance(record),
        pointer={"rows": pointer_rows(record), "currency": quote_currency(record)},
    )


def write_report(record: RunRecord, path: Path) -> None:
    """Write the report as one HTML file, whole or not at all.

    Args:
        record: one retraining.
        path: the file; its folder is made if it is missing, an older report is replaced.
    Raises:
        OSError: the file cannot be written; what stood there before still stands.
    """
    write_whole(path, render(record))
