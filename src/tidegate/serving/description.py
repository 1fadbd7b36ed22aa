"""What the service says about itself: models, bots, readiness."""

from collections.abc import Sequence
from typing import Any

import msgspec

from tidegate.serving.bots import Bots
from tidegate.serving.models import Slot
from tidegate.serving.reply import Readiness
from tidegate.serving.served import ServedModel


def describe_slot(slot: Slot) -> dict[str, Any]:
    """One strategy: what serves, what waits, what stands against the registry's word."""
    return {
        "strategy": slot.strategy,
        "halted": slot.halt,
        "refused": slot.refused,
        "notes": dict(slot.notes),
        "registry_reached_at": slot.registry_reached_at,
        "production": describe_model(slot.production),
        "before": describe_model(slot.before),
        "challenger": describe_model(slot.challenger),
    }


def describe_model(model: ServedModel | None) -> dict[str, Any] | None:
    """One loaded model; with what a client needs to send windows and to act on answers."""
    if model is None:
        return None
    manifest = model.predictor.bundle.manifest
    return {
        "version": model.version,
        "bundle_digest": model.digest,
        "kind": manifest.kind,
        "symbols": list(manifest.symbols),
        "interval": manifest.interval,
        "lookback": manifest.lookback,
        "features": len(manifest.features),
        "policy": manifest.policy.model_dump(mode="json"),
        "created_at": manifest.created_at,
        "expires_at": model.expires_at,
        "loaded_at": model.loaded_at,
        "signed_by": model.signed_by,
        "origin": model.origin,
    }


def describe_bots(bots: Bots, now_ms: int) -> list[dict[str, Any]]:
    """Every bot's last heartbeat and its age."""
    return [
        {
            **msgspec.to_builtins(known.heartbeat),
            "key_id": known.key_id,
            "received_at": known.received_at,
            "age_s": max(0.0, (now_ms - known.received_at) / 1000),
        }
        for known in bots.all()
    ]


def readiness_of(slots: Sequence[Slot], log_failure: str | None, on_failure: str, *, stopping: bool) -> Readiness:
    """Whether every strategy can be answered for.

    A halted strategy is: everybody is told to hold nothing. A refused version with a good one in service is a note.

    Args:
        slots: the strategies.
        log_failure: why the prediction log cannot be written, None when it can.
        on_failure: `refuse` or `degrade`, as the settings say.
        stopping: whether the process is about to end.
    """
    reasons, notes = [], []
    if stopping:
        reasons.append("stopping")
    for slot in slots:
        if slot.halt is not None:
            notes.append(f"{slot.strategy}: halted: {slot.halt}")
        elif slot.production is None:
            reasons.append(f"{slot.strategy}: no model is loaded")
        # No key is asked for here: what is wrong is told, not where things lie.
        if slot.refused_version is not None:
            notes.append(f"{slot.strategy}: v{slot.refused_version.version} is not served; GET /v1/model says why")
        if slot.refused_state is not None:
            notes.append(f"{slot.strategy}: the registry's signed state is not followed; GET /v1/model says why")
        if slot.notes:
            notes.append(f"{slot.strategy}: something about {', '.join(slot.notes)}; GET /v1/model says what")
    if log_failure is not None:
        (reasons if on_failure == "refuse" else notes).append(
            "the prediction log cannot be written; the process's log says why"
        )
    return Readiness(not reasons, reasons, notes)
