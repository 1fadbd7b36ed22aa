"""Month by month: what was decided and why, what it earned, and how it looks in hindsight."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from tidegate.monitoring.page.charts.intervals import Interval, Level, intervals_chart
from tidegate.replay.page_figures import Judged, deployed, judged
from tidegate.replay.page_headline import whole_percents
from tidegate.replay.result import Act, DecisionKind, Hindsight, Judgement, MonthRecord, Outcome, ReplayResult
from tidegate.report import formats
from tidegate.report.sections.gates import VerdictMark
from tidegate.report.sections.section import Block, Figure, Section
from tidegate.report.table import Cell, Column, Table, Tone, sign_tone

OUTCOMES: Final[Mapping[Outcome, VerdictMark]] = {
    "promoted": VerdictMark("\u25b2", "Promoted", "good"),
    "refused": VerdictMark("\u00d7", "Refused", ""),
    "failed": VerdictMark("!", "No model", "bad"),
    "none": VerdictMark(formats.DASH, "Nothing to decide", ""),
}
SEEN: Final[Mapping[Judgement, VerdictMark]] = {
    "right": VerdictMark("\u2713", "Right", "good"),
    "wrong": VerdictMark("\u2715", "Wrong", "bad"),
    "undecided": VerdictMark("?", "Undecided", "warn"),
}
_ACTS: Final = {"rollback": "\u25bc Rolled back", "halt": "\u25a0 Halted", "expiry": "\u25c7 Expired"}
KINDS: Final[Mapping[DecisionKind, str]] = {
    "promotion": "Promotions",
    "refusal": "Refusals",
    "rollback": "Rollbacks and halts",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """How one decision looks in hindsight: its mark, and the difference that it made as text."""

    mark: VerdictMark
    difference: str


@dataclass(frozen=True, slots=True)
class ActRow:
    """What happened between two decisions: what, when and to which version, why, and how it looks in hindsight."""

    what: str
    where: str
    reason: str
    seen: Seen | None


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """One month's line; `against` names the refusing gates, `reasons` says all of them in full."""

    month: str
    mark: VerdictMark
    version: str
    production: str
    against: str
    reasons: tuple[str, ...]
    sharpe: str
    p: str
    level: str
    live: str
    live_tone: Tone
    live_detail: str
    seen: Seen | None
    acts: tuple[ActRow, ...]


def decision_rows(result: ReplayResult) -> tuple[DecisionRow, ...]:
    """Every month of the deployed path, oldest first."""
    return tuple(_row(month) for month in deployed(result).months)


def _row(month: MonthRecord) -> DecisionRow:
    live, metrics = month.live, month.metrics
    own = next((seen for seen in month.hindsight if seen.decision in ("promotion", "refusal")), None)
    won = "" if live.win_rate is None else f", {formats.percent(live.win_rate, 0)} won"
    return DecisionRow(
        month=month.month,
        mark=OUTCOMES[month.outcome],
        version="" if month.version is None else f"v{month.version}",
        production=_production(month),
        against=formats.enumerate_words([reason.partition(": ")[0] for reason in month.refusals]),
        reasons=month.refusals,
        sharpe=_number(metrics.get("sharpe")),
        p=_chance(metrics.get("skill_p")),
        level=_chance(metrics.get("skill_level"), 4),
        live=formats.percent(live.net_return, 2, signed=True),
        live_tone=sign_tone(live.net_return),
        live_detail=f"{formats.plural(live.trades, 'trade')}{won}" if live.trades else "no trades",
        seen=_seen(own),
        acts=tuple(_act(act, month.hindsight) for act in month.acts),
    )


def _production(month: MonthRecord) -> str:
    before, after = month.production_before, month.production_after
    if before == after:
        return "nothing in production" if after is None else f"v{after} in production"
    return f"v{after} in place of {'nothing' if before is None else f'v{before}'}"


def _act(act: Act, hindsight: tuple[Hindsight, ...]) -> ActRow:
    # Hindsight calls a halt a rollback, too; an expiry is nobody's decision.
    found = next(
        (
            seen
            for seen in hindsight
            if seen.decision == "rollback" and (seen.version, seen.at_ms) == (act.from_version, act.at_ms)
        ),
        None,
    )
    left = "nothing" if act.from_version is None else f"v{act.from_version}"
    place = "to nothing" if act.to_version is None else f"to v{act.to_version}"
    return ActRow(
        _ACTS[act.kind],
        f"{formats.day(act.at_ms)}, {left} {place}",
        _sentence(act.reason),
        _seen(None if act.kind == "expiry" else found),
    )


def _sentence(text: str) -> str:
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def _seen(found: Hindsight | None) -> Seen | None:
    return None if found is None else Seen(SEEN[found.judgement], formats.percent(found.difference, 2, signed=True))


def _number(value: formats.Number) -> str:
    return formats.decimal(value) if formats.known(value) else formats.DASH


