"""`history`, `compare`, `promote`, `rollback`, `clear`, `halt`, `resume`, `repair`: versions and their ledger."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from tidegate.cli.acts import COLUMNS, act_lines, named
from tidegate.cli.context import Project, open_project, person, served_project
from tidegate.cli.output import AsJson, console, errors, print_json, print_table

if TYPE_CHECKING:
    from tidegate.gates.result import Decision
    from tidegate.registry.ledger import Ledger
    from tidegate.registry.promotion import Outcome, Promoter
    from tidegate.settings.settings import Settings

PANEL = "Versions and their ledger"
StrategyName = Annotated[str, typer.Argument(help="Name of a strategy.")]
VersionNumber = Annotated[int, typer.Argument(help="Number of the version.", min=1)]
Reason = Annotated[str, typer.Option(help="Why; goes into the ledger.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (history, compare, promote, rollback, bar, clear, halt, resume, repair):
        app.command(rich_help_panel=PANEL)(command)


def history(
    strategy: StrategyName,
    *,
    every_row: Annotated[
        bool, typer.Option("--all", help="Show also the rows that say what an act intended before it ended.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """The promotion ledger of a strategy, one line an act: who changed what, when and why.

    The ledger's hash chain is verified first, against what MLflow remembers of it where a server is configured or up.
    """
    from tidegate.registry.ledger import Ledger

    project = open_project()
    settings = project.settings
    ledger = Ledger.from_settings(settings)
    ledger.verify()
    for head in _remembered_heads(settings, strategy):
        ledger.verify(head)
    rows = ledger.rows(strategy)
    if not rows:
        models = project.models(strategy)
        if models != (strategy,):
            _show_models(ledger, strategy, models, as_json=as_json)
            return
    if as_json:
        print_json([_row(row) for row in rows])
        return
    if not rows:
        console.print(f"{strategy} has no history; [cyan]tidegate retrain {strategy}[/] makes some", soft_wrap=True)
        return
    state = ledger.state(strategy)
    halted = "" if state.halt is None else ", HALTED"
    title = f"{strategy}: {named(state.current)} is in production{halted}"
    print_table(title, COLUMNS, act_lines(rows, every_row=every_row), whole=COLUMNS[:4])


def compare(
    strategy: StrategyName,
    a: VersionNumber,
    b: VersionNumber,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Show every metric and parameter, not only the main and the differing ones.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Two versions side by side: windows, gates, metrics, parameters."""
    from tidegate.cli.side_by_side import comparison_tables, sameness
    from tidegate.registry.comparison import compare as side_by_side
    from tidegate.registry.tracking import Tracking

    with served_project(quiet=as_json) as project:
        found = side_by_side(Tracking(project.settings), strategy, a, b)
    if as_json:
        print_json(found)
        return
    for table in comparison_tables(found, a, b, everything=everything):
        print_table(table.title, table.columns, table.rows)
    console.print(sameness(found))


