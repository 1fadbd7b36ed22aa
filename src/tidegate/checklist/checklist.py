"""The whole look: reads the lists of the project, asks every probe, adds the ML Test Score."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tidegate.checklist.catalogue import probes
from tidegate.checklist.context import Context
from tidegate.checklist.examine import examine
from tidegate.checklist.finding import Finding
from tidegate.checklist.items import Item, checklist_file, load_rubric
from tidegate.checklist.ml_test_score import load_tests, score_file, score_of
from tidegate.checklist.result import Line, Looked, refusing
from tidegate.errors import ConfigurationError, PromotionRefused, TidegateError
from tidegate.registry.database import system_clock
from tidegate.settings.settings import Settings
from tidegate.strategy.strategy import Strategy

_WORDS = 3


def look_at_all(
    settings: Settings,
    root: Path,
    strategy: Strategy | None,
    *,
    section: str | None = None,
    version: int | None = None,
    pages_at: str | None = None,
    step: Callable[[Item], None] = lambda _item: None,
) -> Looked:
    """Look at every line of the checklist, and at the ML Test Score where all lines are looked at.

    Args:
        settings: of the installation; `mlflow.tracking_uri` names a server that answers.
        root: the project's folder, with `configs/checklist.yaml`.
        strategy: of one model; None: lines about a strategy are not measured.
        section: only lines under a heading that holds this text, or whose id begins with it; in any case.
        version: to look at; None: the one in production.
        pages_at: see `Context`.
        step: told each line before it is looked at.

    Raises:
        ConfigurationError: a list is missing or wrong, or no line is in the section.
    """
    section = section or None
    rubric = load_rubric(checklist_file(root))
    tests = load_tests(score_file(root)) if section is None and score_file(root).is_file() else None
    context = Context(settings, root, strategy, system_clock(), version=version, pages_at=pages_at)
    began, known, all_probes = time.monotonic(), dict[str, Finding](), probes()

    def wanted(item: Item, path: tuple[str, ...]) -> bool:
        text = (section or "").lower()
        return item.id.startswith(text) or any(text in heading.lower() for heading in path)

    lines = examine(context, rubric, all_probes, wanted=wanted, known=known, step=step)
    if not lines:
        headings = ", ".join(sorted({one.path[-1] for one in rubric.sections}))
        raise ConfigurationError(f"no line is in the section {section!r}", expected=f"part of a heading: {headings}")
    took_s, kind = time.monotonic() - began, None if strategy is None else strategy.kind
    looked = Looked(context.name, _version(context), context.now_ms, took_s, lines, section=section, kind=kind)
    if tests is not None:
        score = score_of(context, tests, all_probes, known)
        looked = replace(looked, test_score=score, took_s=time.monotonic() - began)
    return looked


def _version(context: Context) -> int | None:
    try:
        return context.version if context.version is not None or not context.name else context.state.current
    except TidegateError:
        return None


def require(settings: Settings, root: Path, strategy: Strategy, version: int) -> None:
    """Refuse a promotion while a line that `checklist.require` asks for does not pass. What cannot be looked at does not pass.

    Args:
        settings: of the installation; where `checklist.require` is `nothing`, nothing is looked at.
        root: the project's folder.
        strategy: of one model.
        version: that is to be promoted.

    Raises:
        ConfigurationError: the list is missing or wrong.
        PromotionRefused: names the lines.
    """
    asked = settings.checklist.require
    if asked == "nothing":
        return
    blocks = ("promotion",) if asked == "promotion" else ("promotion", "deployment")
    rubric = load_rubric(checklist_file(root))
    context = Context(settings, root, strategy, system_clock(), version=version)
    lines = examine(context, rubric, probes(), wanted=lambda item, _path: item.blocks in blocks)
    if not any(line.item.blocks == "promotion" for line in lines):
        raise PromotionRefused(
            f"{strategy.name} v{version} not promoted: no line of the checklist blocks promotions, so nothing was looked at",
            expected="lines with `blocks: promotion`",
            actual=str(checklist_file(root)),
            setting="checklist.require",
            next_step="take the lines of configs/checklist.yaml of tidegate's repository, or switch the setting off",
        )
    bad = refusing(lines, blocks)
    if bad:
        raise PromotionRefused(
            f"{strategy.name} v{version} not promoted: {len(bad)} lines of the checklist do not pass",
            expected=f"every line that blocks a {' or a '.join(blocks)} passes",
            actual="; ".join(f"{line.item.id} {_state(line)}" for line in bad),
            setting="checklist.require",
            next_step=f"tidegate checklist {strategy.name} --version {version}",
        )


def _state(line: Line) -> str:
    told = line.evidence if len(line.evidence) < 80 else " ".join(line.evidence.split()[: 4 * _WORDS])
    return f"{line.state.replace('_', ' ')} ({told})"


def signable(root: Path, name: str) -> Item:
    """A line of the checklist or of the ML Test Score by its id.

    Raises:
        ConfigurationError: there is none, or a list is missing or wrong.
    """
    if name.startswith("score."):
        found = [one.item for one in load_tests(score_file(root)).tests if one.id == name]
        if found:
            return found[0]
    return load_rubric(checklist_file(root)).item(name)
