"""Looks as short rows, for tables."""

from typing import Any

from tidegate.watch.scrape import BotSeen, Counts, Look

START = 1_000_000
"""When the first process was started, UTC ms."""
INF = float("inf")


def counts(answered: int, failed: int = 0, slow: int = 0) -> Counts:
    """So many answers, of which `slow` took between 10 and 100 ms and the others at most 10 ms."""
    buckets = ((0.01, float(answered - slow)), (0.1, float(answered)), (INF, float(answered)))
    return Counts(float(answered), float(failed), buckets, answered * 0.005 + slow * 0.05)


def look(at_s: float, answered: int | None = 0, *, version: int | None = 1, **changes: Any) -> Look:  # noqa: ANN401
    """An instance that answers, so many seconds after START; `answered=None`: its metrics cannot be read."""
    fields: dict[str, Any] = {
        "instance": "one",
        "at": START + round(at_s * 1000),
        "reachable": True,
        "ready": True,
        "started_at": START,
        "versions": {"s": version},
        "counts": None if answered is None else counts(answered, changes.pop("failed", 0), changes.pop("slow", 0)),
        "bots": (),
    }
    if answered is None:
        fields |= {"versions": None, "started_at": None}
    return Look(**(fields | changes))


def gone(at_s: float, instance: str = "one") -> Look:
    """An instance that does not answer."""
    return Look(instance, START + round(at_s * 1000), reachable=False)


def bot(breaker: str, said_at: int, name: str = "b", key: str = "k") -> BotSeen:
    """A heartbeat."""
    return BotSeen(name, "s", key, breaker, said_at)
