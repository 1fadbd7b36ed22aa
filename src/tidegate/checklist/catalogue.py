"""All probes by name."""

from collections.abc import Mapping
from typing import Final

from tidegate.checklist.probe import Probe
from tidegate.checklist.probes import (
    api,
    bot,
    code,
    daily,
    deployment,
    documentation,
    environment,
    infrastructure,
    latency,
    ml_score,
    model,
    monitoring,
    recovery,
    resources,
    rollback,
    training,
)

_MODULES: Final = (
    training, code, infrastructure, api, model, environment, latency, resources, monitoring, bot, deployment, daily, rollback,
    recovery, documentation, ml_score,
)  # fmt: skip


def probes() -> Mapping[str, Probe]:
    """Every probe; a name that stands in two modules would be one of them only, so that is refused.

    Raises:
        ValueError: a name stands twice.
    """
    found: dict[str, Probe] = {}
    for module in _MODULES:
        twice = found.keys() & module.PROBES.keys()
        if twice:
            raise ValueError(f"probes named twice: {', '.join(sorted(twice))}")
        found |= module.PROBES
    return found
