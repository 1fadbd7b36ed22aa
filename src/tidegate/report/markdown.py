"""The verdict, key figures and gates as Markdown, for a Prefect artifact."""

from tidegate.report import formats
from tidegate.report.markdown_text import MOST_BYTES, fitting, literal
from tidegate.report.record import RunRecord
from tidegate.report.sections.gates import GateRow, gate_rows, tiles
from tidegate.report.sections.opinions import changes, opinion_sentence, policies
from tidegate.report.sections.verdict import basis, headline


def markdown_summary(record: RunRecord) -> str:
    """Verdict first, then key figures and every gate, under 20 kB; long reasons are cut, gates are never left out silently."""
    said = headline(record)
    strategy = record.strategy
    as_of = f"as of {formats.moment(record.as_of)}"
    lines = [f"# {said.word}: {literal(strategy.name)}", ""]
    if strategy.kind == "simulated":
        lines += ["> **SIMULATED MARKET: this says nothing about real markets.**", ""]
    lines += [
        literal(said.sentence, longest=1500),
        "",
        " \u00b7 ".join((literal(", ".join(strategy.symbols)), strategy.interval, literal(record.retrain_key), as_of)),
        "",
        literal(basis(record)),
        "",
        *_opinions(record),
        "| Figure | Value | | Verdict |",
        "|:--|--:|:--|:--|",
    ]
    for tile in tiles(record):
        verdict = f"{tile.mark.icon} {tile.mark.word}" if tile.mark else ""
        more = "; ".join(filter(None, (tile.detail, tile.threshold)))
        lines.append(f"| {tile.title} | {literal(tile.value)} | {literal(more)} | {verdict} |")
    lines += ["", "| Verdict | Gate | Observed | Threshold | Kind | Reason |", "|:--|:--|--:|--:|:--|:--|"]
    rows = [_gate(row) for row in gate_rows(record)]
    foot = ["", f"Manifest `{record.manifest.digest()[:16]}`, created {formats.moment(record.created_at)}.", ""]
    kept = fitting(rows, MOST_BYTES - 200 - len("\n".join(lines + foot).encode()))
    if kept < len(rows):
        foot.insert(1, f"{len(rows) - kept} further gates do not fit here: see the HTML report.")
    return "\n".join(lines + rows[:kept] + foot)


def _opinions(record: RunRecord) -> list[str]:
    """Points and statistics apart, each policy's verdict, and what each refusing gate needs."""
    both = opinion_sentence(record)
    lines = [f"{literal(both[:1].upper() + both[1:], longest=900)}.", ""] if both else []
    named = [
        f"{opinion.title} {opinion.mark.word.lower()}{' (decides here)' if opinion.decides else ''}"
        for opinion in policies(record)
    ]
    lines += [f"Policies: {literal(', '.join(named), longest=900)}.", ""] if named else []
    needs = changes(record)
    if needs:
        lines += ["What would change it:", ""]
        lines += [f"- **{literal(change.title)}** {literal(change.words)}." for change in needs] + [""]
    return lines


def _gate(row: GateRow) -> str:
    refuses = " **refuses**" if row.refuses else ""
    reason = literal(row.reason)
    return (
        f"| {row.mark.icon} {row.mark.word}{refuses} | {literal(row.title)} | {literal(row.observed)} | {literal(row.threshold)} "
        f"| {row.kind} | {reason} |"
    )