def _chance(value: formats.Number, places: int = 3) -> str:
    """A probability; a small one in powers of ten."""
    if value is None or not formats.known(value):
        return formats.DASH
    return formats.tiny(value) if 0 < value < 0.001 else formats.decimal(value, places)


def decisions_lead(result: ReplayResult) -> str:
    """The counts in a sentence or two."""
    path = deployed(result)
    summary = path.summary
    said = (
        f"{formats.plural(len(path.months), 'month')}: {formats.plural(summary.promotions, 'promotion')}, "
        f"{formats.plural(summary.refusals, 'refusal')}, {formats.plural(summary.failures, 'month')} without a model, "
        f"{formats.plural(summary.rollbacks, 'rollback')}, {formats.plural(summary.halts, 'halt')}."
    )
    return f"{said} {' '.join(filter(None, (_right(kind, judged(path, kind)) for kind in KINDS)))}".strip()


def _right(kind: DecisionKind, found: Judged) -> str:
    if not found.decided:
        return ""
    interval = whole_percents(found.low, found.high)
    return f"{KINDS[kind]} right: {found.right} of {found.decided} (95 % interval {interval})."


def hindsight(result: ReplayResult) -> tuple[Block, ...]:
    """How the deployed path's decisions turned out, as a table and a picture."""
    path = deployed(result)
    found = {kind: judged(path, kind) for kind in KINDS}
    if not any(each.decided or each.undecided for each in found.values()):
        return ()
    columns = (
        Column("Decisions", numeric=False),
        Column("Right"),
        Column("Wrong"),
        Column("Undecided"),
        Column("Right", note="of those decided"),
        Column("Earned", note="against the other choice"),
    )
    table = Table(
        "How decisions turned out", columns, tuple(_count_row(KINDS[kind], each) for kind, each in found.items())
    )
    rule = (
        "A promotion was right if its version earned more until it left production than what it replaced would have; a refusal, if the "
        "refused model would have earned no more over the next month than the path did; a rollback or halt, if the version that was left "
        "would have earned less for the rest of its term than the path did. A difference under the cost of one round trip is undecided. "
        "Spans overlap, so the sums are not the path's profit, and the intervals are too narrow where months resemble each other."
    )
    return (
        Block(table=table, heading="In hindsight", remark=rule, half=True),
        Block(figure=_picture(found), half=True),
    )


def _count_row(name: str, found: Judged) -> tuple[Cell, ...]:
    share = found.right / found.decided if found.decided else None
    some = found.decided + found.undecided > 0
    return (
        Cell(name),
        Cell(formats.count(found.right), found.right),
        Cell(formats.count(found.wrong), found.wrong),
        Cell(formats.count(found.undecided), found.undecided),
        Cell(formats.DASH if share is None else formats.percent(share, 0), share),
        Cell(
            formats.percent(found.difference, 1, signed=True) if some else formats.DASH,
            found.difference,
            sign_tone(found.difference),
        ),
    )


def _picture(found: Mapping[DecisionKind, Judged]) -> Figure:
    rows = [
        Interval(KINDS[kind], each.right / each.decided, each.low, each.high, f"{each.right} of {each.decided}")
        for kind, each in found.items()
        if each.decided
    ]
    title = "Share of decisions that were right, with 95 % intervals"
    markup = intervals_chart("hindsight", title, rows, (Level(0.5, "limit"),)) if rows else Markup("")
    return Figure(
        title, markup, "The dashed line is one half: what a coin would get right.", "No decision has turned out."
    )


def differences(result: ReplayResult) -> Section:
    """The months in which policies decided differently."""
    policies = [path for path in result.paths if path.policy and any(month.outcome != "none" for month in path.months)]
    heading = "Where policies differ"
    if len(policies) < 2:
        return Section("policies", heading, "Only one policy was walked, so there is nothing to compare.")
    months = list(zip(*(path.months for path in policies), strict=True))
    differing = [row for row in months if len({month.outcome for month in row}) > 1]
    own = policies[0]
    said = [
        f"{path.title} in {sum(a.outcome != b.outcome for a, b in zip(own.months, path.months, strict=True))}"
        for path in policies[1:]
    ]
    lead = (
        f"The policies decided differently in {len(differing)} of {formats.plural(len(months), 'month')}. "
        f"Unlike {own.title}: {formats.enumerate_words(said)}. "
        "After a first difference another version stands in production, so later contests differ too."
    )
    columns = (
        Column("Month", numeric=False),
        *(Column(path.title, numeric=False, note="decision, then the month's net return") for path in policies),
    )
    rows = tuple((Cell(row[0].month), *(_differing(month) for month in row)) for row in differing)
    table = Table("Months in which policies decided differently", columns, rows)
    return Section("policies", heading, lead, (Block(table=table),) if rows else ())


def _differing(month: MonthRecord) -> Cell:
    mark = OUTCOMES[month.outcome]
    version = "" if month.version is None else f" v{month.version}"
    live = formats.percent(month.live.net_return, 2, signed=True)
    return Cell(f"{mark.icon} {mark.word}{version}, {live}", month.live.net_return, mark.tone)
