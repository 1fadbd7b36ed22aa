"""Looks at every line. Fails closed: a probe that raises is a fail, with what it said."""

import logging
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import Final

from tidegate.bars.bars import iso
from tidegate.checklist.context import Context
from tidegate.checklist.finding import Finding, NotMeasured
from tidegate.checklist.items import Item, Rubric
from tidegate.checklist.probe import Probe
from tidegate.checklist.result import GOOD, Line, State
from tidegate.checklist.signatures import newest
from tidegate.errors import TidegateError
from tidegate.registry.database import system_clock
from tidegate.settings.reference import without_password

log = logging.getLogger(__name__)
_LONGEST: Final = 600
_WORST: Final[tuple[State, ...]] = ("fail", "not_measured", "unsigned")


def everything(_item: Item, _section: tuple[str, ...]) -> bool:
    """Every line is looked at."""
    return True


def examine(
    context: Context,
    rubric: Rubric,
    probes: Mapping[str, Probe],
    *,
    wanted: Callable[[Item, tuple[str, ...]], bool] = everything,
    known: MutableMapping[str, Finding] | None = None,
    step: Callable[[Item], None] = lambda _item: None,
) -> tuple[Line, ...]:
    """Every line's answer, in the list's order.

    Args:
        context: what is looked at.
        rubric: the list.
        probes: by name; one that the list names and that is not there is a fail.
        wanted: which lines are looked at, by item and headings. Parts of a wanted sum are looked at in any case.
        known: findings by the name of their probe; used where they are there, and added to.
        step: told each line before it is looked at.
    """
    known = {} if known is None else known
    all_lines = [(item, section.path) for section in rubric.sections for item in section.items]
    parts = {part for item, section in all_lines if wanted(item, section) for part in item.parts}
    chosen = [(item, section) for item, section in all_lines if item.id in parts or wanted(item, section)]
    answers: dict[str, Line] = {}
    for item, section in chosen:
        if not item.parts:
            step(item)
            answers[item.id] = answer(context, item, section, probes, known)
    return tuple(_sum(item, section, answers) if item.parts else answers[item.id] for item, section in chosen)


def answer(
    context: Context,
    item: Item,
    section: tuple[str, ...],
    probes: Mapping[str, Probe],
    known: MutableMapping[str, Finding],
) -> Line:
    """The answer to a line that is no sum. Several probes are named with `+` between them; the worst of them counts."""
    if item.probe is None:
        return _signed(context, item, section)
    found = []
    for name in item.probe.split("+"):
        if name not in known:
            known[name] = look(context, name, probes)
        found.append(known[name])
    one = worst(found)
    evidence, link = (_printable(without_password(text)) for text in (one.evidence, one.link))
    return Line(item, section, one.verdict, evidence[:_LONGEST], link, system_clock())


def _printable(text: str) -> str:
    r"""Text of strangers in one line, which moves no cursor.

    >>> _printable("a\n\x1b[31mb")
    'a [31mb'
    """
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def look(context: Context, name: str, probes: Mapping[str, Probe]) -> Finding:
    """One probe's finding; whatever it raises becomes one."""
    probe = probes.get(name)
    if probe is None:
        return Finding("fail", f"there is no probe {name}")
    try:
        return probe(context)
    except NotMeasured as reason:
        return Finding("not_measured", str(reason))
    except TidegateError as error:
        return Finding("fail", str(error))
    except Exception as error:
        # The border: a probe that breaks fails its line, and not the look.
        log.warning("the probe %s broke", name, exc_info=error)
        return Finding("fail", f"the probe broke: {type(error).__name__}: {' '.join(str(error).split())}")


def worst(findings: Sequence[Finding]) -> Finding:
    """Several findings as one: the worst verdict, with what each one says that has it."""
    for verdict in ("fail", "not_measured", "pass"):
        found = [one for one in findings if one.verdict == verdict]
        if found:
            return Finding(found[0].verdict, "; ".join(one.evidence for one in found), found[0].link)
    return Finding("fail", "no probe answers for this")


def _signed(context: Context, item: Item, section: tuple[str, ...]) -> Line:
    try:
        signature = newest(context.events, item.id, context.name, most_days=item.manual)
    except TidegateError as error:
        return Line(item, section, "fail", _printable(str(error))[:_LONGEST], "", context.now_ms)
    except (LookupError, TypeError, ValueError) as error:
        told = f"the newest signature cannot be read: {type(error).__name__}: {error}"
        return Line(item, section, "fail", _printable(told)[:_LONGEST], "", context.now_ms)
    if signature is None:
        told = f"nobody has signed: tidegate sign {item.id} --by NAME --note TEXT"
        return Line(item, section, "unsigned", told, "", context.now_ms)
    holds = signature.holds(context.now_ms)
    until = f"until {iso(signature.expires_at)[:10]}" if holds else f"EXPIRED {iso(signature.expires_at)[:10]}"
    evidence = f"{signature.by}, {until}: {signature.note} (typed by {signature.actor})"
    return Line(item, section, "signed" if holds else "fail", _printable(evidence)[:_LONGEST], "", signature.signed_at)


def _sum(item: Item, section: tuple[str, ...], answers: Mapping[str, Line]) -> Line:
    parts = [answers[name] for name in item.parts]
    state = _worst(line.state for line in parts)
    bad = [line.item.text for line in parts if not line.is_good]
    evidence = f"{len(parts) - len(bad)} of {len(parts)} lines pass" + (f"; not: {', '.join(bad)}" if bad else "")
    return Line(item, section, state, evidence, "", max(line.at for line in parts))


def _worst(states: Iterable[State]) -> State:
    found = set(states)
    return next((state for state in _WORST if state in found), "pass" if found and found <= GOOD else "fail")
