"""What comes in and goes out over HTTP, as typed JSON. The OpenAPI file is made from these types.

Times are UTC ms. Numbers are JSON numbers, which round-trip a float64 exactly; NaN and infinity are not JSON and are refused.
"""

from typing import Annotated, Literal

import msgspec

Signal = Literal["long", "short", "flat"]
# Bounds of what is kept, shown and counted for a whole process's life.
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
_Symbol = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Time = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A frozen message that refuses unknown fields."""


class BarColumns(Strict, frozen=True):
    """n bars as six lists of length n, ascending; every bar has closed."""

    opened_at: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]


class Position(Strict, frozen=True):
    """What the bot holds at the newest bar's close; `bars_held` counts closed bars since entry, the entry bar included."""

    side: Literal[-1, 0, 1]
    entry_price: float = 0.0
    bars_held: int = 0


class Item(Strict, frozen=True):
    """One symbol's question.

    Without `after`, `bars` is a whole window: at least the model's lookback, the newest bar last. With `after`, `bars` are only the
    newest ones, and `after` is the opening time of the bar before them, which the service must know.
    """

    symbol: _Symbol
    bars: BarColumns
    after: _Time | None = None
    position: Position | None = None


class PredictRequest(Strict, frozen=True):
    """Questions about one strategy. `strategy` may be left out where the service serves only one."""

    items: list[Item]
    strategy: str | None = None
    request_id: _Name | None = None


class Abstain(Strict, frozen=True, omit_defaults=True):
    """Why no signal is given: `halted`, `stale_data`, `model_expired`, `out_of_distribution`, `features_not_finite`."""

    reason: str
    detail: str


class FieldError(Strict, frozen=True, omit_defaults=True):
    """What is wrong with one field: the constraint it breaks, and in which rows (counted from 0, the first ones)."""

    field: str
    constraint: str
    detail: str
    rows: list[int] | None = None


class ProblemBody(Strict, frozen=True, omit_defaults=True):
    """An error as RFC 9457 describes it (application/problem+json)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None = None
    errors: list[FieldError] | None = None


class Answer(Strict, frozen=True):
    """One symbol's answer.

    Exactly one of three cases: a signal (`abstain` and `problem` are null); an abstention (`signal` and `target_position` are null, or
    `flat` and 0 when the strategy is halted); a problem with this symbol, where others of the same request were answered.
    `version` and `bundle_digest` name the model that answered, null where none did.
    """

    symbol: str
    version: int | None
    bundle_digest: str | None
    bar_closed_at: int | None
    valid_until: int | None
    data_age_ms: int | None
    probability: float | None
    signal: Signal | None
    target_position: Literal[-1, 0, 1] | None
    out_of_distribution: float | None
    abstain: Abstain | None
    problem: ProblemBody | None
    input_digest: str | None


def unanswered(
    symbol: str,
    *,
    signal: Signal | None = None,
    target_position: Literal[-1, 0, 1] | None = None,
    abstain: Abstain | None = None,
    problem: ProblemBody | None = None,
) -> Answer:
    """An answer that no model gave."""
    return Answer(
        symbol=symbol,
        version=None,
        bundle_digest=None,
        bar_closed_at=None,
        valid_until=None,
        data_age_ms=None,
        probability=None,
        signal=signal,
        target_position=target_position,
        out_of_distribution=None,
        abstain=abstain,
        problem=problem,
        input_digest=None,
    )


class PredictAnswer(Strict, frozen=True):
    """Answers in the order of the questions.

    `logged` says whether the answers are durable in the prediction log; false only where settings allow it.
    """

    request_id: str
    instance: str
    strategy: str
    answered_at: int
    logged: bool
    answers: list[Answer]


class Heartbeat(Strict, frozen=True):
    """A bot's sign of life. `decisions` counts its decisions by source since its start, such as model or fallback."""

    bot: _Name
    strategy: Annotated[str, msgspec.Meta(max_length=64)]
    last_version: _Count | None
    last_bundle_digest: _Digest | None
    breaker: Literal["closed", "open", "half_open"]
    decisions: Annotated[dict[_Name, _Count], msgspec.Meta(max_length=16)]
    dry_run: bool
    sent_at: _Count
