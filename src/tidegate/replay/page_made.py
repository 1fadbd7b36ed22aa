"""How the replay was made: the strategy, what was assumed, what it took, and with which libraries."""

from tidegate.replay.page_figures import deployed, fit_share
from tidegate.replay.result import ReplayResult
from tidegate.report import formats
from tidegate.report.sections.section import Block
from tidegate.report.table import Cell, Column, Table, shares


def facts(result: ReplayResult) -> tuple[tuple[str, str], ...]:
    """Facts as pairs."""
    training, path = result.training, deployed(result)
    return (
        ("Strategy", f"{result.strategy} ({result.kind} market)"),
        ("Symbols, interval", f"{', '.join(result.symbols)}, {result.interval}"),
        ("Policy of the deployed procedure", path.policy or "none"),
        ("Traded", f"{formats.moment(result.start_ms)} to {formats.moment(result.end_ms)}"),
        ("Bars", formats.count(len(path.closed_at))),
        ("Capital", formats.decimal(result.capital, 0)),
        ("Costs assumed", _costs(result)),
        ("Periods a year", formats.decimal(result.periods_per_year, 0)),
        ("Seed", str(result.seed)),
        (
            "Months",
            f"{training.months}: {training.trained} trained now, {training.reused} taken from an earlier run; {training.failed} without a model",
        ),
        ("Workers", formats.count(training.workers)),
        ("XGBoost's own fits", _fits(result)),
        ("Peak memory of a process", f"{formats.decimal(training.peak_memory_mb, 0)}{formats.NBSP}MB"),
        ("Folder", result.folder),
    )


def _costs(result: ReplayResult) -> str:
    return "; ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in result.costs.items()) or "none on record"


def _fits(result: ReplayResult) -> str:
    training, share = result.training, fit_share(result.training)
    took = f"{formats.plural(training.fits, 'fit')}, {formats.seconds(training.fit_s)}"
    if training.fits == 0 or not training.seconds.get("total"):
        return took
    if not formats.known(share):
        return f"{took}: more than the workers' time; their share of it is not measurable"
    beside = "one fit at a time" if training.fits_at_once == 1 else f"{training.fits_at_once} fits side by side"
    return f"{took}: {formats.percent(share, 0)} of the workers' time, each with {beside}"


def timings(result: ReplayResult) -> Block | None:
    """Seconds by stage; nothing where none were taken."""
    seconds = {stage: took for stage, took in result.training.seconds.items() if stage != "total"}
    if not seconds:
        return None
    bars = shares(list(seconds.values()))
    rows = [
        (Cell(stage.replace("_", " ")), Cell(formats.seconds(took), took, share=bar))
        for (stage, took), bar in zip(seconds.items(), bars, strict=True)
    ]
    total = result.training.seconds.get("total")
    if total is not None:
        rows.append((Cell("total"), Cell(formats.seconds(total), total)))
    table = Table("Time by stage", (Column("Stage", numeric=False), Column("Took", note="wall clock")), tuple(rows))
    return Block(table=table, heading="Time by stage", half=True)
