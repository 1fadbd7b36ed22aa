"""Any sequence of commits, failing syncs, kills and starts: the acknowledged rows are read, in order, and no others."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.serving.log.rows import FailingSync, log_in, row

from tidegate.errors import LogUnavailable
from tidegate.serving.log.reader import canonical, read, verify
from tidegate.serving.log.record import Row

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.integers(1, 12)),
        st.sampled_from([("fail", 2), ("kill", 0), ("restart", 0)]),
    ),
    max_size=14,
)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_acknowledged_rows_and_no_others_are_read(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    sync = FailingSync(lambda _: None)
    log = log_in(folder, segment_bytes=8192, datasync=sync)
    acknowledged: list[Row] = []
    number = 0
    for what, count in steps:
        if what == "kill":
            log._worker.shutdown(wait=True)
            os.close(log._lock)
        if what == "restart":
            log.close()
        if what in {"kill", "restart"}:
            log = log_in(folder, segment_bytes=8192, datasync=sync)
            continue
        rows = [row(number + at) for at in range(count)]
        number += count
        for each in rows:
            log.append([each])
        sync.fails = what == "fail"
        try:
            log.commit()
        except LogUnavailable:
            assert what == "fail"
        else:
            acknowledged += rows
        sync.fails = False
        assert list(read(folder)) == acknowledged
    log.close()
    assert list(read(folder)) == acknowledged
    assert verify(folder).damages == ()


ROW = st.builds(
    row,
    st.integers(0, 3),
    instance=st.sampled_from("ab"),
    request_id=st.sampled_from("xy"),
    symbol=st.sampled_from("st"),
    bar_closed_at=st.sampled_from([None, 1, 2]),
    version=st.sampled_from([None, 1]),
    role=st.sampled_from(["production", "shadow"]),
    target_position=st.sampled_from([None, 0, 1]),
    probability=st.sampled_from([None, 0.25, 0.75]),
)


@settings(deadline=None)
@given(rows=st.lists(ROW, max_size=30), data=st.data())
def test_the_canonical_rows_do_not_depend_on_order_or_repetition(rows: list[Row], data: st.DataObject) -> None:
    once = canonical(rows)
    assert canonical(data.draw(st.permutations(rows))) == once
    assert canonical(rows + once) == once
    keys = [(each.strategy, each.symbol, each.bar_closed_at, each.version, each.role) for each in once]
    assert len(set(keys)) == len(keys)
    assert set(keys) == {
        (each.strategy, each.symbol, each.bar_closed_at, each.version, each.role)
        for each in rows
        if each.bar_closed_at is not None
    }
