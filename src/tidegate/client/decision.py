"""What the client decided, who decided, and why."""

from typing import Final, Literal

import msgspec

from tidegate.client.messages import BreakerName
from tidegate.policy.policy import Side

Source = Literal["model", "fallback", "halt"]
FallbackUsed = Literal["flat", "hold", "exit", "closure"]
Health = Literal["unknown", "ready", "not_ready", "unreachable"]
Reason = Literal[
    "window_refused",
    "position_refused",
    "bar_not_closed",
    "stale_bars",
    "rate_limited",
    "breaker_open",
    "unreachable",
    "timeout",
    "server_error",
    "refused",
    "window_unaccepted",
    "bad_answer",
    "wrong_bar",
    "too_old",
    "wrong_window",
    "clock_skew",
    "abstained",
    "not_logged",
    "unexpected_version",
    "halted",
]

FAILURES: Final[frozenset[Reason]] = frozenset(
    {"unreachable", "timeout", "server_error", "bad_answer", "wrong_bar", "too_old", "wrong_window"}
)
"""Reasons that count as a failed exchange for the breaker."""


_LONGEST_DETAIL: Final = 300


def shortened(detail: str) -> str:
    """A detail as it is told: a service's words may be as long as its answer, and must not fill logs and journals."""
    return detail if len(detail) <= _LONGEST_DETAIL else f"{detail[: _LONGEST_DETAIL - 1]}…"


class Decision(msgspec.Struct, frozen=True):
    """What to hold from the next bar's open on; fields as in `docs/contracts/client.md`. Times are UTC ms.

    `version` and `bundle_digest` are those of the model that answered, also where its answer was refused.
    """

    decided_at: int
    bot: str
    strategy: str
    symbol: str
    bar_closed_at: int | None
    target: Side
    source: Source
    reason: Reason | None
    detail: str | None
    version: int | None
    bundle_digest: str | None
    probability: float | None
    fallback: FallbackUsed | None
    attempts: int
    elapsed_ms: float
    breaker: BreakerName
    dry_run: bool
    request_id: str | None

    @property
    def target_to_act_on(self) -> Side | None:
        """What to hold, None in a dry run: then nothing is done."""
        return None if self.dry_run else self.target


class State(msgspec.Struct, frozen=True):
    """What the client knows at a moment.

    Attributes:
        version, bundle_digest: of the model that gave the last signal.
        decisions: their number by source since the start.
        clock_skew_ms: the service's clock less the client's at the last answer that told it.
        halted: whether the service's last word is that nothing may be held.
    """

    breaker: BreakerName
    health: Health
    version: int | None
    bundle_digest: str | None
    decisions: dict[str, int]
    clock_skew_ms: int | None
    halted: bool


class Signal(msgspec.Struct, frozen=True):
    """An exchange that ended with a model's target."""

    target: Side
    probability: float


class Halt(msgspec.Struct, frozen=True):
    """An exchange that ended with the word that nothing may be held."""

    detail: str


class NoSignal(msgspec.Struct, frozen=True):
    """An exchange that ended without a signal, or that never began."""

    reason: Reason
    detail: str


Outcome = Signal | Halt | NoSignal
