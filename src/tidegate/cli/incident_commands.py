"""`incidents`, `incident`, `maintenance`: what a rollback leaves to people, and windows in which nothing is promoted automatically."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.cli.context import open_project, person
from tidegate.cli.output import AsJson, console, errors, print_json, print_table

if TYPE_CHECKING:
    from tidegate.registry.events import EventLedger
    from tidegate.rollback.incidents import Incident
    from tidegate.rollback.maintenance import Alertmanager, Window
    from tidegate.rollback.procedure import ActReport
    from tidegate.settings.settings import Settings

PANEL = "Versions and their ledger"
_MINUTE_MS = 60_000
_NOT_VERIFIED = 7

IncidentId = Annotated[str, typer.Argument(help="Id of the incident, as `tidegate incidents` shows it.")]
Text = Annotated[str, typer.Option("--note", help="What was found, in your words.")]
Why = Annotated[str, typer.Option(help="Why; goes into the event ledger.")]


def add_to(app: typer.Typer) -> None:
    """Add the command and the groups."""
    app.command(rich_help_panel=PANEL)(incidents)
    incident = typer.Typer(no_args_is_help=True, help="One incident: what happened, notes, and closing it.")
    incident.command()(show)
    incident.command()(note)
    incident.command()(close)
    app.add_typer(incident, name="incident", rich_help_panel=PANEL)
    maintenance = typer.Typer(
        no_args_is_help=True, help="Windows in which nothing is promoted automatically and Alertmanager is silent."
    )
    maintenance.command()(start)
    maintenance.command()(end)
    maintenance.command()(status)
    app.add_typer(maintenance, name="maintenance", rich_help_panel=PANEL)


def incidents(
    strategy: Annotated[str | None, typer.Argument(help="Only of this strategy.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Show those that are closed as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """Incidents that nobody has closed yet: every rollback and halt of a rule, and every rollback by hand."""
    from tidegate.bars.bars import iso
    from tidegate.cli.acts import named
    from tidegate.rollback.incidents import incidents as all_of_them

    found = [one for one in all_of_them(_events(), strategy) if everything or one.is_open]
    if as_json:
        print_json([_described(one) for one in found])
        return
    if not found:
        console.print("no incident" if everything else "no open incident")
        return
    rows = [
        (
            one.id,
            iso(one.opened_at)[:16].replace("T", " "),
            f"{one.act} {named(one.content.get('from_version'))} > {named(one.content.get('to_version'))}",
            one.content.get("rule") or one.opened_by,
            one.watched or ("being watched" if one.is_open else ""),
            "open" if one.is_open else f"closed by {one.closed_by}",
        )
        for one in found
    ]
    print_table("Incidents", ("id", "at (UTC)", "act", "by", "watch", "state"), rows, whole=("id", "act"))


def show(incident: IncidentId, *, as_json: AsJson = False) -> None:
    """All that is known of one incident: the act, the finding, what serving processes did, logs, notes."""
    from tidegate.bars.bars import iso
    from tidegate.rollback.incidents import find_incident
    from tidegate.rollback.words import incident_words

    found = find_incident(_events(), incident)
    if as_json:
        print_json(_described(found))
        return
    title, body = incident_words(found)
    console.print(f"{title}\n{body}", soft_wrap=True, markup=False)
    finding = found.content.get("finding")
    if finding:
        observed, threshold = finding.get("observed"), finding.get("threshold")
        console.print(
            f"Observed {observed} {finding.get('unit')}, bound {threshold}, n {finding.get('n')}.", markup=False
        )
    verification = found.content.get("verification")
    if verification and verification["instances"]:
        print_table("Serving processes", _COLUMNS, [_instance(one) for one in verification["instances"]])
    for place in found.content.get("logs", ()):
        console.print(f"log: {place}", soft_wrap=True, markup=False)
    rows = [(iso(each.at), each.actor, each.text) for each in found.notes]
    if found.closed_at is not None:
        rows.append((iso(found.closed_at), found.closed_by or "", f"closed: {found.closing_note}"))
    if rows:
        print_table("Notes", ("at (UTC)", "who", "what"), rows)


def note(incident: IncidentId, *, text: Text, as_json: AsJson = False) -> None:
    """Add a note to an incident."""
    from tidegate.rollback.incidents import find_incident, note_incident

    events = _events()
    note_incident(events, incident, actor=person(), content={"note": text})
    _tell(_described(find_incident(events, incident)), f"noted in {incident}", as_json=as_json)


def close(incident: IncidentId, *, text: Text, as_json: AsJson = False) -> None:
    """Close an incident. Until then the next rollback of a rule becomes a halt; the version that was left stays barred until `clear`."""
    from tidegate.rollback.incidents import close_incident

    closed = close_incident(_events(), incident, actor=person(), note=text)
    _tell(_described(closed), f"incident {incident} is closed", as_json=as_json)


def start(
    strategy: Annotated[
        str | None,
        typer.Argument(help="Name of a strategy, which covers all of its models, or of one model. Default: all."),
    ] = None,
    *,
    minutes: Annotated[int, typer.Option(help="How long it lasts, in minutes.", min=1, max=10_080)],
    reason: Why,
    as_json: AsJson = False,
) -> None:
    """Start a maintenance window. Rules still roll back in it: it holds back promotions and Alertmanager's messages only."""
    from tidegate.rollback import maintenance

    project, events = open_project(), _events()
    settings = project.settings
    models = () if strategy is None else project.models(strategy)
    until = events.database.clock() + minutes * _MINUTE_MS
    window = maintenance.start(
        events,
        _covered(strategy, models) or maintenance.EVERY,
        until=until,
        actor=person(),
        reason=reason,
        alertmanager=_alertmanager(settings),
        models=models if len(models) > 1 else (),
    )
    _warn(window.warnings)
    _tell(_window(window), f"maintenance {window.id} has begun, {_until(window)}", as_json=as_json)


