"""What goes over HTTP, as the service's OpenAPI file says; a test holds the two together.

The client has types of its own, since the service's package needs more than a bot has. A missing or mistyped field is refused; a field that is
not known here is left alone, so that a newer service may say more. Times are UTC ms.
"""

from typing import Literal

import msgspec

Sign = Literal[-1, 0, 1]
SignalName = Literal["long", "short", "flat"]
BreakerName = Literal["closed", "half_open", "open"]


class Message(msgspec.Struct, frozen=True):
    """A message that leaves unknown fields alone."""


class BarColumns(Message, frozen=True):
    """n bars as six lists of length n, ascending."""

    opened_at: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]


class Position(Message, frozen=True):
    """What is held at the newest bar's close."""

    side: Sign
    entry_price: float = 0.0
    bars_held: int = 0


class Item(Message, frozen=True, omit_defaults=True):
    """One symbol's question: a whole window, or with `after` only the bars after the one that opened then."""

    symbol: str
    bars: BarColumns
    after: int | None = None
    position: Position | None = None


class PredictRequest(Message, frozen=True):
    """Questions about one strategy."""

    items: list[Item]
    strategy: str | None
    request_id: str | None


class Abstain(Message, frozen=True):
    """Why no signal is given."""

    reason: str
    detail: str


class FieldError(Message, frozen=True):
    """What is wrong with one field."""

    field: str
    constraint: str
    detail: str
    rows: list[int] | None = None


class ProblemBody(Message, frozen=True):
    """An error as RFC 9457 describes it."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None = None
    errors: list[FieldError] | None = None

    @property
    def name(self) -> str:
        """The name alone, such as `window_unknown`."""
        return self.type.rpartition(":")[2]


class Answer(Message, frozen=True):
    """One symbol's answer: a signal, an abstention or a problem."""

    symbol: str
    version: int | None
    bundle_digest: str | None
    bar_closed_at: int | None
    valid_until: int | None
    data_age_ms: int | None
    probability: float | None
    signal: SignalName | None
    target_position: Sign | None
    out_of_distribution: float | None
    abstain: Abstain | None
    problem: ProblemBody | None
    input_digest: str | None


class PredictAnswer(Message, frozen=True):
    """Answers in the order of the questions."""

    request_id: str
    instance: str
    strategy: str
    answered_at: int
    logged: bool
    answers: list[Answer]


class Policy(Message, frozen=True):
    """Parameters of the position policy; see `tidegate.policy.policy.PositionPolicy`."""

    long_at: float
    short_at: float
    take_profit: float
    stop_loss: float
    max_holding_bars: int
    flip: bool


class LoadedModel(Message, frozen=True):
    """A model that the service has in memory."""

    version: int
    bundle_digest: str
    kind: str
    symbols: list[str]
    interval: str
    lookback: int
    features: int
    policy: Policy
    created_at: int
    expires_at: int
    loaded_at: int
    signed_by: str | None
    origin: str


class Served(Message, frozen=True):
    """What the service says of one strategy."""

    strategy: str
    halted: str | None
    refused: str | None
    notes: dict[str, str]
    registry_reached_at: int | None
    production: LoadedModel | None
    before: LoadedModel | None
    challenger: LoadedModel | None


class Ready(Message, frozen=True):
    """Whether requests should be sent."""

    ready: bool
    reasons: list[str]
    notes: list[str]


class Heartbeat(Message, frozen=True):
    """A bot's sign of life."""

    bot: str
    strategy: str
    last_version: int | None
    last_bundle_digest: str | None
    breaker: BreakerName
    decisions: dict[str, int]
    dry_run: bool
    sent_at: int
