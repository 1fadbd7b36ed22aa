"""The verdict: what came of the run and why, in one sentence."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from tidegate.gates.result import GateResult, Verdict
from tidegate.report import formats
from tidegate.report.record import RunRecord

_NAMED_REASONS: Final = 4
_NAMES: Final = ("Sharpe",)


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict's word, the sentence after it, and its tone."""

    word: str
    sentence: str
    tone: Literal["good", "bad", "warn"]

    @property
    def icon(self) -> str:
        """A sign that tells the tone without colour."""
        return {"good": "\u2713", "bad": "\u2715", "warn": "!"}[self.tone]


def headline(record: RunRecord) -> Headline:
    """The verdict of a run. A promotion that the gates do not carry is never shown as one."""
    decision, promotion = record.decision, record.promotion
    cleared = decision.promote and not decision.refusals and bool(decision.results)
    missed = sum(result.verdict is not Verdict.PASS for result in decision.results)
    passed = f"{'' if missed else 'all '}{_gates(len(decision.results) - missed)} passed{f', {missed} advisory did not' if missed else ''}"
    told = _sentence(promotion.message)
    if promotion.outcome == "promoted":
        if not cleared:
            text = f"The registry holds this model although the gates refuse it: {reasons(record)}. {told}"
            return Headline("PROMOTED AGAINST THE GATES", text.strip(), "bad")
        version = "A new version" if promotion.version is None else f"Version {promotion.version}"
        before = f" in place of version {promotion.previous_version}" if promotion.previous_version is not None else ""
        return Headline("PROMOTED", f"{version} is now in production{before}: {passed}.", "good")
    if not cleared:
        return Headline("REFUSED", f"{reasons(record)}.", "bad")
    cause = "the registry refused" if promotion.outcome == "refused" else "promotion was not tried"
    return Headline("NOT PROMOTED", f"{passed[:1].upper()}{passed[1:]}, but {cause}. {told}".strip(), "warn")


def reasons(record: RunRecord) -> str:
    """The refusing gates in plain words, the first few by name."""
    results, refusals = record.decision.results, record.decision.refusals
    if not results:
        return "No gate was judged, and nothing is promoted without a judgement"
    if not refusals:
        return "The decision is not to promote, though no single gate refuses"
    named = list(_reasons_of(refusals[:_NAMED_REASONS]))
    more = max(0, len(refusals) - _NAMED_REASONS)
    rest = f"; and {more} more" if more > 0 else ""
    verb = "refuses" if len(refusals) == 1 else "refuse"
    return f"{len(refusals)} of {_gates(len(results))} {verb}: {'; '.join(named)}{rest}"


def _reasons_of(results: tuple[GateResult, ...]) -> Iterator[str]:
    """Each gate's reason, those without any number put together."""
    unmeasured = [title_in_sentence(result) for result in results if _unmeasured(result)]
    yield from (reason(result) for result in results if not _unmeasured(result))
    if unmeasured:
        yield f"{formats.enumerate_words(unmeasured)} could not be measured"


def _unmeasured(result: GateResult) -> bool:
    silent = (
        result.reason.startswith(("is nan", "is inf", "is -inf", "was not measured", "has no value"))
        or not result.reason
    )
    return result.verdict is Verdict.FAIL and not formats.known(result.observed) and silent


def title_in_sentence(result: GateResult) -> str:
    """The title as it stands inside a sentence: names keep their capital."""
    first = result.title.split(" ")[0]
    return result.title if first in _NAMES or not first[1:].islower() else first.lower() + result.title[len(first) :]


def reason(result: GateResult) -> str:
    """One refusing gate in plain words."""
    title = title_in_sentence(result)
    if _unmeasured(result):
        return f"{title} could not be measured"
    if result.verdict is Verdict.NOT_ENOUGH_EVIDENCE:
        return f"{title}: not enough evidence ({result.reason})"
    if not formats.known(result.observed):
        return f"{title}: {result.reason}"
    observed = formats.quantity(result.observed, result.unit)
    return f"{title} ({observed}, required {formats.bound_in_words(result)})"


def basis(record: RunRecord) -> str:
    """What the verdict stands on."""
    bars = len(record.pooled)
    if bars == 0:
        return "There were no out-of-sample bars to judge by."
    folds = formats.plural(len(record.folds), "walk-forward fold")
    when = formats.span(int(record.pooled.opened_at[0]), int(record.pooled.closed_at[-1]))
    trades = formats.plural(len(record.pooled.trades), "closed trade")
    return (
        f"Judged out of sample on {folds}, {when}: {formats.plural(bars, 'bar')}, {trades}, all figures net of costs."
    )


def _gates(number: int) -> str:
    return formats.plural(number, "gate")


def _sentence(text: str) -> str:
    text = text.strip()
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."
