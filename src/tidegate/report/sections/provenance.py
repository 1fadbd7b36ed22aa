"""Where the model comes from, so that the run can be repeated and checked."""

import re
from dataclasses import dataclass
from typing import Final

from tidegate.report import formats
from tidegate.report.record import RunRecord
from tidegate.report.table import Cell, Column, Table, shares

_RELATIVE: Final = re.compile(r"[\w.][\w./ -]*(#[\w-]*)?")


@dataclass(frozen=True, slots=True)
class Link:
    """A link of the page's foot; without an address it is shown as text."""

    label: str
    text: str
    address: str | None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Facts as pairs, tables and links."""

    facts: tuple[tuple[str, str], ...]
    timings: Table | None
    versions: tuple[tuple[str, str], ...]
    links: tuple[Link, ...]


def provenance(record: RunRecord) -> Provenance:
    """What the run was made of."""
    manifest = record.manifest
    window = manifest.windows[-1] if manifest.windows else None
    facts = [
        ("Manifest digest", manifest.digest()),
        ("Judged digest", record.decision.manifest_digest),
        ("MLflow run", record.run_id or "none"),
        ("Retrain key", record.retrain_key),
        ("Feature hash", manifest.feature_hash),
        (
            "Training window",
            formats.span(window.train.start_at, window.train.end_at) if window else formats.NOT_MEASURED,
        ),
        ("Test window", formats.span(window.test.start_at, window.test.end_at) if window else formats.NOT_MEASURED),
        ("Newest bar seen", formats.moment(manifest.last_seen_at)),
        ("Lookback", formats.plural(manifest.lookback, "bar")),
        ("Seed, threads", f"{manifest.seed}, {manifest.threads}"),
        ("Created", formats.moment(record.created_at)),
        ("Expires", formats.moment(manifest.expires_at)),
    ]
    if facts[0][1] == facts[1][1]:
        facts[1:2] = []
    return Provenance(
        tuple(facts),
        _timings(record),
        tuple(sorted(manifest.library_versions.items())),
        tuple(_link(label, target) for label, target in record.links.items()),
    )


def _timings(record: RunRecord) -> Table | None:
    if not record.timings_s:
        return None
    bars = shares(list(record.timings_s.values()))
    rows = [
        (Cell(stage.replace("_", " ")), Cell(formats.seconds(took), took, share=bar))
        for (stage, took), bar in zip(record.timings_s.items(), bars, strict=True)
    ]
    known = [took for took in record.timings_s.values() if formats.known(took)]
    rows.append((Cell("All stages"), Cell(formats.seconds(sum(known)), sum(known))))
    return Table("Time by stage", (Column("Stage", numeric=False), Column("Time")), tuple(rows))


def _link(label: str, target: str) -> Link:
    """Only web addresses and relative paths become links: anything else, such as `javascript:`, is shown as text."""
    safe = target.lower().startswith(("http://", "https://")) or _RELATIVE.fullmatch(target) is not None
    return Link(label, target, target if safe else None)
