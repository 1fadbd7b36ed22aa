"""Settings, bars and answers for tests of the client."""
# ruff: noqa: ANN401  fields of many types

from typing import Any

import msgspec

from tidegate.bars.bars import Bars
from tidegate.client.columns import Columns, columns_of
from tidegate.client.config import Config
from tidegate.client.messages import Served

HOUR_MS = 3_600_000
START_MS = 1_780_000_200_000 - 1_780_000_200_000 % HOUR_MS
DIGEST = "a" * 64
BEFORE = "b" * 64
FAR_MS = 10**14
POLICY = {
    "long_at": 0.6,
    "short_at": 0.4,
    "take_profit": 0.01,
    "stop_loss": 0.02,
    "max_holding_bars": 9,
    "flip": True,
}
LOOKBACK = 3


def settings(**changes: Any) -> dict[str, Any]:
    """Settings as TOML has them; nothing runs in the background unless a change says so."""
    least = {"url": "http://127.0.0.1:1", "strategy": "sim", "interval": "1h", "bot": "bot-1", "clock": "bars"}
    return {**least, "health": {"poll_ms": 0}, "heartbeat": {"every_ms": 0}, **changes}


def config(**changes: Any) -> Config:
    return Config.of(settings(**changes))


def bars(count: int = 5, *, start: int = 0) -> dict[str, list[Any]]:
    """`count` bars of an hour, from the `start`-th on; closes at 100 and above."""
    rows = range(start, start + count)
    closes = [100.0 + row for row in rows]
    return {
        "opened_at": [START_MS + row * HOUR_MS for row in rows],
        "open": closes,
        "high": [close + 1 for close in closes],
        "low": [close - 1 for close in closes],
        "close": closes,
        "volume": [10.0] * count,
    }


def columns(count: int = 5, *, start: int = 0) -> Columns:
    return columns_of(bars(count, start=start))


def model(version: int = 7, digest: str = DIGEST, **changes: Any) -> dict[str, Any]:
    told = {
        "version": version,
        "bundle_digest": digest,
        "kind": "simulated",
        "symbols": ["SIM/USD"],
        "interval": "1h",
        "lookback": LOOKBACK,
        "features": 4,
        "policy": POLICY,
        "created_at": 1,
        "expires_at": FAR_MS,
        "loaded_at": 1,
        "signed_by": None,
        "origin": "registry",
    }
    return {**told, **changes}


def served(**changes: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(("halted", "refused", "registry_reached_at", "challenger"))
    told = {"strategy": "sim", "production": model(), "before": model(6, BEFORE), "notes": {}, **nothing}
    return {**told, **changes}


def served_message(**changes: Any) -> Served:
    return msgspec.convert(served(**changes), Served)


def digest(window: dict[str, Any], symbol: str = "SIM/USD", lookback: int = LOOKBACK) -> str:
    """What a model with that lookback says of a window."""
    return Bars.of(symbol, "1h", **{name: column[-lookback:] for name, column in window.items()}).content_hash()


def answer(closed_at: int, **changes: Any) -> dict[str, Any]:
    """A long signal of version 7 about the bar that closed then."""
    told = {
        "symbol": "SIM/USD",
        "version": 7,
        "bundle_digest": DIGEST,
        "bar_closed_at": closed_at,
        "valid_until": closed_at + HOUR_MS,
        "data_age_ms": 0,
        "probability": 0.7,
        "signal": "long",
        "target_position": 1,
        "out_of_distribution": 0.0,
        "abstain": None,
        "problem": None,
        "input_digest": digest(bars()),
    }
    return {**told, **changes}


def answers(request_id: str, one: dict[str, Any], **changes: Any) -> dict[str, Any]:
    told = {
        "request_id": request_id,
        "instance": "one",
        "strategy": "sim",
        "answered_at": 1,
        "logged": True,
        "answers": [one],
    }
    return {**told, **changes}


def problem(status: int, name: str) -> dict[str, Any]:
    return {"type": f"urn:tidegate:problem:{name}", "title": "A title", "status": status, "detail": "what to do"}
