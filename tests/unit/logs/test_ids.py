"""Ids hold where they were bound, and nowhere else."""

import asyncio
import logging
import threading

import pytest
from tests.unit.logs.quiet import restored

from tidegate.logs.ids import bound, identify, of_record


def ids() -> dict[str, object]:
    return of_record(logging.LogRecord("x", logging.INFO, "f", 1, "m", (), None))


def test_bound_ids_nest_and_end() -> None:
    with bound(run_id="r", strategy="a"):
        with bound(strategy="b", version=2):
            assert ids() == {"run_id": "r", "strategy": "b", "version": 2}
        assert ids() == {"run_id": "r", "strategy": "a"}
    assert ids() == {}


def test_they_end_with_an_error_too() -> None:
    with pytest.raises(ValueError, match="x"), bound(strategy="a"):
        raise ValueError("x")
    assert ids() == {}


def test_tasks_side_by_side_keep_their_own() -> None:
    async def one(name: str) -> list[object]:
        with bound(strategy=name):
            found = []
            for _ in range(3):
                await asyncio.sleep(0)
                found.append(ids()["strategy"])
            return [*found, (await asyncio.to_thread(ids))["strategy"]]

    async def both() -> list[list[object]]:
        return list(await asyncio.gather(one("a"), one("b")))

    assert asyncio.run(both()) == [["a"] * 4, ["b"] * 4]


def test_the_process_is_told_by_every_thread() -> None:
    with restored():
        identify(process="watch", instance="w-1")
        found: list[dict[str, object]] = []
        thread = threading.Thread(target=lambda: found.append(ids()))
        thread.start()
        thread.join()
        assert found == [{"process": "watch", "instance": "w-1"}]
        with bound(instance="looked-at"):
            assert ids()["instance"] == "looked-at"
        identify(process="cli")
        assert ids() == {"process": "cli"}
