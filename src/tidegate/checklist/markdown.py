"""The look as Markdown, for a merge request or a wiki."""

import re
from collections.abc import Iterator

from tidegate.checklist.result import Line, Looked
from tidegate.checklist.words import ICONS, WORDS, basis, chapters, headline
from tidegate.report import formats


def markdown(looked: Looked) -> str:
    """The whole look."""
    return "\n".join(_lines(looked)) + "\n"


def _lines(looked: Looked) -> Iterator[str]:
    told = headline(looked)
    of = f" of {looked.strategy}" if looked.strategy else ""
    version = "" if looked.version is None else f", v{looked.version}"
    yield from (f"# Production checklist{of}{version}: {told.word}", "", told.sentence, "", basis(looked), "")
    if looked.kind == "simulated":
        yield from ("> **SIMULATED MARKET: this says nothing about real markets.**", "")
    yield from (f"As of {formats.moment(looked.at)}.", "")
    for outer, sections in chapters(looked):
        yield from (f"## {outer}", "")
        for inner, lines in sections:
            if inner:
                yield from (f"### {inner}", "")
            yield from _table(lines)
    score = looked.test_score
    if score is not None:
        yield from (
            f"## ML Test Score: {score.score:g}",
            "",
            f"The least of the sections; it means: {score.reading}.",
            "",
        )
        yield from (f"- {name}: {value:g} of 7" for name, value in score.sections)
        yield ""
        yield from _table(score.lines)


def _table(lines: "list[Line] | tuple[Line, ...]") -> Iterator[str]:
    yield from ("| | line | evidence | at (UTC) |", "|---|---|---|---|")
    for line in lines:
        link = f" ({line.link})" if line.link else ""
        blocks = " **blocks**" if line.item.blocks != "nothing" and not line.is_good else ""
        state = f"{ICONS[line.state]} {WORDS[line.state]}{blocks}"
        yield f"| {state} | {_cell(line.item.text)} `{line.item.id}` | {_cell(line.evidence + link)} | {formats.moment(line.at)} |"
    yield ""


def _cell(text: str) -> str:
    r"""Text that cannot end its cell or begin anything.

    >>> _cell("a|b <i> [x](y)")
    'a\\|b \\<i> \\[x](y)'
    """
    return re.sub(r"([|<\[`*])", r"\\\1", " ".join(text.split()))
