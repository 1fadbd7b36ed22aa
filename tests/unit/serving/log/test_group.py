"""Requests of one turn of the event loop share one commit; what a failure means to each is decided by the setting."""

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.unit.serving.log.rows import SEGMENT, FailingSync, log_in, row, rows

from tidegate.errors import LogUnavailable
from tidegate.serving.log.group import GroupCommit
from tidegate.serving.log.reader import read
from tidegate.serving.log.writer import PredictionLog
from tidegate.serving.metrics import Metrics


@pytest.fixture
def sync() -> FailingSync:
    return FailingSync(os.fdatasync)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def value(metrics: Metrics, name: str) -> float | None:
    return metrics.registry.get_sample_value(name)


def run(work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401  what the work returns
    return uvloop.run(asyncio.wait_for(work, 20))


def test_requests_of_one_turn_share_one_sync(tmp_path: Path, sync: FailingSync, metrics: Metrics) -> None:
    log = log_in(tmp_path, datasync=sync)

    async def work() -> list[bool]:
        group = GroupCommit(log, metrics, "refuse")
        answers = await asyncio.gather(*(group.durable(rows(number)) for number in range(10)))
        assert len(sync.called) == 1
        assert await group.durable(rows(10, 11))
        assert len(sync.called) == 2
        return answers

    assert run(work()) == [True] * 10
    assert list(read(tmp_path)) == rows(*range(12))
    assert value(metrics, "tidegate_log_rows_total") == 12
    assert value(metrics, "tidegate_log_bytes") == log.size_bytes > 0
    log.close()


def test_no_answer_is_told_before_its_row_is_in_the_file(tmp_path: Path, metrics: Metrics) -> None:
    log = log_in(tmp_path)

    async def one(group: GroupCommit, number: int) -> None:
        assert await group.durable(rows(number))
        assert row(number) in list(read(tmp_path))

    async def work() -> None:
        group = GroupCommit(log, metrics, "refuse")
        await asyncio.gather(*(one(group, number) for number in range(20)))

    run(work())
    log.close()


def test_refuse_raises_for_each_request_an_error_of_its_own(
    tmp_path: Path, sync: FailingSync, metrics: Metrics
) -> None:
    log = log_in(tmp_path, datasync=sync)

    async def work() -> list[bool | BaseException]:
        group = GroupCommit(log, metrics, "refuse")
        sync.fails = True
        told = await asyncio.gather(*(group.durable(rows(number)) for number in range(3)), return_exceptions=True)
        sync.fails = False
        assert await group.durable(rows(9))
        return told

    told = run(work())
    assert [type(each) for each in told] == [LogUnavailable] * 3
    assert len(set(map(id, told))) == 3
    assert "Input/output error" in str(told[0])
    assert list(read(tmp_path)) == rows(9)
    assert value(metrics, "tidegate_log_failures_total") == 1
    assert value(metrics, "tidegate_unlogged_answers_total") == 0
    log.close()


def test_degrade_says_that_the_rows_are_not_durable(tmp_path: Path, sync: FailingSync, metrics: Metrics) -> None:
    log = log_in(tmp_path, datasync=sync)

    async def work() -> list[bool]:
        group = GroupCommit(log, metrics, "degrade")
        sync.fails = True
        told = await asyncio.gather(*(group.durable(rows(number, number + 10)) for number in range(3)))
        sync.fails = False
        return [*told, await group.durable(rows(9))]

    assert run(work()) == [False, False, False, True]
    assert value(metrics, "tidegate_unlogged_answers_total") == 6
    assert list(read(tmp_path)) == rows(9)
    log.close()


@pytest.mark.parametrize("on_failure", ["refuse", "degrade"])
def test_a_row_that_cannot_be_encoded_harms_nobody_else(tmp_path: Path, metrics: Metrics, on_failure: Any) -> None:  # noqa: ANN401
    log = log_in(tmp_path)

    async def work() -> list[bool | BaseException]:
        group = GroupCommit(log, metrics, on_failure)
        bad = [row(5, features=[float("nan")])]
        group.later(bad)
        return list(await asyncio.gather(group.durable(rows(1)), group.durable(bad), return_exceptions=True))

    good, bad = run(work())
    assert good is True
    assert isinstance(bad, LogUnavailable) if on_failure == "refuse" else bad is False
    assert list(read(tmp_path)) == rows(1)
    assert value(metrics, "tidegate_log_failures_total") == 2
    log.close()


def test_a_request_that_is_given_up_harms_nobody_else(tmp_path: Path, sync: FailingSync, metrics: Metrics) -> None:
    log = log_in(tmp_path, datasync=sync)

    async def work() -> None:
        group = GroupCommit(log, metrics, "refuse")
        for sync.fails in (False, True):
            given_up = asyncio.ensure_future(group.durable(rows(1)))
            other = asyncio.ensure_future(group.durable(rows(2)))
            await asyncio.sleep(0)
            given_up.cancel()
            if sync.fails:
                with pytest.raises(LogUnavailable):
                    await other
            else:
                assert await other
            with pytest.raises(asyncio.CancelledError):
                await given_up

    run(work())
    log.close()


def test_rows_for_later_ride_along_or_follow_soon(tmp_path: Path, sync: FailingSync, metrics: Metrics) -> None:
    log = log_in(tmp_path, datasync=sync)

    async def work() -> None:
        group = GroupCommit(log, metrics, "refuse")
        group.later(rows(1))
        group.later(rows(2))
        await asyncio.sleep(0)
        assert sync.called == []
        assert await group.durable(rows(3))
        assert len(sync.called) == 1
        group.later(rows(4))
        group.later([])
        await asyncio.sleep(0.5)
        assert len(sync.called) == 2
        group.later(rows(5))
        group.flush()
        assert len(sync.called) == 3
        sync.fails = True
        group.later(rows(6))
        group.flush()

    run(work())
    assert list(read(tmp_path)) == rows(1, 2, 3, 4, 5)
    assert value(metrics, "tidegate_log_failures_total") == 1
    log.close()


def test_a_defect_wakes_whoever_waits(tmp_path: Path, metrics: Metrics) -> None:
    class Broken(PredictionLog):
        def commit(self) -> int:
            raise RuntimeError("a defect")

    log = Broken(
        tmp_path,
        "a",
        segment_bytes=1 << 16,
        max_bytes=1 << 20,
        keep_days=1,
        sync=True,
        now_ms=lambda: 1_764_000_000_000,
    )

    async def work() -> None:
        with pytest.raises(LogUnavailable, match="RuntimeError"):
            await GroupCommit(log, metrics, "refuse").durable(rows(1))

    run(work())
    with pytest.raises(RuntimeError):
        log.close()


def test_a_log_that_failed_is_found_in_order_again_without_requests(
    tmp_path: Path, sync: FailingSync, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate.serving.log.group._LOOK_S", 0.01)
    log = log_in(tmp_path, datasync=sync)

    async def work() -> None:
        group = GroupCommit(log, metrics, "refuse")
        assert group.failure is None
        sync.fails = True
        with pytest.raises(LogUnavailable):
            await group.durable(rows(1))
        told = [group.failure]
        await asyncio.sleep(0.5)
        assert [*told, group.failure] == ["the prediction log cannot be written", None]
        group.close()

    run(work())


def test_a_log_that_is_full_at_the_start_says_so_until_there_is_room(
    tmp_path: Path, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate.serving.log.group._LOOK_S", 0.01)
    filler = tmp_path / "b" / "000000000001.log"
    filler.parent.mkdir()
    filler.write_bytes(bytes(1000))
    log = log_in(tmp_path, max_bytes=SEGMENT + 500)

    async def work() -> None:
        group = GroupCommit(log, metrics, "refuse")
        await asyncio.sleep(0.1)
        told = [group.failure]
        filler.unlink()
        await asyncio.sleep(0.5)
        assert [*told, group.failure] == ["the prediction log is full", None]
        group.close()

    run(work())


def test_a_row_that_cannot_be_encoded_says_nothing_about_the_log(tmp_path: Path, metrics: Metrics) -> None:
    async def work() -> None:
        group = GroupCommit(log_in(tmp_path), metrics, "refuse")
        with pytest.raises(LogUnavailable):
            await group.durable([row(5, features=[float("nan")])])
        assert group.failure is None
        group.close()

    run(work())
