"""`deploy`: the production checklist's deployment as one command, which can be killed at every step and given again."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from tidegate.cli.acts import named
from tidegate.cli.context import Project, open_project, person, served_project
from tidegate.cli.output import AsJson, console, errors, print_json, print_table

if TYPE_CHECKING:
    from tidegate.deployment.journal import Plan
    from tidegate.deployment.procedure import Deployed
    from tidegate.strategy.strategy import Strategy

PANEL = "Production"
_GONE_BACK = 7


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=PANEL)(deploy)


def deploy(
    strategy: Annotated[str, typer.Argument(help="Name of a strategy, or of one of its models.")],
    version: Annotated[
        int | None,
        typer.Argument(
            help="Version to deploy. Default: the one in production, with new processes.", min=1, show_default=False
        ),
    ] = None,
    *,
    reason: Annotated[str | None, typer.Option(help="Why; needed for a new deployment, goes into its record.")] = None,
    watch_minutes: Annotated[
        float | None,
        typer.Option(help="Minutes of watching after the switch. Default: deploy.watch_minutes.", min=0, max=1440),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")] = False,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Give up the deployment that is open; only before its switch.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Deploy a version: tell people, back up, start beside the old one, test, switch, watch, then keep or go back. Ends with 7 when the version did not stay.

    When it was broken off, give the same command again: it goes on at the first step that is not done.
    """
    from tidegate.deployment import procedure
    from tidegate.deployment.journal import open_journal
    from tidegate.deployment.opening import FOLDER, opened
    from tidegate.errors import ConfigurationError
    from tidegate.services.lock import hold

    with served_project(quiet=as_json) as project:
        found, model = _model(project, strategy)
        _refuse_passing_server(project)
        lock = project.settings.paths.runs / model / FOLDER / "deploy.lock"
        minutes = project.settings.deploy.watch_minutes if watch_minutes is None else watch_minutes
        wish = procedure.Wish(model, version, person(), (reason or "").strip(), minutes)
        step = (lambda _name: None) if as_json else _told
        with opened(project.settings, project.root, found, model, actor=person(), on_step=step) as ports:
            journal = open_journal(ports.events, model)
            if dry_run:
                plan = None if journal is None else journal.plan()
                _show_plan(plan or procedure.make_plan(ports, wish), as_json=as_json)
                return
            if journal is None and not abandon and not wish.reason:
                raise ConfigurationError("a new deployment needs a reason", next_step="give it by --reason")
            with hold(lock, f"tidegate deploy {model}"):
                done = procedure.abandon(ports, model, person()) if abandon else procedure.deploy(ports, wish)
    _show(done, as_json=as_json)
    if not _is_as_asked(done.verdict, abandon=abandon):
        raise typer.Exit(_GONE_BACK)


def _is_as_asked(verdict: str, *, abandon: bool) -> bool:
    return verdict == ("abandoned" if abandon else "kept")


def _refuse_passing_server(project: Project) -> None:
    """A process that is started here must not follow a registry that ends with this command."""
    from tidegate.errors import ConfigurationError

    configured = open_project().settings.mlflow
    passing = configured.tracking_uri is None and configured.port != project.settings.mlflow.port
    if passing and project.settings.deploy.replicas == "processes":
        raise ConfigurationError(
            "deploy.replicas `processes` needs an MLflow server that stays",
            setting="mlflow.tracking_uri",
            next_step="start `tidegate up`, or name a server",
        )


def _model(project: Project, name: str) -> "tuple[Strategy, str]":
    """The strategy's file and the one model that is deployed."""
    from tidegate.errors import ConfigurationError
    from tidegate.watch.strategies import Strategies

    models = project.models(name)
    if len(models) != 1:
        raise ConfigurationError(f"{name} has one model a symbol", expected=f"one of {', '.join(models)}")
    known = Strategies(project.settings.paths.strategies).watched()
    return next((one.strategy for one in known if one.model == models[0]), None) or project.strategy(name), models[0]


def _told(step: str) -> None:
    if not step.endswith(": done"):
        errors.print(f"[cyan]{step}[/]", soft_wrap=True)


def _show_plan(plan: "Plan", *, as_json: bool) -> None:
    from dataclasses import asdict

    from tidegate.deployment.journal import STEPS

    if as_json:
        print_json(asdict(plan) | {"steps": list(STEPS)})
        return
    console.print(f"{plan.strategy}: {named(plan.from_version)} > {named(plan.version)}, digest {plan.digest[:12]}")
    for change in plan.changes:
        console.print(f"  {escape(change)}", soft_wrap=True)
    answering = "answers its golden windows" if plan.rollback_verified else "was not seen to answer"
    back = (
        "halts: there is no version to go back to" if plan.rollback_to is None else f"v{plan.rollback_to}, {answering}"
    )
    console.print(f"going back: {back}", soft_wrap=True)
    console.print(f"steps: {', '.join(STEPS)}; watched for {plan.watch_minutes:g} minutes", soft_wrap=True)


def _show(done: "Deployed", *, as_json: bool) -> None:
    if as_json:
        print_json(_plain(done))
        return
    from tidegate.bars.bars import iso

    rows = [
        (one.name, iso(one.at)[11:19], one.outcome.replace("_", " "), one.evidence) for one in done.entries.values()
    ]
    print_table(f"{done.id}: {done.verdict.replace('_', ' ')}", ("step", "at (UTC)", "outcome", "seen"), rows)


def _plain(done: "Deployed") -> dict[str, Any]:
    from tidegate.deployment.record import record_content

    return record_content(done.id, done.plan, done.entries)
