"""All paths over the same months: as lines, and as a table."""

from typing import Final

import numpy as np

from tidegate.pipeline.evidence import plain
from tidegate.replay.page_chart import SHAPES, Line, ReplayPicture, Shape, Sign, Term, replay_chart
from tidegate.replay.page_compared import compared
from tidegate.replay.page_figures import LEAST_DAYS, LEAST_TRADES, deployed, drawdown, profit, too_few
from tidegate.replay.page_headline import sharpe_with_error
from tidegate.replay.result import MonthRecord, PathResult, ReplayResult
from tidegate.report import formats
from tidegate.report.sections.section import Block, Figure, Legend, Section
from tidegate.report.table import Cell, Column, Table, sign_tone

_DWARFED: Final = 2.5
"""Where buy and hold reaches this many times further than all else, the others get a picture of their own."""
SIGN_WORDS: Final = {
    "promoted": "promoted",
    "refused": "refused",
    "failed": "no model could be trained",
    "none": "nothing to decide",
    "rollback": "rolled back",
    "halt": "halted",
    "expiry": "expired",
}
_DONE: Final = {"rollback": "rolled back", "halt": "halted", "expiry": "expired"}


def equity(result: ReplayResult) -> Section:
    """Every path's profit, what the deployed procedure did, and its drawdown."""
    path = deployed(result)
    if not len(path.closed_at):
        return Section("equity", "Profit of every path", "There are no bars, so there is no profit to show.")
    lead = _lead(path)
    legend = tuple(
        Legend(f"path-{each.name}", each.title, formats.percent(each.summary.total_return, 1, signed=True))
        for each in result.paths
    )
    picture = ReplayPicture(
        name="equity",
        title="Net profit of every path over the capital; decisions, acts and drawdown of the deployed procedure",
        description=_ends(result.paths),
        closed_at=path.closed_at,
        lines=_lines(result.paths),
        drawdown=drawdown(path),
        signs=_signs(path),
        terms=_terms(path, result.end_ms),
    )
    caption = (
        "Every path trades the same capital and reinvests nothing, so equal distances are equal profits. "
        "Buy and hold buys once for that capital and keeps what it bought. Drawdown at bar closes."
    )
    blocks = [Block(figure=Figure("", replay_chart(picture), caption, legend=legend))]
    closer = _closer(result)
    if closer is not None:
        blocks.append(Block(figure=closer))
    return Section("equity", "Profit of every path", lead, tuple(blocks))


def _lead(path: PathResult) -> str:
    falls = drawdown(path)
    if not np.isfinite(falls).all():
        return "The deployed procedure's profit is not known for every bar, so its deepest fall is not either."
    row = int(np.argmax(falls))
    if not falls[row] > 0:
        return "The deployed procedure never stood below an earlier peak."
    return f"The deployed procedure fell furthest on {formats.moment(int(path.closed_at[row]))}: {formats.percent(float(falls[row]), 1)} under its peak."


def _ends(paths: tuple[PathResult, ...]) -> str:
    return "At the end: " + "; ".join(
        f"{path.title} {formats.percent(path.summary.total_return, 1, signed=True)}" for path in paths
    )


def _lines(paths: tuple[PathResult, ...]) -> tuple[Line, ...]:
    return tuple(Line(path.title, f"path-{path.name}", profit(path)) for path in paths)


def _closer(result: ReplayResult) -> Figure | None:
    """The paths that decide, without buy and hold, where that dwarfs them."""
    rest = tuple(path for path in result.paths if path.name != "hold")
    held = result.path("hold")
    if held is None:
        return None
    reach = max(float(np.ptp(profit(path))) for path in rest)
    if float(np.ptp(profit(held))) < _DWARFED * reach or reach <= 0:
        return None
    picture = ReplayPicture(
        name="closer",
        title="Net profit of every path but buy and hold",
        description=_ends(rest),
        closed_at=held.closed_at,
        lines=_lines(rest),
    )
    return Figure("The same without buy and hold", replay_chart(picture), "Lines as in the legend above.")


def _signs(path: PathResult) -> tuple[Sign, ...]:
    found = []
    for month in path.months:
        found.append(Sign(month.as_of_ms, month.outcome, decision_in_words(month)))
        for act in month.acts:
            left = "nothing" if act.from_version is None else f"v{act.from_version}"
            words = f"{formats.day(act.at_ms)}: {left} {_DONE[act.kind]}, {_in_place(act.to_version)}. {act.reason}"
            found.append(Sign(act.at_ms, act.kind, words))
    return tuple(found)


def _in_place(version: int | None) -> str:
    return "nothing trades then" if version is None else f"v{version} trades then"


