"""Rows of the prediction log, from answers and refusals."""

from dataclasses import dataclass
from typing import Literal

from tidegate.bars.bars import Floats
from tidegate.serving.clock import wall_ms
from tidegate.serving.log.record import Row
from tidegate.serving.messages import Answer, ProblemBody, unanswered


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose question it is; `received_at` is UTC ms by this machine's clock."""

    request_id: str
    instance: str
    strategy: str
    received_at: int


def row_of(
    asked: Asked, answer: Answer, status: str, role: Literal["production", "shadow"], features: Floats | None
) -> Row:
    """The row of one answer.

    Args:
        asked: the request.
        answer: as it is sent.
        status: `ok`, `abstain`, or the problem's slug.
        role: who answered.
        features: (F,) in the manifest's order, or None.
    """
    return Row(
        request_id=asked.request_id,
        instance=asked.instance,
        strategy=asked.strategy,
        symbol=answer.symbol,
        bar_closed_at=answer.bar_closed_at,
        received_at=asked.received_at,
        answered_at=wall_ms(),
        version=answer.version,
        bundle_digest=answer.bundle_digest,
        role=role,
        features=None if features is None else features.tolist(),
        input_digest=answer.input_digest,
        probability=answer.probability,
        target_position=answer.target_position,
        abstain_reason=None if answer.abstain is None else answer.abstain.reason,
        out_of_distribution=answer.out_of_distribution,
        data_age_ms=answer.data_age_ms,
        status=status,
    )


def refused_answer(symbol: str, problem: ProblemBody) -> Answer:
    """The answer about a symbol that was refused."""
    return unanswered(symbol, problem=problem)
