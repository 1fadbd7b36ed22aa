"""`history`, `compare`, `promote`, `rollback`, `clear`, `halt`, `resume`, `repair`: versions and their ledger."""

from typing import Annotated, Any

import typer

from tidegate.bars.bars import iso
from tidegate.cli.context import Project, open_project, person, served_project
from tidegate.cli.output import AsJson, console, print_json, print_table
from tidegate.gates.result import Decision
from tidegate.registry.ledger import Ledger
from tidegate.registry.opening import open_promoter
from tidegate.registry.promotion import Outcome, Promoter
from tidegate.registry.tracking.versions import Tracking

PANEL = "Versions and their ledger"
StrategyName = Annotated[str, typer.Argument(help="Name of a strategy.")]
VersionNumber = Annotated[int, typer.Argument(help="Number of the version.", min=1)]
Reason = Annotated[str, typer.Option(help="Why; goes into the ledger.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (history, compare, promote, rollback, bar, clear, halt, resume, repair):
        app.command(rich_help_panel=PANEL)(command)


def history(strategy: StrategyName, *, as_json: AsJson = False) -> None:
    """The promotion ledger of a strategy: who changed what, when and why. Its hash chain is verified first."""
    ledger = Ledger.from_settings(open_project().settings)
    ledger.verify()
    rows = ledger.rows(strategy)
    if as_json:
        print_json([_row(row) for row in rows])
        return
    state = ledger.state(strategy)
    shown = [
        (
            row.id,
            iso(row.created_at),
            row.action,
            row.state,
            _named(row.from_version),
            _named(row.to_version),
            row.actor,
            row.reason,
        )
        for row in rows
    ]
    if not shown:
        console.print(f"{strategy} has no history; [cyan]tidegate retrain {strategy}[/] makes some")
        return
    print_table(
        f"{strategy}: production {_named(state.current) or 'none'}",
        ("id", "at", "action", "state", "from", "to", "who", "why"),
        shown,
    )


def compare(strategy: StrategyName, a: VersionNumber, b: VersionNumber, *, as_json: AsJson = False) -> None:
    """Two versions side by side: metrics, parameters, windows, gates."""
    from tidegate.registry.comparison import compare as side_by_side

    with served_project(quiet=as_json) as project:
        found = side_by_side(Tracking(project.settings), strategy, a, b)
    if as_json:
        print_json(found)
        return
    for title, pairs in found.items():
        if isinstance(pairs, dict):
            rows = [(name, *_pair(pair)) for name, pair in pairs.items()]
            print_table(title, ("", f"v{a}", f"v{b}"), rows)
        else:
            console.print(f"{title}: {pairs}", markup=False)


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
    keep: Annotated[bool, typer.Option("--keep", help="Do not bar the version that is left.")] = False,
    as_json: AsJson = False,
) -> None:
    """Go back to the last good version and bar the one that is left; without a good one, halt."""
    with served_project(quiet=as_json) as project:
        promoter = _promoter(project)
        _repair(promoter, strategy)
        outcome = promoter.rollback(strategy, actor=person(), reason=reason, to_version=to, bar=not keep)
    _say(outcome, as_json=as_json)


def bar(strategy: StrategyName, version: VersionNumber, *, reason: Reason, as_json: AsJson = False) -> None:
    """Bar a version: it can be neither promoted nor gone back to until `clear`."""
    with served_project(quiet=as_json) as project:
        outcome = _promoter(project).bar(strategy, version, actor=person(), reason=reason)
    _say(outcome, as_json=as_json)


def clear(strategy: StrategyName, version: VersionNumber, *, reason: Reason, as_json: AsJson = False) -> None:
    """Lift the bar of a version."""
    with served_project(quiet=as_json) as project:
        outcome = _promoter(project).clear(strategy, version, actor=person(), reason=reason)
    _say(outcome, as_json=as_json)


def halt(strategy: StrategyName, *, reason: Reason, as_json: AsJson = False) -> None:
    """Halt a strategy: nothing is served and nothing promoted until `resume`."""
    with served_project(quiet=as_json) as project:
        outcome = _promoter(project).halt(strategy, actor=person(), reason=reason)
    _say(outcome, as_json=as_json)


def resume(strategy: StrategyName, *, reason: Reason, as_json: AsJson = False) -> None:
    """End a halt."""
    with served_project(quiet=as_json) as project:
        outcome = _promoter(project).resume(strategy, actor=person(), reason=reason)
    _say(outcome, as_json=as_json)


def repair(strategy: StrategyName, *, as_json: AsJson = False) -> None:
    """Finish or undo what a crash left open, and record what was changed in MLflow's UI. Every retrain does this first."""
    from tidegate.registry.repair import repair as bring_together

    with served_project(quiet=as_json) as project:
        report = bring_together(_promoter(project), strategy)
    if as_json:
        print_json({"rows": [_row(row) for row in report.rows], "alerts": report.alerts})
        return
    for alert in report.alerts:
        console.print(f"[bold red]ALERT[/] {alert}", soft_wrap=True)
    console.print(f"{len(report.rows)} row(s) written" if report.rows else "ledger and registry agree")


def _judged_champion(decision: Decision) -> int | None:
    """The version that was in production when the gates decided: if another one is there now, the contest no longer counts."""
    contest = next((result for result in decision.results if result.name == "champion"), None)
    version = contest.evidence.get("champion_version") if contest else None
    return version if isinstance(version, int) else None


def _promoter(project: Project) -> Promoter:
    return open_promoter(project.settings)


def _repair(promoter: Promoter, strategy: str) -> None:
    from tidegate.registry.repair import repair as bring_together

    for alert in bring_together(promoter, strategy).alerts:
        console.print(f"[bold red]ALERT[/] {alert}", soft_wrap=True)


def _say(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        row = None if outcome.row is None else _row(outcome.row)
        print_json({"changed": outcome.changed, "message": outcome.message, "row": row})
    else:
        console.print(outcome.message, soft_wrap=True, markup=False)


def _row(row: Any) -> dict[str, Any]:  # noqa: ANN401  a slotted dataclass
    from dataclasses import asdict

    return asdict(row) | {"at": iso(row.created_at)}


def _named(version: int | None) -> str:
    return "" if version is None else f"v{version}"


def _pair(pair: Any) -> tuple[object, object]:  # noqa: ANN401  any pair of values
    first, second = pair if isinstance(pair, (list, tuple)) and len(pair) == 2 else (pair, "")
    return tuple(f"{value:.4g}" if isinstance(value, float) else value for value in (first, second))  # type: ignore[return-value]
