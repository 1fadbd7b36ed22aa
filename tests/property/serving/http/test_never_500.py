"""No body, however twisted, is answered with anything but an answer or a documented problem."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.integration.serving.http.in_process import Served
from tests.integration.serving.http.real import new_bar, whole_window
from tests.unit.serving.http.calling import Answered

from tidegate.serving.problems import PROBLEMS

FIELDS = ("symbol", "bars", "after", "position")
COLUMNS = ("opened_at", "open", "high", "low", "close", "volume")
NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([0, -1, 1e308, 5e-324, -0.0, 2**53, 2**62, 2**63, 2**64, -(2**63), 10**40, 10**400]),
)
ODD = st.one_of(
    NUMBERS, st.none(), st.booleans(), st.text(max_size=20), st.just([]), st.just({}), st.lists(NUMBERS, max_size=3)
)
QUIET = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    found = Served(tmp_path_factory.mktemp("served"))
    assert found.predict(json.dumps(whole_window()).encode()).status == 200
    assert found.predict(json.dumps(new_bar()).encode()).status == 200
    yield found
    found.close()


def require_documented(answered: Answered) -> None:
    content = json.loads(answered.body)
    if answered.status == 200:
        assert len(content["answers"]) >= 1
        return
    assert answered.headers["content-type"] == "application/problem+json"
    assert answered.slug in PROBLEMS
    assert answered.slug != "internal"
    assert answered.status == PROBLEMS[answered.slug][0] == content["status"]


def dumped(content: object) -> bytes:
    return json.dumps(content).encode()


@QUIET
@given(data=st.data(), which=st.sampled_from([whole_window, new_bar]))
def test_bytes_that_are_cut_doubled_and_exchanged(served: Served, data: st.DataObject, which: Any) -> None:  # noqa: ANN401  a function
    body = bytearray(dumped(which()))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, max(0, len(body) - 1)))
        end = min(len(body), start + data.draw(st.integers(0, 8)))
        body[start:end] = data.draw(
            st.one_of(
                st.binary(max_size=6), st.sampled_from([b"1e999", b"NaN", b"-Infinity", b"[[", b'"\\ud800"', b"\x00"])
            )
        )
    require_documented(served.predict(bytes(body)))


@QUIET
@given(
    value=ODD,
    field=st.sampled_from((*FIELDS, "side", "entry_price", "bars_held")),
    which=st.sampled_from([whole_window, new_bar]),
)
@example(value=10**400, field="after", which=new_bar)
@example(value=2**64, field="after", which=new_bar)
@example(value="\ud800", field="symbol", which=whole_window)
def test_fields_of_another_kind(served: Served, value: object, field: str, which: Any) -> None:  # noqa: ANN401  a function
    content = copy.deepcopy(which())
    item = content["items"][0]
    if field in FIELDS:
        item[field] = value
    else:
        item["position"] = {"side": 1, "entry_price": 1.0, "bars_held": 1, field: value}
    require_documented(served.predict(dumped(content)))


@QUIET
@given(data=st.data(), which=st.sampled_from([whole_window, new_bar]))
def test_columns_with_odd_values_and_lengths(served: Served, data: st.DataObject, which: Any) -> None:  # noqa: ANN401  a function
    content = copy.deepcopy(which())
    column = content["items"][0]["bars"][data.draw(st.sampled_from(COLUMNS))]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(column)))
        column[at : at + data.draw(st.integers(0, 1))] = [data.draw(NUMBERS)]
    require_documented(served.predict(dumped(content)))


@QUIET
@given(
    content=st.fixed_dictionaries(
        {
            "items": st.lists(
                st.sampled_from([whole_window()["items"][0], new_bar()["items"][0], {}, None, 1]), max_size=4
            )
        },
        optional={"strategy": st.one_of(st.text(max_size=5), st.just("small"), st.none()), "request_id": ODD},
    )
)
def test_several_items_and_names(served: Served, content: dict[str, Any]) -> None:
    require_documented(served.predict(dumped(content)))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"items": ' + b"[" * 300 + b"]" * 300 + b"}",
        b'{"items": [], "x": ' + b'{"x": ' * 100 + b"1" + b"}" * 101,
        b'{"items": [' + b'{"symbol": "A"},' * 50 + b"1]}",
        b"\xef\xbb\xbf{}",
        b'{"items": 1e999}',
        b'{"items": [], "items": []}',
        b"\xff\xfe{\x00}\x00",
        b'{"items":[{"symbol":"\\u0000","bars":{"opened_at":[NaN]}}]}',
    ],
    ids=lambda body: repr(body[:30]),
)
def test_bodies_of_old(served: Served, body: bytes) -> None:
    answered = served.predict(body)
    require_documented(answered)
    assert answered.status in {400, 422}
