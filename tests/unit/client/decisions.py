"""Decisions for tests."""
# ruff: noqa: ANN401  fields of many types

from typing import Any

from tidegate.client.decision import Decision


def decision(**changes: Any) -> Decision:
    """A model's decision; the changes are of its fields."""
    told: dict[str, Any] = {
        "decided_at": 1_780_000_000_000,
        "bot": "bot-1",
        "strategy": "sim",
        "symbol": "SIM/USD",
        "bar_closed_at": 1_780_000_000_000,
        "target": 1,
        "source": "model",
        "reason": None,
        "detail": None,
        "version": 7,
        "bundle_digest": "a" * 64,
        "probability": 0.7,
        "fallback": None,
        "attempts": 1,
        "elapsed_ms": 2.0,
        "breaker": "closed",
        "dry_run": True,
        "request_id": "bot-1-0-0",
    }
    return Decision(**{**told, **changes})
