"""`checklist`, `sign`: the production checklist, answered by probes and signed by people."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli.context import Project, open_project, person, served_project
from tidegate.cli.output import AsJson, console, errors, print_json, print_table
from tidegate.errors import PromotionRefused

if TYPE_CHECKING:
    from tidegate.checklist.result import Looked

PANEL = "Production"


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(rich_help_panel=PANEL)(checklist)
    app.command(rich_help_panel=PANEL)(sign)


def checklist(
    strategy: Annotated[
        str | None,
        typer.Argument(
            help="Name of a strategy, or of one of its models. Without it, lines about a strategy are not measured."
        ),
    ] = None,
    *,
    section: Annotated[
        str | None, typer.Option(help="Only lines under a heading that holds this text, or whose id begins with it.")
    ] = None,
    version: Annotated[int | None, typer.Option(help="Version to look at. Default: the one in production.")] = None,
    gather: Annotated[
        bool,
        typer.Option(
            "--gather",
            help="First run the commands whose records are evidence: conformance kit, load test, bot check, backup, verify, restore-drill.",
        ),
    ] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the page there.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write Markdown there.")] = None,
    as_json: AsJson = False,
) -> None:
    """Look at every line of the production checklist, with evidence. Ends with 5 while a line that blocks a deployment does not pass."""
    from tidegate.checklist.checklist import look_at_all
    from tidegate.checklist.markdown import markdown as as_markdown
    from tidegate.checklist.page import write_page
    from tidegate.durable import write_whole

    asked = open_project()
    if gather:
        _gather(asked)
    with served_project(quiet=as_json) as project:
        # A server of this command's own has another port than the one that stays, and is gone when somebody reads the page.
        stays = project.settings.mlflow.port == asked.settings.mlflow.port
        chosen = None if strategy is None else project.single(strategy)
        with nullcontext() if as_json else errors.status("checklist") as status:
            looked = look_at_all(
                project.settings,
                project.root,
                chosen,
                section=section,
                version=version,
                pages_at=None if stays else f"http://127.0.0.1:{asked.settings.mlflow.port}",
                step=lambda item: None if status is None else status.update(item.text),
            )
    if html is not None:
        write_page(looked, html)
    if markdown is not None:
        write_whole(markdown, as_markdown(looked))
    if as_json:
        print_json(looked.plain())
    else:
        _show(looked)
        for path in (html, markdown):
            if path is not None:
                console.print(f"written: {path}", soft_wrap=True, markup=False)
    if looked.blocking:
        raise typer.Exit(PromotionRefused.exit_code)


def _gather(project: Project) -> None:
    """Each command and what came of it, on standard error."""
    from tidegate.checklist.gathering import gather

    for one in gather(
        project.settings, project.root, lambda step: errors.print(f".. {step.told}", soft_wrap=True, markup=False)
    ):
        errors.print(f"{one.step.name}: {one.outcome} ({one.told}), {one.took_s:.0f} s", soft_wrap=True, markup=False)


def sign(
    item: Annotated[str, typer.Argument(help="Id of a manual line, as `tidegate checklist --json` names it.")],
    *,
    by: Annotated[str, typer.Option(metavar="NAME", help="Who answers for it.")],
    note: Annotated[str, typer.Option(metavar="TEXT", help="What was done or seen.")],
    strategy: Annotated[
        str, typer.Option(help="Strategy that it is about. Default: all strategies of the installation.")
    ] = "",
    days: Annotated[
        int | None, typer.Option(help="Days that it holds. Default: as many as the line says, which is also the most.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Sign a line of the checklist that no machine can answer for. The signature is kept in the event ledger, and expires."""
    from tidegate.bars.bars import iso
    from tidegate.checklist.checklist import signable
    from tidegate.checklist.signatures import sign as write
    from tidegate.registry.events import EventLedger

    project = open_project()
    name = project.single(strategy).name if strategy else ""
    found = write(
        EventLedger.from_settings(project.settings),
        signable(project.root, item),
        name,
        by=by,
        note=note,
        actor=person(),
        days=days,
    )
    if as_json:
        print_json({"item": found.item, "by": found.by, "note": found.note, "signed_at": found.signed_at, "expires_at": found.expires_at})  # fmt: skip
        return
    console.print(
        f"{found.item}: signed by {found.by} until {iso(found.expires_at)[:10]}", soft_wrap=True, markup=False
    )


def _show(looked: "Looked") -> None:
    from tidegate.checklist.words import ICONS, WORDS, basis, chapters, counted, headline

    for outer, sections in chapters(looked):
        for inner, lines in sections:
            rows = [(f"{ICONS[line.state]} {WORDS[line.state]}", line.item.text, line.evidence) for line in lines]
            title = " / ".join(part for part in (outer, inner) if part)
            print_table(f"{title}: {counted(lines)}", ("verdict", "line", "evidence"), rows, whole=("verdict",))
    if looked.test_score is not None:
        points = ", ".join(f"{name} {value:g}" for name, value in looked.test_score.sections)
        console.print(
            f"ML Test Score {looked.test_score.score:g} ({points}): {looked.test_score.reading}",
            soft_wrap=True,
            markup=False,
        )
    told = headline(looked)
    console.print(f"{told.word}: {told.sentence}", soft_wrap=True, markup=False)
    console.print(basis(looked), soft_wrap=True, markup=False)
