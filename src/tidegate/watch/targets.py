"""Which serving processes are looked at. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

from tidegate.registry.instances import Instance
from tidegate.watch.scrape import Target

KEEP_MS: Final = 86_400_000
"""How long a process that went away without a word is looked for."""


def configured(addresses: Iterable[str]) -> list[Target]:
    """Processes that the settings name, each known by its address without the scheme."""
    return [Target(address.partition("://")[2].rstrip("/") or address, address) for address in addresses]


def registered(instances: Sequence[Instance], now_ms: int) -> list[Target]:
    """Processes that have registered themselves: those alive, and those that were ready when they fell silent.

    One that signed off is not missed. One that was killed is looked for until it is back, or for a day.
    """
    return [
        Target(one.instance, one.address, one.started_at or None)
        for one in instances
        if one.fault is None and (one.alive or (one.ready and now_ms - one.heartbeat_at <= KEEP_MS))
    ]
