"""The page: everything inline, nothing loaded, complete without scripts."""

import base64
import hashlib
import os
import re
import secrets
from importlib.resources import files
from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tidegate.report import formats
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

_TEMPLATES: Final = files("tidegate.report") / "templates"
_DATE: Final = re.compile(r"\b\d{4}-\d\d-\d\d( \d\d:\d\d( UTC)?)?")


def render(record: RunRecord) -> str:
    """The report as one HTML document, under 2 MB for any length of history.

    The same record gives the same text: the page shows the record's times and no others. Its content security policy allows nothing
    but the page's own style and script, so that neither a hostile note nor a mistake here can load or run anything.

    Args:
        record: one retraining; values that are missing, NaN or infinite are shown as such.
    """
    style, script = (Markup((_TEMPLATES / name).read_text(encoding="utf-8")) for name in ("style.css", "enhance.js"))  # noqa: S704  the package's own files
    environment = Environment(
        loader=PackageLoader("tidegate.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["dates"] = unbroken_dates
    return environment.get_template("report.html.j2").render(
        record=record,
        strategy=record.strategy,
        formats=formats,
        style=style,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(str(script).encode()).digest()).decode(),
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


def unbroken_dates(text: str) -> Markup:
    """Text, escaped, whose dates and times never break over two lines at their hyphens."""
    return Markup(_DATE.sub(r'<span class="date">\g<0></span>', str(escape(text))))  # noqa: S704  escaped just now


def write_report(record: RunRecord, path: Path) -> None:
    """Write the report as one HTML file, whole or not at all.

    Args:
        record: one retraining.
        path: the file; its folder is made if it is missing, an older report is replaced.
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
