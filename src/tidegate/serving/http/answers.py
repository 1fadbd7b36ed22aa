"""Answers of the routes beside `/v1/predict`, as the OpenAPI file describes them. Times are UTC ms."""

from typing import Any, Literal

from tidegate.serving.messages import Heartbeat, Strict


class Alive(Strict, frozen=True):
    """The process answers."""

    alive: Literal[True]


class Ready(Strict, frozen=True):
    """Whether requests should be sent here: `reasons` stand against it, `notes` do not."""

    ready: bool
    reasons: list[str]
    notes: list[str]


class LoadedModel(Strict, frozen=True):
    """A model in memory, with what a client needs to send windows and to act on answers.

    `lookback` is the least number of bars of a whole window; `policy` are the thresholds and barriers that turn probabilities into
    positions; `signed_by` is the key that signed it, null where settings allow unsigned models; `origin` tells whether it came
    from the registry or from the disk.
    """

    version: int
    bundle_digest: str
    kind: str
    symbols: list[str]
    interval: str
    lookback: int
    features: int
    policy: dict[str, Any]
    created_at: int
    expires_at: int
    loaded_at: int
    signed_by: str | None
    origin: str


class Served(Strict, frozen=True):
    """One strategy.

    `halted` is the reason of a halt; `refused` says why the version that the registry names is not served; `before` is the model that
    answers when the one in production fails on a window; `notes` is what else is worth telling, by subject.
    """

    strategy: str
    halted: str | None
    refused: str | None
    notes: dict[str, str]
    registry_reached_at: int | None
    production: LoadedModel | None
    before: LoadedModel | None
    challenger: LoadedModel | None


class Bot(Heartbeat, frozen=True):
    """A bot's last heartbeat, whose key sent it, and how old it is."""

    key_id: str
    received_at: int
    age_s: float


class Looked(Strict, frozen=True):
    """What one look at the registry came to: whether it answered, whether other models are in memory now, and which.

    `halt` is why nothing may be held, `refused` why the registry's word is not followed, `notes` what else is worth telling, by subject.
    """

    strategy: str
    reached: bool
    changed: bool
    production: int | None
    challenger: int | None
    halt: str | None
    refused: str | None
    notes: dict[str, str]
