"""`propose`: whether past trials speak for another configuration."""

from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli.context import open_project
from tidegate.cli.output import AsJson, console, print_json, print_table

if TYPE_CHECKING:
    from tidegate.pipeline.propose import Proposed

PANEL = "Versions and their ledger"
COLUMNS = ("change", "Sharpe", "present", "p", "overfitting", "passes")
SHOWN = 10


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=PANEL)(propose)


def propose(
    strategy: Annotated[str, typer.Argument(help="Name of a strategy, or the path of its file.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Compare all logged trials with the present configuration, and propose a change only where the evidence is enough.

    Writes Markdown with the evidence and a YAML change to the runs' folder. The change is never applied by itself.
    """
    from datetime import UTC, datetime

    from tidegate.pipeline.propose import describe, propose_model

    project = open_project()
    month = datetime.now(UTC).strftime("%Y-%m")
    found = [propose_model(single, project.settings, month) for single in project.strategy(strategy).single()]
    if as_json:
        print_json([describe(each) for each in found])
        return
    for each in found:
        _show(each)


def _show(proposed: "Proposed") -> None:
    from tidegate.pipeline.proposal_text import because, headline
    from tidegate.report import formats

    proposal = proposed.proposal
    colour = "green" if proposal.chosen is None else "yellow"
    console.print(f"\n[bold {colour}]{headline(proposal)}[/]", soft_wrap=True)
    console.print(because(proposal), soft_wrap=True, markup=False)
    rows = [
        (
            each.title,
            formats.decimal(each.sharpe),
            formats.decimal(each.present_sharpe),
            formats.tiny(each.p_value),
            formats.decimal(each.overfitting),
            "yes" if each.passes else "no",
        )
        for each in proposal.alternatives[:SHOWN]
    ]
    if rows:
        print_table(f"{len(proposal.alternatives)} alternatives, best first", COLUMNS, rows)
    console.print(f"Evidence: {proposed.report}", soft_wrap=True, markup=False)
    console.print(f"Change:   {proposed.patch}", soft_wrap=True, markup=False)
