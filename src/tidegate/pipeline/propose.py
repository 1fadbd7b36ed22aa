"""A strategy's monthly proposals: trials from the ledger in, two files in the runs' folder out. Nothing else is written, and nothing applied."""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tidegate.durable import write_whole
from tidegate.errors import ConfigurationError
from tidegate.pipeline.files import read_trial
from tidegate.pipeline.proposal import Proposal, propose
from tidegate.pipeline.proposal_text import because, headline, to_markdown, to_yaml
from tidegate.pipeline.tried import Tried
from tidegate.registry.trials import TrialLedger
from tidegate.settings.settings import Settings
from tidegate.strategy.strategy import Strategy

__all__ = ["Proposed", "describe", "headline", "propose_model"]

_MONTH: Final = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Proposed:
    """A proposal and where it is kept."""

    proposal: Proposal
    report: Path
    patch: Path
    markdown: str


def propose_model(strategy: Strategy, settings: Settings, month: str) -> Proposed:
    """Compare what was tried for one model, and write `<month>.md` and `<month>.yaml` to its folder of proposals.

    Doing it again in the same month replaces both.

    Args:
        strategy: of one model (see `Strategy.single`).
        settings: of the installation.
        month: such as 2026-11; names the files.
    Raises:
        ConfigurationError: the month is none.
        LedgerError: the ledger cannot be reached.
        DataError: a trial's returns are missing or altered.
        OSError: the files cannot be written.
    """
    if _MONTH.fullmatch(month) is None:
        raise ConfigurationError("a proposal is named by its month", expected="such as 2026-11", actual=month[:40])
    ledger = TrialLedger.from_settings(settings)
    tried = [
        Tried(
            trial.retrain_key,
            trial.windows,
            trial.parameters,
            math.nan if trial.score is None else trial.score,
            *read_trial(trial.returns_path, trial.returns_sha256),
        )
        for trial in ledger.trials(strategy.name)
    ]
    found = propose(strategy, tried, month)
    folder = settings.paths.runs / strategy.name / "proposals"
    report, patch = folder / f"{month}.md", folder / f"{month}.yaml"
    text = to_markdown(found)
    for path, content in ((patch, to_yaml(found)), (report, text)):
        write_whole(path, content)
    return Proposed(found, report, patch, text)


def describe(proposed: Proposed) -> Mapping[str, Any]:
    """The proposal as plain values."""
    proposal = proposed.proposal
    alternatives = [asdict(each) | {"passes": each.passes} for each in proposal.alternatives]
    chosen = None if proposal.chosen is None else dict(proposal.chosen.patch)
    return {
        "strategy": proposal.strategy,
        "month": proposal.month,
        "advice": headline(proposal),
        "because": because(proposal),
        "change": chosen,
        "trials": proposal.trials,
        "retrains": proposal.retrains,
        "level": proposal.level,
        "too_few": proposal.too_few,
        "alternatives": alternatives,
        "report": str(proposed.report),
        "patch": str(proposed.patch),
    }
