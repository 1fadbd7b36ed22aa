"""What points and statistics say apart, what each policy would have said, and what would change a refusal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tidegate.gates.result import PolicyVerdict
from tidegate.report import formats
from tidegate.report.record import RunRecord
from tidegate.report.sections.gates import VerdictMark
from tidegate.report.sections.verdict import title_in_sentence

_NAMED: Final = 3
PROMOTE: Final = VerdictMark("\u2713", "Would promote", "good")
REFUSE: Final = VerdictMark("\u2715", "Would refuse", "bad")


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one set of gates says of the run.

    Attributes:
        title: whose opinion.
        mark: promote or refuse.
        words: what it stands on.
        decides: whether this one decided.
    """

    title: str
    mark: VerdictMark
    words: str
    decides: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What a refusing gate needs to pass."""

    title: str
    words: str


def halves(record: RunRecord) -> tuple[Opinion, ...]:
    """Points and statistics by themselves; empty for a decision that does not tell them apart."""
    decision = record.decision
    if decision.points is None or decision.statistics is None:
        return ()
    titles = _titles(record)
    numbers = {
        family: sum(result.blocking and result.family == family for result in decision.results)
        for family in ("point", "statistic")
    }
    statistics = decision.statistics
    shown = "" if numbers["statistic"] else "; under this policy statistics only show"
    return (
        Opinion("Points", _mark(decision.points), _words(decision.points, titles, numbers["point"])),
        Opinion("Statistics", _mark(statistics), _words(statistics, titles, numbers["statistic"]) + shown),
    )


def policies(record: RunRecord) -> tuple[Opinion, ...]:
    """What each named policy says; the one that decided is marked."""
    titles, decision = _titles(record), record.decision
    return tuple(
        Opinion(name, _mark(verdict), _words(verdict, titles, 0), decides=name == decision.policy)
        for name, verdict in decision.verdicts.items()
    )


def changes(record: RunRecord) -> tuple[Change, ...]:
    """What each refusing gate needs, for those that can say it."""
    return tuple(Change(result.title, result.change) for result in record.decision.refusals if result.change)


def opinion_sentence(record: RunRecord) -> str:
    """Both verdicts in one sentence; empty where the decision does not tell them apart."""
    parts = halves(record)
    return "; ".join(f"{part.title.lower()}: {part.mark.word.lower()} ({part.words})" for part in parts)


def _mark(verdict: PolicyVerdict) -> VerdictMark:
    return PROMOTE if verdict.promote else REFUSE


def _words(verdict: PolicyVerdict, titles: Mapping[str, str], gates: int) -> str:
    if verdict.promote:
        return f"all {formats.plural(gates, 'blocking gate')} pass" if gates else "every gate that blocks passes"
    measured = [titles.get(name, name) for name in verdict.refused_by if name not in verdict.unmeasured]
    unmeasured = [titles.get(name, name) for name in verdict.unmeasured]
    named = measured[:_NAMED]
    more = len(measured) - len(named)
    told = formats.enumerate_words([*named, f"{more} more"] if more else named)
    missing = f"{formats.enumerate_words(unmeasured)} was not measured in this run" if unmeasured else ""
    return "; ".join(filter(None, (told, missing))) or "no gate was judged"


def _titles(record: RunRecord) -> dict[str, str]:
    return {result.name: title_in_sentence(result) for result in record.decision.results}
