"""What a rule found, and what the service did minute by minute: the words that rules, decisions and reports share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["quiet", "fired", "not_enough_evidence"]
Action = Literal["observe", "alert", "roll_back"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule's word about one version.

    Attributes:
        rule: the rule's name.
        action: what it asks for when it fires; `roll_back` of a rule with attribution has become `alert` where the fault did not begin
            with the version.
        verdict: whether it fired. NaN and missing figures are `not_enough_evidence`, never `quiet`.
        observed, threshold, unit: the figure and its bound; None where there is none.
        n: what it is computed from (trades, requests, days).
        since: UTC ms from which on the fault is seen, None where it is not.
        reason: a sentence.
        error_rate: how often this rule fires on a healthy model or service, in words, computed where it can be.
        evidence: JSON for the ledgers, finite numbers only.
        asked: what the strategy file asks for when it fires, where that differs from `action`: while an automatic rollback is watched,
            a fault need not have begun with the version that was gone back to.
    """

    rule: str
    action: Action
    verdict: Verdict
    observed: float | None
    threshold: float | None
    unit: str
    n: int
    since: int | None
    reason: str
    error_rate: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    asked: Action | None = None

    def wants(self, action: Action, *, waived: bool) -> bool:
        """Whether it asks for an action; `waived`: wherever the fault began."""
        return self.action == action or (waived and self.action == "alert" and self.asked == action)


@dataclass(frozen=True, slots=True)
class Minute:
    """What one instance did for one strategy within one span, usually a minute; differences of its counters.

    Attributes:
        instance: its name.
        starts_at, ends_at: UTC ms.
        reachable: whether it answered the watch.
        version: the version in production there, None where none is.
        version_since: UTC ms since when, as the watch saw it; None where not known.
        started_at: UTC ms of the process's start, None where not known.
        requests: predictions asked, symbol by symbol.
        errors: of them failed by the service (status 500 and above), or answered by the model before.
        latency_p95_ms: of predictions, from the histogram; None without any.
        orderly: whether the process before had signed off, so that this start is no crash; None while that is not known yet.
    """

    instance: str
    starts_at: int
    ends_at: int
    reachable: bool
    version: int | None
    version_since: int | None
    started_at: int | None
    requests: int
    errors: int
    latency_p95_ms: float | None
    orderly: bool | None = False


@dataclass(frozen=True, slots=True)
class BotWord:
    """What one bot said last: `unreachable` when its breaker is open. Times are UTC ms; `since` is when it began to say so."""

    bot: str
    key_id: str
    unreachable: bool
    said_at: int
    since: int
