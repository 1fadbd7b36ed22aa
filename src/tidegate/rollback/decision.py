"""From findings to one decision: what is to be done, why, and why not more. Pure: what happened before stands in the situation.

Order of the reasons that hold back an act, the first one counts: halted already, nothing in production, acting switched off, another act is open,
cooldown. An open incident of an automatic rollback, and a strategy without a good version to go back to, turn a rollback into a halt.

While such an incident is watched a fault need not have begun with the version that was gone back to: going back has not cured it, and holding nothing
is the safe side. For the same reason the cooldown, which keeps versions from going to and fro, never holds back a halt: nothing moves after one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tidegate.rollback.finding import Finding

Act = Literal["nothing", "alert", "roll_back", "halt"]
ACTS: Final = frozenset({"roll_back", "halt"})
_RANK: Final = ("sequential", "crashes", "errors", "latency", "bots", "win_rate", "sharpe", "drift")


@dataclass(frozen=True, slots=True)
class Situation:
    """What a decision has to know about a strategy.

    Attributes:
        strategy: its name.
        version: the version in production as the ledger knows it, None where there is none.
        halted: whether the strategy is halted.
        open_incident: id of an open incident of an automatic rollback, None where there is none.
        is_watched: whether that rollback is not longer ago than `rollback.watch_minutes`.
        last_automatic_act_at: UTC ms of the newest automatic rollback or halt, None where there was none.
        cooldown_ms: time after that in which no rollback follows.
        maintenance: whether a maintenance window is under way; it freezes promotions and never holds a rollback back.
        acting_allowed: whether rules may act at all.
        now_ms: UTC ms.
        has_good_version: whether the ledger knows another version that may be gone back to.
        open_intent: whether an act of the promotion ledger is under way.
    """

    strategy: str
    version: int | None
    halted: bool
    open_incident: str | None
    is_watched: bool
    last_automatic_act_at: int | None
    cooldown_ms: int
    maintenance: bool
    acting_allowed: bool
    now_ms: int
    has_good_version: bool
    open_intent: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done about one version.

    Attributes:
        act: what.
        finding: the finding that decides, None for `nothing`.
        reason: why, in a sentence.
        suppressed: what held back the rollback that the finding asked for, empty where nothing did.
        strategy: the strategy's name.
        version: the version that the findings are about.
        findings: all findings.
    """

    act: Act
    finding: Finding | None
    reason: str
    suppressed: str
    strategy: str
    version: int | None
    findings: tuple[Finding, ...]

    @property
    def rule(self) -> str | None:
        """Name of the rule that decides."""
        return None if self.finding is None else self.finding.rule


def decide(findings: Sequence[Finding], situation: Situation) -> Decision:
    """The one decision about a strategy.

    Args:
        findings: of all rules that were judged, about the version in production.
        situation: read before or after the findings; the act itself looks again.
    """
    fired = [finding for finding in findings if finding.verdict == "fired"]
    waived = situation.open_incident is not None and situation.is_watched
    asking = _first([finding for finding in fired if finding.wants("roll_back", waived=waived)])
    alarming = _first([finding for finding in fired if finding.action == "alert"])

    def decision(act: Act, finding: Finding | None, reason: str, suppressed: str = "") -> Decision:
        return Decision(act, finding, reason, suppressed, situation.strategy, situation.version, tuple(findings))

    if asking is None:
        return (
            decision("nothing", None, _quiet(findings))
            if alarming is None
            else decision("alert", alarming, alarming.reason)
        )
    why_halt = _why_halt(situation)
    held_back = _held_back(situation, is_halt=bool(why_halt))
    if held_back:
        # People know of a halt already; of everything else they are told that a rollback was due and did not happen.
        return decision("nothing" if situation.halted else "alert", asking, asking.reason, held_back)
    if why_halt:
        return decision("halt", asking, f"{asking.reason}; {why_halt}")
    return decision("roll_back", asking, asking.reason)


def _why_halt(situation: Situation) -> str:
    """Why a halt takes the place of a rollback, empty where it does not."""
    if situation.open_incident is not None:
        return f"incident {situation.open_incident} of an automatic rollback is still open, so the strategy is halted"
    return "" if situation.has_good_version else "there is no good version to go back to"


def _quiet(findings: Sequence[Finding]) -> str:
    missing = sorted(finding.rule for finding in findings if finding.verdict == "not_enough_evidence")
    quiet = "no rule fired" if findings else "no rule was judged"
    return f"{quiet}; not enough evidence for {', '.join(missing)}" if missing else quiet


def _held_back(situation: Situation, *, is_halt: bool) -> str:
    if situation.halted:
        return "the strategy is halted already"
    if situation.version is None:
        return "nothing is in production"
    if not situation.acting_allowed:
        return "rules may not act here (watch.act)"
    if situation.open_intent:
        return "another act is under way"
    last = situation.last_automatic_act_at
    # A last act in the future is a clock that was set back: it holds back as well.
    if not is_halt and last is not None and situation.now_ms - last < situation.cooldown_ms:
        return f"the last automatic act was less than {situation.cooldown_ms // 60_000} minutes ago"
    return ""


def _first(fired: Sequence[Finding]) -> Finding | None:
    """The finding that is named as the reason, where several fired: always the same one."""
    return min(fired, key=lambda finding: (_rank(finding.rule), finding.rule), default=None)


def _rank(rule: str) -> int:
    return _RANK.index(rule) if rule in _RANK else len(_RANK)
