"""The replay's page: everything inline, nothing loaded, complete without scripts."""

import base64
import hashlib
import os
import secrets
from importlib.resources import files
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tidegate.replay.page_decisions import decision_rows, decisions_lead, differences, hindsight
from tidegate.replay.page_figures import deployed
from tidegate.replay.page_headline import basis, headline, tiles
from tidegate.replay.page_made import facts, timings
from tidegate.replay.page_markdown import markdown
from tidegate.replay.page_paths import equity, kinds_drawn, paths, pointer_rows
from tidegate.replay.result import ReplayResult
from tidegate.report import formats
from tidegate.report.page import unbroken_dates

__all__ = ["markdown", "render", "write_page"]


def render(result: ReplayResult) -> str:
    """The page about one replay as one HTML document.

    The same result gives the same text. Its content security policy allows nothing but the page's own style and script.

    Args:
        result: one replay with the path `deployed`; figures that are None are shown as such, never as zero.
    Raises:
        ValueError: the path `deployed` is missing.
    """
    style = _packaged("tidegate.report", "style.css") + _packaged("tidegate.replay", "replay.css")
    script = _packaged("tidegate.report", "enhance.js") + _packaged("tidegate.replay", "replay.js")
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("tidegate.replay"), PackageLoader("tidegate.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["dates"] = unbroken_dates
    return environment.get_template("replay.html.j2").render(
        result=result,
        formats=formats,
        style=style,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(str(script).encode()).digest()).decode(),
        headline=headline(result),
        basis=basis(result),
        tiles=tiles(result),
        equity=equity(result),
        kinds=kinds_drawn(result),
        produced=any(month.production_after is not None for month in deployed(result).months),
        paths=paths(result),
        decisions=decision_rows(result),
        decisions_lead=decisions_lead(result),
        hindsight=hindsight(result),
        policies=differences(result),
        facts=facts(result),
        timings=timings(result),
        libraries=sorted(result.libraries.items()),
        profits={"names": [path.title for path in result.paths], "rows": pointer_rows(result)},
    )


def write_page(result: ReplayResult, path: Path) -> None:
    """Write the page as one HTML file, whole or not at all.

    Args:
        result: one replay.
        path: the file; its folder is made if it is missing, an older page is replaced.
    Raises:
        OSError: the file cannot be written; what stood there before still stands.
        ValueError: the path `deployed` is missing.
    """
    text = render(result)
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