def end(
    window: Annotated[str, typer.Argument(help="Id of the window, as `tidegate maintenance status` shows it.")],
    *,
    reason: Why,
    as_json: AsJson = False,
) -> None:
    """End a maintenance window and its silence before its time."""
    from tidegate.errors import ConfigurationError
    from tidegate.rollback import maintenance

    settings, events = open_project().settings, _events()
    found = next((one for one in maintenance.windows(events, events.database.clock()) if one.id == window), None)
    if found is None:
        raise ConfigurationError(
            f"no maintenance window {window} is under way", next_step="`tidegate maintenance status` lists them"
        )
    warnings = maintenance.end(events, found, actor=person(), reason=reason, alertmanager=_alertmanager(settings))
    _warn(warnings)
    _tell({**_window(found), "warnings": warnings}, f"maintenance {window} has ended", as_json=as_json)


def status(*, as_json: AsJson = False) -> None:
    """Maintenance windows that are under way."""
    from tidegate.rollback.maintenance import windows

    events = _events()
    found = windows(events, events.database.clock())
    if as_json:
        print_json([_window(one) for one in found])
        return
    if not found:
        console.print("no maintenance window is under way")
        return
    rows = [(one.id, one.strategy or "all", _until(one), one.actor, one.reason, one.silence or "none") for one in found]
    print_table("Maintenance", ("id", "strategy", "until (UTC)", "who", "why", "silence"), rows, whole=("id",))


def tell_report(report: "ActReport", row: dict[str, Any] | None, *, as_json: bool) -> None:
    """What a rollback came to; ends with 7 where a serving process does not follow.

    Raises:
        NotVerified: it names the processes that do not follow.
    """
    verification = report.verification
    if as_json:
        told = None if verification is None else verification.content()
        content = {"changed": report.changed, "message": report.message, "row": row, "incident": report.incident}
        print_json({**content, "verification": told, "finished": list(report.finished)})
        if verification is not None and verification.verdict == "not_verified":
            raise typer.Exit(_NOT_VERIFIED)
        return
    console.print(report.message, soft_wrap=True, markup=False)
    if report.incident is not None:
        console.print(
            f"incident {report.incident} is open: [cyan]tidegate incident show {report.incident}[/]", soft_wrap=True
        )
    if verification is None:
        return
    instances = verification.content()["instances"]
    if instances:
        print_table("Serving processes", _COLUMNS, [_instance(one) for one in instances])
    if verification.verdict != "not_verified":
        console.print(verification.summary(), soft_wrap=True, markup=False)
    verification.require()


_COLUMNS = ("instance", "address", "state", "after s", "detail")


def _instance(one: dict[str, Any]) -> tuple[object, ...]:
    return tuple(one[name] for name in ("instance", "address", "state", "after_s", "detail"))


def _events() -> "EventLedger":
    from tidegate.registry.events import EventLedger

    return EventLedger.from_settings(open_project().settings)


def _alertmanager(settings: "Settings") -> "Alertmanager | None":
    from tidegate.rollback.maintenance import Alertmanager

    address = settings.notify.alertmanager_url
    return None if address is None else Alertmanager(address, settings.notify.timeout_s)


def _covered(strategy: str | None, models: tuple[str, ...]) -> str:
    """Name of a window's strategy: the model's own where there is one, else the name of the file that makes several."""
    if strategy is None:
        return ""
    return models[0] if len(models) == 1 else Path(strategy).stem


def _tell(content: dict[str, Any], message: str, *, as_json: bool) -> None:
    if as_json:
        print_json(content)
    else:
        console.print(message, soft_wrap=True, markup=False)


def _warn(warnings: "tuple[str, ...] | list[str]") -> None:
    for warning in warnings:
        errors.print(f"WARNING {warning}", soft_wrap=True, markup=False)


def _until(window: "Window") -> str:
    from tidegate.bars.bars import iso

    return f"until {iso(window.until)}"


def _window(window: "Window") -> dict[str, Any]:
    from dataclasses import asdict

    from tidegate.bars.bars import iso

    return asdict(window) | {"until_at": iso(window.until)}


def _described(incident: "Incident") -> dict[str, Any]:
    from dataclasses import asdict

    from tidegate.bars.bars import iso

    return asdict(incident) | {"open": incident.is_open, "watched": incident.watched, "at": iso(incident.opened_at)}
