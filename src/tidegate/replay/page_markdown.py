"""The replay's verdict, its paths and its decisions as Markdown, for a Prefect artifact or a terminal."""

from tidegate.replay.page_decisions import DecisionRow, decision_rows, decisions_lead, differences
from tidegate.replay.page_headline import basis, headline
from tidegate.replay.page_made import facts
from tidegate.replay.page_paths import paths
from tidegate.replay.result import ReplayResult
from tidegate.report.markdown_text import MOST_BYTES, fitting, literal
from tidegate.report.table import Table


def markdown(result: ReplayResult) -> str:
    """Verdict first, then the paths, then as many months as there is room for, the newest kept, under 20 kB.

    Raises:
        ValueError: the path `deployed` is missing.
    """
    said = headline(result)
    lines = [f"# {said.word}: replay of {literal(result.strategy)}", ""]
    if result.kind == "simulated":
        lines += ["> **SIMULATED MARKET: this says nothing about real markets.**", ""]
    lines += [literal(said.sentence, longest=1500), "", literal(basis(result), longest=1000), ""]
    for block in paths(result).blocks:
        if block.table is not None:
            lines += [*_table(block.table), ""]
    lines += [literal(decisions_lead(result), longest=1000), "", literal(differences(result).lead, longest=1000), ""]
    foot = ["", *(f"- {literal(name)}: {literal(value)}" for name, value in facts(result)), ""]
    head = [
        "| Month | Decision | What stood against it | Pooled Sharpe | p | Next month | In hindsight | Then |",
        "|:--|:--|:--|--:|--:|--:|:--|:--|",
    ]
    rows = [_decision(row) for row in decision_rows(result)]
    kept = fitting(reversed(rows), MOST_BYTES - 200 - len("\n".join(lines + head + foot).encode()))
    if kept < len(rows):
        lines += [f"{len(rows) - kept} earlier months do not fit here: see the HTML page.", ""]
    return "\n".join(lines + head + rows[len(rows) - kept :] + foot)


def _table(table: Table) -> list[str]:
    titles = [f"{column.title} ({column.note})" if column.note else column.title for column in table.columns]
    return [
        f"| {' | '.join(literal(title) for title in titles)} |",
        f"|{'|'.join('--:' if column.numeric else ':--' for column in table.columns)}|",
        *(f"| {' | '.join(literal(cell.text) for cell in row)} |" for row in table.rows),
    ]


def _decision(row: DecisionRow) -> str:
    seen = "" if row.seen is None else f"{row.seen.mark.icon} {row.seen.mark.word}, {row.seen.difference}"
    acts = "; ".join(f"{act.what} {act.where}" for act in row.acts)
    decided = f"{row.mark.icon} {row.mark.word} {row.version}".strip()
    cells = (row.month, decided, row.against, row.sharpe, row.p, row.live, seen, acts)
    return f"| {' | '.join(literal(cell, longest=120) for cell in cells)} |"
