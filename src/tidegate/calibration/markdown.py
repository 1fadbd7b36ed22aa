"""The calibration as Markdown: the finding, all policies in all worlds, the checks and what is assumed."""

from collections.abc import Iterable

from tidegate.calibration.headline import headline, tiles
from tidegate.calibration.page_sections import figures_facts, sections
from tidegate.calibration.result import Calibration
from tidegate.report import formats
from tidegate.report.table import Table


def markdown(found: Calibration, created_ms: int) -> str:
    """The same tables as the page, without its charts."""
    said = headline(found)
    lines = [f"# Calibration of {found.strategy}, policy {found.policy}: {said.word}", ""]
    if found.kind == "simulated":
        lines += ["> **SIMULATED MARKET: this says nothing about real markets.**", ""]
    lines += [said.sentence, "", said.basis, ""]
    lines += [f"- {tile.title}: {tile.value} ({tile.detail})" for tile in tiles(found)]
    for section in sections(found):
        lines += ["", f"## {section.heading}", "", section.lead]
        for block in section.blocks:
            if block.table is not None:
                lines += ["", *_table(block.table)]
            if block.remark:
                lines += ["", block.remark]
    lines += ["", "## Figures", "", *(f"- {name}: {value}" for name, value in figures_facts(found))]
    lines += ["", "## What is assumed", "", *(f"- {sentence}" for sentence in found.assumptions)]
    return "\n".join([*lines, "", f"Created {formats.moment(created_ms)}.", ""]).replace(formats.NBSP, " ")


def _table(table: Table) -> Iterable[str]:
    titles = [f"{column.title} ({column.note})" if column.note else column.title for column in table.columns]
    yield "| " + " | ".join(titles) + " |"
    yield "|" + "|".join("--:" if column.numeric else ":--" for column in table.columns) + "|"
    for row in table.rows:
        yield "| " + " | ".join(cell.text.replace("|", "\\|") for cell in row) + " |"
