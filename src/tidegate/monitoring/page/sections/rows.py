"""Where every row of the prediction log went, so that nothing is counted twice or lost."""

from collections import Counter
from typing import Final

from tidegate.monitoring.page.record import MonitorRecord
from tidegate.monitoring.result import Balance
from tidegate.report import formats
from tidegate.report.sections.section import Block, Section
from tidegate.report.table import Cell, Column, Table, Tone

_PARTS: Final = (
    ("counted", "Counted", "answers that figures are computed from"),
    ("superseded", "Superseded", "answers at a bar where another version's answer counts"),
    ("not_yet_known", "Not yet known", "answers whose next bar has not closed yet"),
    ("unmatched", "Without a stored bar", "answers at bars that the store does not hold"),
    ("abstained", "Abstained", "serving answered that it names no position"),
    ("refused", "Refused", "serving answered with a problem"),
    ("repeated", "Repeated", "retries and replicas: another row of the same bar stands for them"),
    ("without_bar", "Without a bar", "refusals before the bar was known, and answers of a halted strategy"),
)
_BAD: Final = ("unmatched",)


def rows(record: MonitorRecord) -> Section:
    """The balance in words and as a table that sums to the rows read."""
    heading = "Where every row went"
    if record.live is None:
        return Section("rows", heading, "No row of the prediction log was read.")
    balance = record.live.balance
    blocks = [Block(table=_table(balance))]
    abstentions = _abstentions(record)
    if abstentions is not None:
        blocks = [
            Block(table=_table(balance), half=True),
            Block(table=abstentions, heading="Why production abstained", half=True),
        ]
    return Section("rows", heading, _lead(balance), tuple(blocks))


def total(balance: Balance) -> int:
    """The sum of all parts, which has to be the rows read."""
    return sum(int(getattr(balance, name)) for name, _, _ in _PARTS)


def _lead(balance: Balance) -> str:
    parts = [
        f"{formats.count(getattr(balance, name))} {title.lower()}"
        for name, title, _ in _PARTS
        if getattr(balance, name)
    ]
    if total(balance) != balance.rows:
        return f"The rows do NOT add up: {formats.plural(balance.rows, 'row')} read, {formats.count(total(balance))} accounted for."
    sum_ = f"{formats.plural(balance.rows, 'row')} of the prediction log add up: {formats.enumerate_words(parts)}. " if balance.rows else "The log holds no row of the window. "  # fmt: skip
    silent = f"At {formats.plural(balance.bars_without_answer, 'bar')} production neither answered nor abstained" if balance.bars_without_answer else "Production answered or abstained at every bar"  # fmt: skip
    torn = f"; {formats.plural(balance.damaged, 'place')} of the log could not be read, and how many rows were there is not known." if balance.damaged else "; all of the log could be read."  # fmt: skip
    return f"{sum_}{silent}{torn}"


def _table(balance: Balance) -> Table:
    lines = [
        (
            Cell(title),
            Cell(formats.count(getattr(balance, name)), getattr(balance, name), _tone(name, getattr(balance, name))),
            Cell(what),
        )
        for name, title, what in _PARTS
    ]
    whole = total(balance) == balance.rows
    lines.append((Cell("All rows"), Cell(formats.count(balance.rows), balance.rows, "" if whole else "bad"), Cell("the sum of the rows above" if whole else "NOT the sum of the rows above")))  # fmt: skip
    columns = (Column("Rows", numeric=False), Column("Number"), Column("What they are", numeric=False))
    return Table("Where every row of the prediction log went", columns, tuple(lines))


def _tone(name: str, number: int) -> Tone:
    return "warn" if name in _BAD and number else ""


def _abstentions(record: MonitorRecord) -> Table | None:
    if record.live is None:
        return None
    counted: Counter[str] = Counter()
    for each in record.live.production:
        counted.update(each.abstentions)
    if not counted:
        return None
    ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    lines = tuple(
        (Cell(reason.replace("_", " ") or "no reason"), Cell(formats.count(number), number))
        for reason, number in ranked
    )
    return Table("Abstentions of production by reason", (Column("Reason", numeric=False), Column("Rows")), lines)