def decision_in_words(month: MonthRecord) -> str:
    """A month's decision in a line."""
    version = "" if month.version is None else f" v{month.version}"
    return f"{month.month}: {'decided nothing' if month.outcome == 'none' else month.outcome}{version}"


def _terms(path: PathResult, end_ms: int) -> tuple[Term, ...]:
    """When which version stood in production, by decisions and acts; a version that stays is one term over all its months."""
    changes: list[tuple[int, int | None]] = []
    for month in path.months:
        changes.append((month.as_of_ms, month.production_after))
        changes += [(act.at_ms, act.to_version) for act in month.acts]
    terms: list[tuple[int, int, int | None]] = []
    for at, (start_ms, version) in enumerate(changes):
        until = changes[at + 1][0] if at + 1 < len(changes) else end_ms
        if terms and terms[-1][2] == version:
            terms[-1] = (terms[-1][0], until, version)
        else:
            terms.append((start_ms, until, version))
    return tuple(
        Term(start, end, f"v{version}: {formats.span(start, end)}")
        for start, end, version in terms
        if version is not None and end > start
    )


def paths(result: ReplayResult) -> Section:
    """The paths side by side."""
    lead = (
        "Profits are not reinvested: the annual return is the mean net return of a bar times the bars of a year. A standard error as "
        "large as the Sharpe ratio means that the path may as well have no edge. Buy and hold keeps the units it bought: its net return is what "
        "a buyer had, and its Sharpe ratio is of returns on what these units were worth before each bar, since its profits grow with the price. "
        f"With fewer than {LEAST_TRADES} trades, or {LEAST_DAYS} days with a return, no standard error is given: nothing can be told from so few."
    )
    rows = tuple(_row(path) for path in result.paths)
    columns = (
        Column("Path", numeric=False),
        Column("Net return"),
        Column("A year"),
        Column("Sharpe", note="\u00b1 standard error"),
        Column("Max. drawdown"),
        Column("Trades"),
        Column("Costs paid", note="of the capital"),
        Column("Promoted"),
        Column("Refused"),
        Column("Failed", note="no model"),
        Column("Rolled back", note="halts, expiries"),
        Column("In the market"),
    )
    block = Block(table=Table("Every path over the same months", columns, rows))
    against = compared(result)
    return Section("paths", "Paths side by side", lead, (block,) if against is None else (block, against))


def _row(path: PathResult) -> tuple[Cell, ...]:
    summary, decides = path.summary, any(month.outcome != "none" for month in path.months)

    def number(value: int) -> Cell:
        return Cell(formats.count(value), value) if decides else Cell(formats.DASH, tone="muted")

    sharpe, error = summary.sharpe, summary.sharpe_standard_error
    left = summary.rollbacks + summary.halts + summary.expiries
    acts = f"{summary.rollbacks} ({summary.halts}, {summary.expiries})"
    return (
        Cell(path.title),
        Cell(
            formats.percent(summary.total_return, 1, signed=True), summary.total_return, sign_tone(summary.total_return)
        ),
        Cell(formats.percent(summary.annual_return, 1, signed=True), summary.annual_return),
        Cell(sharpe_with_error(sharpe, None if too_few(path) else error), plain(sharpe)),
        Cell(formats.percent(summary.max_drawdown, 1), summary.max_drawdown),
        Cell(formats.count(summary.trades), summary.trades),
        Cell(formats.percent(summary.costs, 1), summary.costs),
        number(summary.promotions),
        number(summary.refusals),
        number(summary.failures),
        Cell(acts, left) if decides or left else Cell(formats.DASH, tone="muted"),
        Cell(formats.percent(summary.exposure, 1), summary.exposure),
    )


def kinds_drawn(result: ReplayResult) -> tuple[tuple[Shape, str], ...]:
    """The signs that the picture holds, with words, for its legend; none where there is no picture."""
    if not len(deployed(result).closed_at):
        return ()
    drawn = {sign.kind for sign in _signs(deployed(result))}
    return tuple((SHAPES[kind], words) for kind, words in SIGN_WORDS.items() if kind in drawn)


def pointer_rows(result: ReplayResult, wanted: int = 400) -> list[list[float]]:
    """What the charts' pointer shows: about `wanted` rows of time (UTC ms) and every path's profit at that close."""
    closed_at = deployed(result).closed_at
    rows = np.unique(np.linspace(0, len(closed_at) - 1, min(wanted, len(closed_at))).astype(np.intp))
    columns = [profit(path)[rows] for path in result.paths]
    return [
        [int(closed_at[row]), *(round(float(column[at]), 4) for column in columns)]
        for at, row in enumerate(rows.tolist())
        if all(np.isfinite(column[at]) for column in columns)
    ]
