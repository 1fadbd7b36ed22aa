"""Ids that tie lines of different parts together: of the process, of what is being done, of one line."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from logging import LogRecord
from types import MappingProxyType
from typing import Any, Final

NAMES: Final = ("process", "instance", "run_id", "request_id", "strategy", "version")
"""Every id, in the order in which lines have them."""
_OF_RECORDS: Final = ("instance", "run_id", "request_id", "strategy", "version")  # `process` is `logging`'s own number
_NOTHING: Final[Mapping[str, str | int]] = MappingProxyType({})

_bound: ContextVar[Mapping[str, str | int]] = ContextVar("tidegate_log_ids", default=_NOTHING)
_of_process: dict[str, str | int] = {}


@contextmanager
def bound(
    *,
    run_id: str | None = None,
    request_id: str | None = None,
    strategy: str | None = None,
    version: int | None = None,
    instance: str | None = None,
) -> Iterator[None]:
    """Give every line that is written inside these ids; None leaves an id as it is outside.

    They follow asyncio tasks that are made inside, and `asyncio.to_thread`, but not threads that are started by hand.

    Args:
        run_id: of a flow's run.
        request_id: of a request to a serving process.
        strategy: its name.
        version: of the model.
        instance: of the serving process that it is about.
    """
    given = {
        "run_id": run_id,
        "request_id": request_id,
        "strategy": strategy,
        "version": version,
        "instance": instance,
    }
    token = _bound.set({**_bound.get(), **{name: value for name, value in given.items() if value is not None}})
    try:
        yield
    finally:
        _bound.reset(token)


def identify(*, process: str, instance: str | None = None) -> None:
    """Set the ids of this process, which all its lines have, whatever thread writes them."""
    _of_process.clear()
    _of_process["process"] = process
    if instance is not None:
        _of_process["instance"] = instance


def of_process() -> Mapping[str, str | int]:
    """The ids of this process; empty before `identify`."""
    return _of_process


def of_record(record: LogRecord) -> dict[str, Any]:
    """The ids of a line, in order: the process's, over them those bound where it is written, over them its own (`extra=`)."""
    found: dict[str, Any] = {**_of_process, **_bound.get()}
    for name in _OF_RECORDS:
        own = record.__dict__.get(name)
        if own is not None:
            found[name] = own
    return {name: found[name] for name in NAMES if name in found}
