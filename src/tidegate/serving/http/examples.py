"""Examples of the OpenAPI file, made from the message types, so that they cannot drift from them."""

from typing import Any, Final

import msgspec

from tidegate.serving.messages import (
    Answer,
    BarColumns,
    Heartbeat,
    Item,
    Position,
    PredictAnswer,
    PredictRequest,
)

_HOUR_MS: Final = 3_600_000
_OPENED_AT: Final = 1_780_000_200_000 - 1_780_000_200_000 % _HOUR_MS
_DIGEST: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def _bars(first_at: int, count: int) -> BarColumns:
    closes = [1.0842 + 0.0003 * at for at in range(count)]
    return BarColumns(
        opened_at=[first_at + at * _HOUR_MS for at in range(count)],
        open=[round(close - 0.0001, 4) for close in closes],
        high=[round(close + 0.0004, 4) for close in closes],
        low=[round(close - 0.0005, 4) for close in closes],
        close=[round(close, 4) for close in closes],
        volume=[1200.0 + at for at in range(count)],
    )


WHOLE_WINDOW: Final[dict[str, Any]] = msgspec.to_builtins(
    PredictRequest([Item("EUR/USD", _bars(_OPENED_AT - 2 * _HOUR_MS, 3))], strategy="eurusd")
)
"""Three bars; a model's lookback asks for more."""
NEW_BAR: Final[dict[str, Any]] = msgspec.to_builtins(
    PredictRequest(
        [
            Item(
                "EUR/USD",
                _bars(_OPENED_AT, 1),
                after=_OPENED_AT - _HOUR_MS,
                position=Position(side=1, entry_price=1.0845, bars_held=4),
            )
        ],
        request_id="bot-7-20260528T20",
    )
)
ANSWERED: Final[dict[str, Any]] = msgspec.to_builtins(
    PredictAnswer(
        request_id="bot-7-20260528T20",
        instance="serving-1",
        strategy="eurusd",
        answered_at=_OPENED_AT + _HOUR_MS + 180,
        logged=True,
        answers=[
            Answer(
                symbol="EUR/USD",
                version=12,
                bundle_digest=_DIGEST,
                bar_closed_at=_OPENED_AT + _HOUR_MS,
                valid_until=_OPENED_AT + 2 * _HOUR_MS,
                data_age_ms=180,
                probability=0.6172839506172839,
                signal="long",
                target_position=1,
                out_of_distribution=0.0,
                abstain=None,
                problem=None,
                input_digest=_DIGEST[::-1],
            )
        ],
    )
)
HEARTBEAT: Final[dict[str, Any]] = msgspec.to_builtins(
    Heartbeat(
        bot="bot-7",
        strategy="eurusd",
        last_version=12,
        last_bundle_digest=_DIGEST,
        breaker="closed",
        decisions={"model": 96, "fallback": 1},
        dry_run=False,
        sent_at=_OPENED_AT + _HOUR_MS + 250,
    )
)