def promote(
    strategy: StrategyName,
    version: VersionNumber,
    *,
    reason: Reason,
    override: Annotated[
        bool, typer.Option("--override", help="Promote although the gates refuse; recorded as such.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Promote a registered version. The gates' decision that is kept with it must allow it, or --override must be given."""
    from tidegate.registry.opening import open_promoter
    from tidegate.registry.tracking import Tracking

    with served_project(quiet=as_json) as project:
        tracking = Tracking(project.settings)
        promoter = open_promoter(project.settings, tracking)
        _repair(promoter, strategy)
        decision = tracking.decision(strategy, version)
        champion = _judged_champion(decision) if decision is not None else promoter.current(strategy)
        outcome = promoter.promote(
            strategy, version, decision, actor=person(), reason=reason, champion=champion, override=override
        )
    _say(outcome, as_json=as_json)


def rollback(
    strategy: StrategyName,
    *,
    reason: Reason,
    to: Annotated[int | None, typer.Option(help="Version to go back to. Default: the last good one.", min=1)] = None,
    leaving: Annotated[
        int | None,
        typer.Option("--from", help="Version to leave; nothing is done when production is another one.", min=1),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Do not bar the version that is left.")] = False,
    verify: Annotated[
        bool,
        typer.Option("--verify/--no-verify", help="Ask every serving process whether it follows; exit code 7 if not."),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Go back to the last good version, bar the one that is left, and see that every serving process follows; without a good one, halt.

    Doing it twice equals doing it once. When the version gone back to is bad as well, name it by --from. It opens an incident.
    """
    from tidegate.cli.incident_commands import tell_report
    from tidegate.notify.notifier import Notifier
    from tidegate.registry.events import EventLedger
    from tidegate.rollback.act import roll_back
    from tidegate.rollback.procedure import open_procedure, rules_of

    with served_project(quiet=as_json) as project:
        promoter = _promoter(project)
        _repair(promoter, strategy)
        notifier = Notifier(project.settings, EventLedger(promoter.ledger.database))
        report = roll_back(
            open_procedure(project.settings, notifies=notifier, promoter=promoter),
            strategy,
            actor=person(),
            reason=reason,
            watch_minutes=rules_of(project.settings, strategy).watch_minutes,
            leaving=leaving,
            to=to,
            keep=keep,
            verify=verify,
        )
    tell_report(report, None if report.row is None else _row(report.row), as_json=as_json)


def bar(strategy: StrategyName, version: VersionNumber, *, reason: Reason, as_json: AsJson = False) -> None:
    """Bar a version: it can be neither promoted nor gone back to until `clear`."""
    with served_project(quiet=as_json) as project:
        outcome = _promoter(project).bar(strategy, version, actor=person(), reason=reason)
    _say(outcome, as_json=as_json)


def clear(strategy: StrategyName, version: VersionNumber, *, reason: Reason, as_json: AsJson = False) -> None:
    """Lift the bar of a version, so that it can be promoted or gone back to again."""
    with served_project(quiet=as_json) as project:
        outcome = _promoter(project).clear(strategy, version, actor=person(), reason=reason)
    _say(outcome, as_json=as_json)


def halt(strategy: StrategyName, *, reason: Reason, as_json: AsJson = False) -> None:
    """Halt a strategy: nothing is served and nothing promoted until `resume`."""
    with served_project(quiet=as_json) as project:
        outcome = _promoter(project).halt(strategy, actor=person(), reason=reason)
    _say(outcome, as_json=as_json)


def resume(strategy: StrategyName, *, reason: Reason, as_json: AsJson = False) -> None:
    """End a halt: the version in production goes on, and others can be promoted again."""
    with served_project(quiet=as_json) as project:
        outcome = _promoter(project).resume(strategy, actor=person(), reason=reason)
    _say(outcome, as_json=as_json)


def repair(strategy: StrategyName, *, as_json: AsJson = False) -> None:
    """Finish or undo what a crash left open, and record what was changed in MLflow's UI. Every retrain does this first."""
    from tidegate.registry.repair import repair as bring_together

    with served_project(quiet=as_json) as project:
        report = bring_together(_promoter(project), strategy)
    if as_json:
        done = {"published": report.published, "signed": report.signed}
        print_json({"rows": [_row(row) for row in report.rows], "alerts": report.alerts, **done})
        return
    for alert in report.alerts:
        _alert(alert)
    if report.signed:
        console.print("the version in production was signed with the key in use")
    if report.published:
        console.print("the state that services go by was published again")
    console.print(f"{len(report.rows)} row(s) written" if report.rows else "ledger and registry agree")


def _show_models(ledger: "Ledger", strategy: str, models: tuple[str, ...], *, as_json: bool) -> None:
    """The models of a strategy that trains one a symbol; each has a history of its own."""
    found = {model: ledger.rows(model) for model in models}
    if as_json:
        print_json([_row(row) for rows in found.values() for row in rows])
        return
    lines = [(model, named(ledger.state(model).current), len(act_lines(rows))) for model, rows in found.items()]
    print_table(f"{strategy} has one model a symbol", ("model", "in production", "acts"), lines, whole=("model",))
    console.print(f"[cyan]tidegate history {models[0]}[/] shows what happened to one", soft_wrap=True)


def _remembered_heads(settings: "Settings", strategy: str) -> list[str]:
    """Hashes of ledger rows that MLflow keeps as tags of the versions in production: rows cut off the ledger's end show by them."""
    from tidegate.errors import RegistryError
    from tidegate.registry.tracking import Tracking
    from tidegate.services import mlflow_server
    from tidegate.services.status import status

    if settings.mlflow.tracking_uri is None:
        up = any(each.name == mlflow_server.NAME and each.answering for each in status(settings).services)
        if not up:
            return []
        address = mlflow_server.address(settings)
        settings = settings.model_copy(update={"mlflow": settings.mlflow.model_copy(update={"tracking_uri": address})})
    tracking = Tracking(settings)
    try:
        versions = [tracking.alias(strategy, alias) for alias in ("production", "previous")]
        tags = [tracking.version(strategy, version).tags for version in versions if version is not None]
    except RegistryError as error:
        errors.print(f"[yellow]not compared with MLflow[/]: {escape(error.what)}", soft_wrap=True)
        return []
    return [found["ledger_row"] for found in tags if found.get("ledger_row")]


def _judged_champion(decision: "Decision") -> int | None:
    """The version that was in production when the gates decided: if another one is there now, the contest no longer counts."""
    contest = next((result for result in decision.results if result.name == "champion"), None)
    version = contest.evidence.get("champion_version") if contest else None
    return version if isinstance(version, int) else None


def _promoter(project: Project) -> "Promoter":
    from tidegate.registry.opening import open_promoter

    return open_promoter(project.settings)


def _repair(promoter: "Promoter", strategy: str) -> None:
    from tidegate.registry.repair import repair as bring_together

    for alert in bring_together(promoter, strategy).alerts:
        _alert(alert)


def _alert(alert: str) -> None:
    errors.print(f"[bold red]ALERT[/] {escape(alert)}", soft_wrap=True)


def _say(outcome: "Outcome", *, as_json: bool) -> None:
    if as_json:
        row = None if outcome.row is None else _row(outcome.row)
        print_json({"changed": outcome.changed, "message": outcome.message, "row": row})
    else:
        console.print(outcome.message, soft_wrap=True, markup=False)


def _row(row: Any) -> dict[str, Any]:  # noqa: ANN401  a slotted dataclass
    from dataclasses import asdict

    from tidegate.bars.bars import iso

    return asdict(row) | {"at": iso(row.created_at)}
