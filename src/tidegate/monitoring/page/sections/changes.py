"""Whether the world still looks as it did in training: drift, and what the model looks at."""

from typing import Final

from tidegate.monitoring.drift import LABEL_SHARE
from tidegate.monitoring.page.parts import Folded, Part
from tidegate.monitoring.page.record import MonitorRecord
from tidegate.monitoring.result import Drift, DriftItem, ImportanceChange
from tidegate.report import formats
from tidegate.report.sections.section import Block, Section
from tidegate.report.table import Cell, Column, Table, Tone, shares

_LEAST_SHOWN: Final = 5
_MOST_NAMED: Final = 6
_NAMES = {"probability": "Probability", "label_rate": "Label rate"}
_COLUMNS = (
    Column("Compared", numeric=False),
    Column("How far", note="stability index; label rate: difference"),
    Column("How sure", note="q value"),
    Column("Verdict", numeric=False),
    Column("Mean in reference"),
    Column("Mean now"),
    Column("Rows now"),
)


def drift(record: MonitorRecord) -> Part:
    """Features, probabilities and label rate, what is far or sure first."""
    found = record.drift
    importance = _importance(record)
    blocks = (importance,) if importance is not None else ()
    if found is None:
        return Part(
            Section(
                "drift",
                "Drift",
                "Drift was not measured: there is no version in production to compare with its training.",
                blocks,
            )
        )
    if not found.items:
        return Part(
            Section("drift", "Drift", f"Drift was not measured: {found.reason or 'nothing was compared'}.", blocks)
        )
    ranked = sorted(found.items, key=lambda item: _rank(item, record))
    near = sum(_noticed(item, record) for item in ranked)
    shown = ranked[: max(near, _LEAST_SHOWN)]
    rest = ranked[len(shown) :]
    block = Block(table=_table("Items that are far or sure, and the next ones", shown, record))
    folded = (
        (
            Folded(
                f"{formats.plural(len(rest), 'other item')}, neither far nor sure",
                _table("The other items", rest, record),
            ),
        )
        if rest
        else ()
    )
    return Part(Section("drift", "Drift", _lead(found, record), (block, *blocks)), folded, after=1)


def _lead(found: Drift, record: MonitorRecord) -> str:
    drifted = [_name(item) for item in found.items if item.drifted]
    blind = [_name(item) for item in found.items if not formats.known(item.effect)]
    measured, bounds = len(found.items) - len(blind), record.strategy.monitor
    if not measured:
        return f"Drift was not measured: none of {formats.plural(len(found.items), 'item')} could be compared."
    first = f"{len(drifted) or 'None'} of {formats.plural(measured, 'item')} drifted{_list(drifted)}"
    unknown = f" Not measured: {formats.plural(len(blind), 'item')}{_list(blind)}." if blind else ""
    return (
        f"{first}, comparing the answers of {formats.span(found.current_start_at, found.current_end_at)} with the reference.{unknown} "
        f"Drifted is what is both far, with an index of at least {formats.decimal(bounds.drift_effect)} (the label rate: a difference of "
        f"{formats.points(bounds.drift_effect * LABEL_SHARE)}), and sure, with a q value of at most {formats.decimal(bounds.drift_false_discovery_rate)}."
    )


def _list(names: list[str]) -> str:
    if not names:
        return ""
    shown = names if len(names) <= _MOST_NAMED else [*names[:_MOST_NAMED], f"{len(names) - _MOST_NAMED} more"]
    return f" ({formats.enumerate_words(shown)})"


def _name(item: DriftItem) -> str:
    return _NAMES.get(item.name, item.name)


def _far(item: DriftItem, record: MonitorRecord) -> bool:
    bound = record.strategy.monitor.drift_effect * (LABEL_SHARE if item.kind == "label" else 1)
    return formats.known(item.effect) and item.effect >= bound


def _sure(item: DriftItem, record: MonitorRecord) -> bool:
    return formats.known(item.q_value) and item.q_value <= record.strategy.monitor.drift_false_discovery_rate


def _noticed(item: DriftItem, record: MonitorRecord) -> bool:
    return item.drifted or not formats.known(item.effect) or _far(item, record) or _sure(item, record)


def _rank(item: DriftItem, record: MonitorRecord) -> tuple[bool, bool, bool, float, str]:
    """What comes first: drifted, then not measured, then far or sure, then by effect."""
    known = formats.known(item.effect)
    return not item.drifted, known, not _noticed(item, record), -item.effect if known else 0.0, item.name


def _table(title: str, items: list[DriftItem], record: MonitorRecord) -> Table:
    bars = shares([item.effect for item in items])
    rows = tuple(
        (
            Cell(_name(item)),
            Cell(formats.decimal(item.effect, 3), item.effect, _tone(item, record), bar),
            Cell(_q(item.q_value), item.q_value),
            Cell(_words(item, record), tone=_tone(item, record)),
            Cell(_short(item.reference_mean), item.reference_mean),
            Cell(_short(item.current_mean), item.current_mean),
            Cell(formats.count(item.n), item.n),
        )
        for item, bar in zip(items, bars, strict=True)
    )
    return Table(title, _COLUMNS, rows)


def _words(item: DriftItem, record: MonitorRecord) -> str:
    if not formats.known(item.effect):
        return "not measured"
    if item.drifted:
        return "drifted"
    if _far(item, record):
        return "far, not sure"
    return "sure, not far" if _sure(item, record) else "no drift seen"


def _tone(item: DriftItem, record: MonitorRecord) -> Tone:
    if item.drifted:
        return "bad"
    return "warn" if _noticed(item, record) else ""


def _q(value: float) -> str:
    return formats.decimal(value, 3) if not formats.known(value) or value >= 0.001 else "< 0.001"


def _short(value: float) -> str:
    return formats.special(value) or f"{value:.4g}".replace("-", formats.MINUS)


def _importance(record: MonitorRecord) -> Block | None:
    found = record.importance
    if found is None:
        return Block(heading="Feature importance", remark="Not compared: there is no version before the one in production, or its files are not at hand.") if record.version is not None else None  # fmt: skip
    bars = shares(list(found.largest.values()))
    rows = tuple(
        (Cell(name), Cell(formats.points(value, signed=True), value, share=bar))
        for (name, value), bar in zip(found.largest.items(), bars, strict=True)
    )
    table = Table(
        "Features whose importance changed most",
        (Column("Feature", numeric=False), Column("Change of its share")),
        rows,
    )
    return Block(table=table if rows else None, heading="Feature importance", remark=_moved(found, record), half=True)


def _moved(found: ImportanceChange, record: MonitorRecord) -> str:
    bound = record.strategy.monitor.importance_change
    judged = "not measured" if not formats.known(found.moved) else "more than" if found.moved > bound else "within"
    said = f"{formats.percent(found.moved, 1)} of the importance lies on other features than in version {found.before}"
    return f"{said}, {judged} the {formats.percent(bound, 0)} that may move; rank correlation {formats.decimal(found.rank_correlation)}."
