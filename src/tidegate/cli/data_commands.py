"""`ingest`, `validate`, `features`, `snapshot`, `revisions`: bars and what is made of them."""

from typing import Annotated

import typer

from tidegate.bars.bars import iso
from tidegate.cli.context import open_project, person
from tidegate.cli.output import AsJson, console, print_json, print_table
from tidegate.errors import ValidationFailed

PANEL = "Bars and features"
StrategyName = Annotated[str, typer.Argument(help="Name of a strategy, or the path of its file.")]
AsOf = Annotated[str | None, typer.Option(help="Time of the judgement; ISO 8601. Default: now.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(rich_help_panel=PANEL)(ingest)
    app.command(rich_help_panel=PANEL)(validate)
    app.command(rich_help_panel=PANEL)(features)
    app.command(rich_help_panel=PANEL)(snapshot)
    app.command(rich_help_panel=PANEL)(revisions)


def ingest(strategy: StrategyName, *, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Fetch, validate and store a strategy's bars. Doing it twice changes nothing."""
    from tidegate.cli.progress import shown_progress
    from tidegate.pipeline.data import gather
    from tidegate.pipeline.job import make_job

    project = open_project()
    with shown_progress(f"ingest {strategy}", quiet=as_json) as watch:
        job = make_job(
            project.strategy(strategy), project.settings, project.root, as_of=as_of, actor=person(), watch=watch
        )
        gathered = gather(job)
    rows = [
        {
            "symbol": record.symbol,
            "bars": record.bars,
            "first": iso(record.first_at),
            "last": iso(record.last_at),
            "revised": gathered.revised[record.symbol],
            "snapshot": record.snapshot,
        }
        for record in gathered.symbols
    ]
    if as_json:
        print_json(rows)
        return
    print_table("Stored bars", list(rows[0]), [list(row.values()) for row in rows])
    if any(gathered.revised.values()):
        console.print(
            "The source gives some stored bars differently now; the stored ones stay. See [cyan]tidegate revisions[/]."
        )


def validate(strategy: StrategyName, *, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Judge a strategy's bars without storing anything; exit with 3 when something fatal is found."""
    from tidegate.bars.sources.source import open_source
    from tidegate.pipeline.job import make_job
    from tidegate.strategy.strategy import slug
    from tidegate.validation.validate import validate as judge

    project = open_project()
    found = project.strategy(strategy)
    job = make_job(found, project.settings, project.root, as_of=as_of, actor=person())
    source = open_source(found.source, project.root)
    results = []
    for symbol in found.symbols:
        raw = source.fetch(symbol, found.bar, None, None, job.as_of_ms)
        docs = job.folder / "validation" / slug(symbol)
        rules = project.settings.validation
        results.append(
            (judge(raw.bars, rules=rules, calendar=found.calendar, as_of_ms=job.as_of_ms, docs_folder=docs), raw, docs)
        )
    if as_json:
        print_json([validated.summary() | {"notes": raw.notes, "origin": raw.origin} for validated, raw, _ in results])
    for validated, raw, docs in results:
        if as_json:
            continue
        word = "[green]passed[/]" if validated.passed else "[red]FAILED[/]"
        console.print(
            f"\n{validated.bars.symbol}: {word}, {len(validated.bars):,} of {validated.rows_in:,} rows clean, from {raw.origin}",
            soft_wrap=True,
        )
        for note in raw.notes:
            console.print(f"  detected: {note}", markup=False)
        if validated.findings:
            rows = [(finding.severity, finding.rule, finding.count, finding.message) for finding in validated.findings]
            print_table("Findings", ("severity", "rule", "count", "what"), rows)
        console.print(f"  data docs {docs}", soft_wrap=True)
    failed = [validated for validated, _, _ in results if not validated.passed]
    if failed and as_json:
        raise typer.Exit(ValidationFailed.exit_code)  # the findings were printed; standard output holds one JSON value
    if failed:
        raise ValidationFailed(
            f"bars of {failed[0].bars.symbol}: {failed[0].failures[0].message}", setting=failed[0].failures[0].setting
        )


def features(*, as_json: AsJson = False) -> None:
    """List the built-in feature families."""
    from tidegate.features.builtin import FAMILIES

    rows = [
        {"use": family.name, "lengths": list(family.lengths) if family.lengths != (0,) else [], "about": family.about}
        for family in FAMILIES.values()
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        "Feature families",
        ("use", "standard lengths", "what"),
        [(row["use"], ", ".join(map(str, row["lengths"])), row["about"]) for row in rows],
    )


def snapshot(
    strategy: StrategyName,
    name: Annotated[str, typer.Argument(help="Hash of the snapshot, as the manifest and MLflow name it.")],
    *,
    out: Annotated[str | None, typer.Option(help="Write the bars to this Parquet file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Rebuild the exact bars that a model was trained on, and verify them by their hash."""
    from tidegate.bars.snapshot import rebuild
    from tidegate.pipeline.data import bar_store

    project = open_project()
    bars = rebuild(bar_store(project.settings, project.strategy(strategy)), name)
    if out is not None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        from tidegate.bars.bars import COLUMNS

        pq.write_table(pa.table({column: getattr(bars, column) for column in COLUMNS}), out)
    shown = {
        "symbol": bars.symbol,
        "bars": len(bars),
        "first": iso(int(bars.opened_at[0])),
        "last": iso(int(bars.closed_at[-1])),
        "hash": name,
    }
    if as_json:
        print_json(shown)
    else:
        print_table("Snapshot, rebuilt and verified", list(shown), [list(shown.values())])


def revisions(
    strategy: StrategyName,
    *,
    accept: Annotated[
        bool, typer.Option("--accept", help="Make the source's newer values the stored ones; old ones are kept.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show bars that the source now gives differently from what is stored."""
    import time

    from tidegate.pipeline.data import bar_store

    project = open_project()
    found = project.strategy(strategy)
    store = bar_store(project.settings, found)
    rows = []
    for symbol in found.symbols:
        rows += [
            (symbol, iso(revision.opened_at), str(revision.stored), str(revision.revised))
            for revision in store.open_revisions(symbol, found.bar)
        ]
        if accept:
            store.accept_revisions(symbol, found.bar, time.time_ns() // 1_000_000)
    columns = ("symbol", "opened_at", "stored", "revised")
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    elif rows:
        print_table("Accepted revisions" if accept else "Open revisions", columns, rows)
    else:
        console.print("no open revisions")
