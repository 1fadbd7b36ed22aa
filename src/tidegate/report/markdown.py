"""The verdict, key figures and gates as Markdown, for a Prefect artifact."""

import re
from typing import Final

from tidegate.report import formats
from tidegate.report.record import RunRecord
from tidegate.report.sections.gates import GateRow, gate_rows, tiles
from tidegate.report.sections.opinions import changes, opinion_sentence, policies
from tidegate.report.sections.verdict import basis, headline

MOST_BYTES: Final = 20_000
_LONGEST: Final = 300
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]#|~!])")


def markdown_summary(record: RunRecord) -> str:
    """Verdict first, then key figures and every gate, under 20 kB; long reasons are cut, gates are never left out silently."""
    said = headline(record)
    strategy = record.strategy
    as_of = f"as of {formats.moment(record.as_of)}"
    lines = [f"# {said.word}: {_text(strategy.name)}", ""]
    if strategy.kind == "simulated":
        lines += ["> **SIMULATED MARKET: this says nothing about real markets.**", ""]
    lines += [
        _text(said.sentence, longest=1500),
        "",
        " \u00b7 ".join((_text(", ".join(strategy.symbols)), strategy.interval, _text(record.retrain_key), as_of)),
        "",
        _text(basis(record)),
        "",
        *_opinions(record),
        "| Figure | Value | | Verdict |",
        "|:--|--:|:--|:--|",
    ]
    for tile in tiles(record):
        verdict = f"{tile.mark.icon} {tile.mark.word}" if tile.mark else ""
        more = "; ".join(filter(None, (tile.detail, tile.threshold)))
        lines.append(f"| {tile.title} | {_text(tile.value)} | {_text(more)} | {verdict} |")
    lines += ["", "| Verdict | Gate | Observed | Threshold | Kind | Reason |", "|:--|:--|--:|--:|:--|:--|"]
    rows = [_gate(row) for row in gate_rows(record)]
    foot = ["", f"Manifest `{record.manifest.digest()[:16]}`, created {formats.moment(record.created_at)}.", ""]
    kept = _fitting(rows, MOST_BYTES - 200 - len("\n".join(lines + foot).encode()))
    if kept < len(rows):
        foot.insert(1, f"{len(rows) - kept} further gates do not fit here: see the HTML report.")
    return "\n".join(lines + rows[:kept] + foot)


def _opinions(record: RunRecord) -> list[str]:
    """Points and statistics apart, each policy's verdict, and what each refusing gate needs."""
    both = opinion_sentence(record)
    lines = [f"{_text(both[:1].upper() + both[1:], longest=900)}.", ""] if both else []
    named = [
        f"{opinion.title} {opinion.mark.word.lower()}{' (decides here)' if opinion.decides else ''}"
        for opinion in policies(record)
    ]
    lines += [f"Policies: {_text(', '.join(named), longest=900)}.", ""] if named else []
    needs = changes(record)
    if needs:
        lines += ["What would change it:", ""]
        lines += [f"- **{_text(change.title)}** {_text(change.words)}." for change in needs] + [""]
    return lines


def _gate(row: GateRow) -> str:
    refuses = " **refuses**" if row.refuses else ""
    reason = _text(row.reason)
    return (
        f"| {row.mark.icon} {row.mark.word}{refuses} | {_text(row.title)} | {_text(row.observed)} | {_text(row.threshold)} "
        f"| {row.kind} | {reason} |"
    )


def _fitting(rows: list[str], room: int) -> int:
    used = 0
    for number, row in enumerate(rows):
        used += len(row.encode()) + 1
        if used > room:
            return number
    return len(rows)


def _text(text: str, longest: int = _LONGEST) -> str:
    """Text that Markdown and HTML take literally, on one line."""
    flat = " ".join(text.split(None)).strip()
    cut = flat if len(flat) <= longest else f"{flat[: longest - 1]}\u2026"
    return _SPECIAL.sub(r"\\\1", cut.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))
