"""The short form of the campaign: every kind of fault once, each against an operation of its own draw. `make chaos` is the long one."""

import os
from collections.abc import Iterator

import pytest
from tests.chaos.campaign import KINDS, Fault, Usual, inject, measure, plan
from tests.chaos.operations import OPERATIONS
from tests.chaos.stage import Stage, missing, opened

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.timeout(600)]

FAULTS = plan(len(KINDS), seed=7)


def test_a_plan_has_every_kind_of_fault_and_its_kills_meet_every_operation() -> None:
    faults = plan(200, seed=1)
    assert [one.kind for one in faults[: len(KINDS)]] == list(KINDS)
    for kind in ("killed at a call", "killed in time"):
        assert {one.operation for one in faults if one.kind == kind} == set(OPERATIONS)
    assert len({one.seed for one in faults}) == 200
    assert plan(200, seed=1) == faults
    with pytest.raises(ValueError, match="at least 11 faults"):
        plan(10, seed=1)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    if lacking := missing():
        reason = f"this machine has no {', '.join(lacking)}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with opened() as found:
        yield found


@pytest.fixture(scope="module")
def usual(stage: Stage) -> dict[str, Usual]:
    """What each operation is like without a fault; that they work at all is a test of its own."""
    return {operation: measure(stage, operation) for operation in sorted({one.operation for one in FAULTS})}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}-{fault.operation}".replace(" ", "-"))
def test_everything_holds_and_the_rerun_completes(stage: Stage, usual: dict[str, Usual], fault: Fault) -> None:
    found = inject(stage, fault, usual[fault.operation])
    assert found.broken == (), found
    assert found.rerun[-1] == 0, found
