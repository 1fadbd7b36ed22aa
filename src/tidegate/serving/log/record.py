"""One row of the prediction log, version 1."""

from typing import Literal

import msgspec


class Row(msgspec.Struct, frozen=True, gc=False):
    """One answer, or refusal, about one symbol; see docs/contracts/prediction-log.md. Times are UTC ms."""

    request_id: str
    instance: str
    strategy: str
    symbol: str
    bar_closed_at: int | None
    received_at: int
    answered_at: int
    version: int | None
    bundle_digest: str | None
    role: Literal["production", "shadow"]
    features: list[float] | None
    input_digest: str | None
    probability: float | None
    target_position: Literal[-1, 0, 1] | None
    abstain_reason: str | None
    out_of_distribution: float | None
    data_age_ms: int | None
    status: str
    schema_version: Literal[1] = 1
