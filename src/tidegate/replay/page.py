"""The replay's page: everything inline, nothing loaded, complete without scripts."""

from pathlib import Path

from tidegate.durable import write_whole
from tidegate.replay.page_decisions import decision_rows, decisions_lead, differences, hindsight
from tidegate.replay.page_figures import deployed
from tidegate.replay.page_headline import basis, headline, tiles
from tidegate.replay.page_made import facts, timings
from tidegate.replay.page_markdown import markdown
from tidegate.replay.page_paths import equity, kinds_drawn, paths, pointer_rows
from tidegate.replay.result import ReplayResult
from tidegate.report.document import document

__all__ = ["markdown", "render", "write_page"]


def render(result: ReplayResult) -> str:
    """The page about one replay as one HTML document.

    The same result gives the same text. Its content security policy allows nothing but the page's own style and script.

    Args:
        result: one replay with the path `deployed`; figures that are None are shown as such, never as zero.
    Raises:
        ValueError: the path `deployed` is missing.
    """
    return document(
        "tidegate.replay",
        "replay.html.j2",
        styles=("style.css", "replay.css"),
        scripts=("enhance.js", "replay.js"),
        result=result,
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
    write_whole(path, render(result))


def write_pages(result: ReplayResult, folder: Path) -> Path:
    """Write the result as JSON and its page, named by the first and the last month, each whole or not at all.

    Args:
        result: one replay.
        folder: made if it is missing; older files are replaced.
    Returns:
        the page.
    Raises:
        OSError: a file cannot be written.
        ValueError: the path `deployed` is missing.
    """
    stem = folder / f"{result.first_month}-{result.last_month}"
    write_whole(stem.with_suffix(".json"), result.to_json())
    page = stem.with_suffix(".html")
    write_page(result, page)
    return page
