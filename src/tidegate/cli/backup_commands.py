"""`backup`, `backups`, `verify`, `restore`, `restore-drill`: copies of what cannot be made again, and the proof that they help."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.cli.context import open_project, person
from tidegate.cli.output import AsJson, console, errors, print_json, print_table

if TYPE_CHECKING:
    from tidegate.backup.finding import Verdict
    from tidegate.backup.places import Choice, DatabaseName

PANEL = "Backups"
_DAMAGED = 7
_CHOICES = "models, databases, bars, runs, predictions, configuration, keys"

BackupId = Annotated[
    str | None, typer.Option("--backup", help="Name of a backup or its beginning, as `tidegate backups` shows it. Default: the newest.")
]  # fmt: skip
Databases = Annotated[
    list[str] | None,
    typer.Option(
        "--database",
        metavar="NAME=ADDRESS",
        help="Empty PostgreSQL database for the dump of ledger, mlflow or prefect. May be given several times.",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(rich_help_panel=PANEL)(backup)
    app.command(rich_help_panel=PANEL)(backups)
    app.command(rich_help_panel=PANEL)(verify)
    app.command(rich_help_panel=PANEL)(restore)
    app.command("restore-drill", rich_help_panel=PANEL)(restore_drill)


def backup(
    *,
    reason: Annotated[str, typer.Option(help="Why; kept with the backup.")] = "by hand",
    init: Annotated[bool, typer.Option("--init", help="Make the repositories where they do not exist yet.")] = False,
    accept_loss: Annotated[
        bool,
        typer.Option("--accept-loss", help="Take it although the newest backup holds what is lost here; forget none."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take a backup while everything goes on: databases, models, bars, records, configuration, and the keys apart."""
    from tidegate.backup.take import take_backup

    project = open_project()
    record = take_backup(
        project.settings, project.root, reason=reason, actor=person(), init=init, accept_loss=accept_loss
    )
    if as_json:
        print_json(record.model_dump())
        return
    stored = f"{record.files} files, {_size(record.bytes)}, of them {_size(record.added_bytes)} new"
    console.print(f"backup {record.id}: {stored}, in {record.took_s:.1f} s", soft_wrap=True, markup=False)
    if record.forgotten:
        console.print(f"forgotten: {', '.join(record.forgotten)}", soft_wrap=True, markup=False)
    _warn(record.warnings)


def backups(*, as_json: AsJson = False) -> None:
    """Whole backups of the repository, oldest first, with the production versions that each holds."""
    from tidegate.backup.listing import list_backups
    from tidegate.backup.opening import open_repository
    from tidegate.bars.bars import iso

    repository = open_repository(open_project().settings)
    found = list_backups(repository).backups
    if as_json:
        print_json([{"id": one.id, "taken_at": one.taken_at, "holds": one.versions} for one in found])
        return
    if not found:
        console.print(f"{repository.shown} holds no whole backup", soft_wrap=True, markup=False)
        return
    rows = [(one.id, iso(one.taken_at)[:16].replace("T", " "), ", ".join(one.versions)) for one in found]
    print_table(f"Backups in {repository.shown}", ("backup", "at (UTC)", "holds"), rows, whole=("backup",))


def verify(
    *,
    live: Annotated[
        bool, typer.Option("--live", help="Compare the live installation with the newest backup too.")
    ] = False,
    read_data: Annotated[
        bool, typer.Option("--read-data", help="Read all stored data, not only the share of backup.read_data_percent.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Look whether the newest backup would help: repository, age, databases, chains, bundles and signatures. Ends with 7 on damage."""
    from tidegate.backup.verify import verify_backups

    project = open_project()
    verdict = verify_backups(
        project.settings, project.root, actor=person(), read="all" if read_data else None, with_live=live
    )
    if as_json:
        print_json(verdict.content())
    else:
        _show_verdict(verdict)
    if not verdict.is_well:
        raise typer.Exit(_DAMAGED)


def restore(
    *,
    to: Annotated[Path | None, typer.Option(help="Folder to restore into: empty, or not there yet.")] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Mend damaged bundles and artifacts of this installation where they are.")
    ] = False,
    backup_id: BackupId = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="PART", help=f"Only this part: {_CHOICES}. May be given several times.")
    ] = None,
    artifact: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="With --in-place: only this one, as `tidegate verify --live` names it."),
    ] = None,
    database: Databases = None,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into an empty folder, which is a project's folder then; or mend single artifacts where they are."""
    from tidegate.errors import ConfigurationError

    if in_place == (to is not None):
        raise ConfigurationError("restore needs a place", expected="either --to FOLDER or --in-place")
    if in_place:
        if backup_id or only or database:
            raise ConfigurationError(
                "--in-place finds the backup and the part by itself", expected="--artifact, or nothing"
            )
        _mend(artifact, as_json=as_json)
        return
    if artifact is not None:
        raise ConfigurationError("--artifact goes with --in-place", expected="--only for a part of a backup")
    assert to is not None
    _restore(to, backup_id, _chosen(only), _addresses(database), as_json=as_json)


