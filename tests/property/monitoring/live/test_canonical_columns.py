"""Columns read from a log are the canonical rows of the log's own reader, whoever wrote them in whatever order."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.unit.serving.log.rows import row

from tidegate.monitoring.predictions import NO_TARGET, NO_VERSION, Predictions, read_predictions
from tidegate.serving.log.folder import instance_folder, segment_path
from tidegate.serving.log.lines import Begin, Commit, mark_line, row_line
from tidegate.serving.log.reader import canonical
from tidegate.serving.log.record import Row
from tidegate.serving.log.segment import Totals

START, AS_OF = 1000, 3000
WIDTHS = {1: 2, 2: 3, None: 2}


@st.composite
def answers(draw: st.DrawFn) -> Row:
    version = draw(st.sampled_from([None, 1, 2]))
    features = draw(st.none() | st.lists(st.floats(-1, 1), min_size=WIDTHS[version], max_size=WIDTHS[version]))
    return row(
        symbol=draw(st.sampled_from(["B/USD", "A/USD"])),
        strategy=draw(st.sampled_from(["demo", "demo", "demo", "other"])),
        bar_closed_at=draw(st.sampled_from([None, START, 2000, 2000, AS_OF, AS_OF + 1])),
        received_at=draw(st.sampled_from([5000, 5001])),
        answered_at=draw(st.integers(6000, 6005)),
        version=version,
        bundle_digest=draw(st.sampled_from([None, "ab", "cd"])),
        instance=draw(st.sampled_from(["z", "a"])),
        request_id=draw(st.sampled_from(["r2", "r1"])),
        role=draw(st.sampled_from(["production", "shadow"])),
        features=features,
        probability=draw(st.none() | st.floats(0, 1)),
        target_position=draw(st.sampled_from([None, -1, 1])),
        abstain_reason=draw(st.sampled_from([None, "halted", "stale_data"])),
        out_of_distribution=draw(st.none() | st.floats(0, 1)),
        data_age_ms=draw(st.none() | st.integers(0, 10)),
        status=draw(st.sampled_from(["ok", "abstain", "not_ready"])),
    )


TWICE = [row(strategy="demo", bar_closed_at=2000, probability=chance, version=1) for chance in (0.7, 0.3, 0.5)]
BY_NAME = [
    row(strategy="demo", bar_closed_at=2000, received_at=5000, request_id=name, probability=chance, version=1)
    for name, chance in (("r2", 0.7), ("r1", 0.3), ("r3", 0.5))
]
TWICE_AND_BETTER = [*TWICE, row(strategy="demo", bar_closed_at=2000, received_at=row().received_at - 1, version=1)]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # other tests may keep the processor busy
@given(rows=st.lists(answers(), max_size=25), late=st.integers(0, 25))
@example(rows=TWICE, late=1)
@example(rows=TWICE_AND_BETTER, late=0)
@example(rows=BY_NAME, late=2)
@example(rows=[], late=0)
def test_columns_are_the_canonical_rows(rows: list[Row], late: int) -> None:
    with TemporaryDirectory() as folder:
        found = _read(Path(folder), rows)
    inside = [each for each in rows if each.strategy == "demo" and _within(each)]
    expected = canonical(inside)
    assert _as_rows(found) == [_plain(each) for each in expected]
    for version in {each.version for each in expected}:
        code = NO_VERSION if version is None else version
        of_version = [each for each in expected if each.version == version]
        if any(each.features is not None for each in of_version):
            wanted = np.array([each.features or [np.nan] * WIDTHS[version] for each in of_version], dtype=float)
            assert np.array_equal(found.features[code], wanted, equal_nan=True)
        else:
            assert code not in found.features
    about_none = [each for each in rows if each.strategy == "demo" and each.bar_closed_at is None]
    received = [each.received_at for each in inside]
    between = [each for each in about_none if received and min(received) <= each.received_at <= max(received)]
    assert found.rows == len(inside) + len(between)
    assert found.without_bar == len(between)
    assert found.repeated == len(inside) - len(expected)

    turned = rows[late:] + rows[:late]
    with TemporaryDirectory() as folder:
        again = _read(Path(folder), turned)
    assert _as_rows(again) == _as_rows(found)


def _within(each: Row) -> bool:
    return each.bar_closed_at is not None and START < each.bar_closed_at <= AS_OF


def _read(folder: Path, rows: list[Row]) -> Predictions:
    for instance in sorted({each.instance for each in rows}):
        _write_segment(folder, instance, [each for each in rows if each.instance == instance])
    return read_predictions(folder, "demo", window_start_at=START, as_of=AS_OF)


def _write_segment(folder: Path, instance: str, rows: list[Row]) -> None:
    """One closed file; the service's writer makes its threads and spare files anew for each, which takes a hundred times as long."""
    path = segment_path(instance_folder(folder, instance), 1).with_suffix(".log")
    path.parent.mkdir()
    totals = Totals(
        commits=1,
        rows=len(rows),
        received_from=min(each.received_at for each in rows),
        received_until=max(each.received_at for each in rows),
    )
    lines = [mark_line(Begin(instance, 1, 4096, 0)), *map(row_line, rows), mark_line(Commit(1, len(rows)))]
    path.write_bytes(b"".join((*lines, mark_line(totals.closing(0)))))


def _plain(each: Row) -> tuple[object, ...]:
    return (
        each.symbol, each.bar_closed_at, each.received_at, NO_VERSION if each.version is None else each.version, each.role,
        _text(each.probability), NO_TARGET if each.target_position is None else each.target_position, each.status,
        each.abstain_reason or "", each.bundle_digest or "", _text(each.out_of_distribution), _text(each.data_age_ms),
    )  # fmt: skip


def _as_rows(found: Predictions) -> list[tuple[object, ...]]:
    return [
        (
            found.symbols[found.symbol[at]], int(found.closed_at[at]), int(found.received_at[at]), int(found.version[at]),
            "shadow" if found.shadow[at] else "production", _text(found.probability[at]), int(found.target[at]),
            found.statuses[found.status[at]], found.reasons[found.reason[at]], found.digests[found.digest[at]],
            _text(found.out_of_distribution[at]), _text(found.data_age_ms[at]),
        )
        for at in range(len(found))
    ]  # fmt: skip


def _text(number: float | np.float64 | None) -> str:
    return "none" if number is None or np.isnan(number) else repr(float(number))
