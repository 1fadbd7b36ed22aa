"""States, sections and headline in words: the same on the page, in Markdown and on the terminal."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from tidegate.checklist.result import Line, Looked, State
from tidegate.report import formats

WORDS: Final[Mapping[State, str]] = {
    "pass": "pass",
    "fail": "fail",
    "not_measured": "not measured",
    "signed": "signed",
    "unsigned": "not signed",
}
ICONS: Final[Mapping[State, str]] = {
    "pass": "\u2713",
    "fail": "\u2717",
    "not_measured": "?",
    "signed": "\u270e",
    "unsigned": "\u25cb",
}
TONES: Final[Mapping[State, str]] = {
    "pass": "good",
    "fail": "bad",
    "not_measured": "warn",
    "signed": "good",
    "unsigned": "warn",
}


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict in a word and a sentence."""

    word: str
    sentence: str
    tone: str
    icon: str


def headline(looked: Looked) -> Headline:
    """Whether something stands against a deployment."""
    bad = looked.blocking
    blocking = sum(line.item.blocks != "nothing" for line in looked.lines)
    if not bad and looked.section is not None:
        told = f"Only the section {looked.section!r} was looked at, and none of its {blocking} lines that block a deployment stands against one."
        return Headline("In part", told, "warn", ICONS["not_measured"])
    if not bad:
        return Headline("Ready", f"All {blocking} lines that block a deployment pass.", "good", ICONS["pass"])
    worst = [line for line in bad if line.state == "fail"]
    told = f"{len(bad)} of {blocking} lines that block a deployment do not pass: {counted(bad)}."
    return Headline("Not ready", told, "bad" if worst else "warn", ICONS["fail"] if worst else ICONS["not_measured"])


def counted(lines: Sequence[Line]) -> str:
    """How many lines are in each state, such as `2 fail, 1 not measured`."""
    return ", ".join(
        f"{count} {word}" for state, word in WORDS.items() if (count := sum(line.state == state for line in lines))
    )


def basis(looked: Looked) -> str:
    """What the look stands on."""
    people = sum(line.answered_by == "person" for line in looked.lines)
    sums = sum(line.answered_by == "sum" for line in looked.lines)
    return (
        f"{len(looked.lines)} lines: {looked.by_machine} by machine, which decided {looked.decided} of them, {people} by a person's signature, {sums} that sum up others; {counted(looked.lines)}. "
        f"Looked at in {looked.took_s:.1f}{formats.NBSP}s."
    )


def chapters(looked: Looked) -> Iterator[tuple[str, list[tuple[str, list[Line]]]]]:
    """Lines by outer heading, and within by inner heading, which is empty where there is none."""
    for outer, lines in groupby(looked.lines, key=lambda line: line.section[0]):
        yield outer, [(inner, list(each)) for inner, each in groupby(lines, key=lambda line: "".join(line.section[1:]))]