def restore_drill(
    *,
    into: Annotated[
        Path | None, typer.Option(help="Empty folder to restore into, which stays. Default: one that is removed.")
    ] = None,
    backup_id: BackupId = None,
    database: Databases = None,
    as_json: AsJson = False,
) -> None:
    """Restore for practice into an empty place, start what was restored, ask it, and time it. Ends with 7 unless all targets are met."""
    from tidegate.backup.drill import drill

    project = open_project()
    report = drill(
        project.settings,
        project.root,
        actor=person(),
        folder=into,
        backup=backup_id,
        databases=_addresses(database),
    )
    if as_json:
        print_json(report.content())
    else:
        rows = [
            (one["case"], _seconds(one["took_s"]), one["target_s"], one["checklist_s"], one["verdict"])
            for one in (case.content() for case in report.cases)
        ]
        title = f"Restore of backup {report.backup}"
        print_table(title, ("lost", "seconds", "target", "checklist", "verdict"), rows)
        if report.answered:
            console.print(f"answered: {', '.join(report.answered)}", soft_wrap=True, markup=False)
        for case in report.cases:
            if case.fault:
                errors.print(f"{case.name}: {case.fault}", soft_wrap=True, markup=False)
        if report.unrecorded:
            errors.print(f"not recorded: {report.unrecorded}", soft_wrap=True, markup=False)
    if not report.passed:
        raise typer.Exit(_DAMAGED)


def _restore(
    to: Path, backup_id: str | None, only: "list[Choice]", databases: "dict[DatabaseName, str]", *, as_json: bool
) -> None:
    from tidegate.backup.restore import restore as restore_into

    done = restore_into(open_project().settings, to, backup=backup_id, only=only, databases=databases)
    if as_json:
        places = {name: str(place) for name, place in done.places.items()}
        print_json({"backup": done.backup, "folder": str(done.folder), "places": places, "took_s": done.took_s})
        return
    console.print(f"backup {done.backup}, restored in {done.took_s:.1f} s", soft_wrap=True, markup=False)
    for name, place in done.places.items():
        console.print(f"  {name:<14} {place}", soft_wrap=True, markup=False)
    console.print(
        "then: [cyan]tidegate repair[/] with TIDEGATE_ROOT on that folder, once its servers run", soft_wrap=True
    )


def _mend(artifact: str | None, *, as_json: bool) -> None:
    from tidegate.backup.in_place import mend

    project = open_project()
    done = mend(project.settings, project.root, actor=person(), artifact=artifact)
    if as_json:
        print_json([{"path": one.path, "why": one.why, "backup": one.backup, "aside": one.aside} for one in done])
        return
    if not done:
        console.print("nothing is damaged")
        return
    for one in done:
        console.print(f"mended {one.path} from backup {one.backup}: {one.why}", soft_wrap=True, markup=False)
        console.print(f"  set aside  {one.aside or 'nothing was left of it'}", soft_wrap=True, markup=False)


def _show_verdict(verdict: "Verdict") -> None:
    for one in verdict.looked:
        console.print(f"looked at {one}", soft_wrap=True, markup=False)
    _warn(verdict.notes)
    for finding in verdict.findings:
        errors.print(f"DAMAGED {finding.where}: {finding.what}", soft_wrap=True, markup=False)
        errors.print(f"  next     {finding.mend}", soft_wrap=True, markup=False)
    if verdict.is_well:
        console.print(f"backup {verdict.backup} is whole; {verdict.took_s:.1f} s", soft_wrap=True, markup=False)


def _chosen(only: list[str] | None) -> "list[Choice]":
    from tidegate.backup.places import CHOSEN
    from tidegate.errors import ConfigurationError

    unknown = [one for one in only or () if one not in CHOSEN]
    if unknown:
        raise ConfigurationError(f"--only {unknown[0]} is no part", expected=_CHOICES)
    return [name for name in CHOSEN if name in (only or ())]


def _addresses(given: list[str] | None) -> "dict[DatabaseName, str]":
    from tidegate.backup.places import SQLITE_HOMES
    from tidegate.errors import ConfigurationError

    pairs = dict(one.partition("=")[::2] for one in given or ())
    if any(name not in SQLITE_HOMES or not address for name, address in pairs.items()):
        raise ConfigurationError(
            "--database names no database", expected="ledger=ADDRESS, mlflow=ADDRESS or prefect=ADDRESS"
        )
    return {name: pairs[name] for name in SQLITE_HOMES if name in pairs}


def _warn(warnings: "tuple[str, ...]") -> None:
    for warning in warnings:
        errors.print(f"WARNING {warning}", soft_wrap=True, markup=False)


def _seconds(took_s: Any) -> str:  # noqa: ANN401  a number or None
    return "" if took_s is None else f"{took_s:.1f}"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.2f} GB"
