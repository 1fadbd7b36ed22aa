"""The short form of the campaign: every kind of fault once, and every operation. `make chaos` is the long one."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.chaos.campaign import KINDS, Fault, Usual, inject, measure, plan
from tests.chaos.operations import OPERATIONS
from tests.chaos.stage import Stage, missing, opened
from tests.unavailable import unavailable

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.timeout(600)]

# A moment is drawn for a machine of usual speed: on a quick one it may come too late, and is drawn again.
_TRIES = 8
FAULTS = (
    Fault("killed at a call", "promote", 1),
    Fault("killed in time", "rollback", 2),
    Fault("full disk", "backup", 3),
    Fault("PostgreSQL gone", "deploy", 4),
    Fault("MLflow killed", "promote", 5),
    Fault("MLflow hangs", "rollback", 6),
    Fault("artifact store gone", "promote", 7),
    Fault("artifact lost", "deploy", 8),
    Fault("clock 40 days ahead", "rollback", 9),
    Fault("clock 2 days back", "backup", 10),
    Fault("two at once", "retrain", 11),
)


def test_the_short_form_leaves_no_kind_and_no_operation_out() -> None:
    assert {one.kind for one in FAULTS} == set(KINDS)
    assert {one.operation for one in FAULTS} == set(OPERATIONS)


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
        unavailable(f"this machine has no {', '.join(lacking)}")
    with opened() as found:
        yield found


@pytest.fixture(scope="module")
def usual(stage: Stage) -> dict[str, Usual]:
    """What each operation is like without a fault: measured where a system call is drawn, else an early moment is good enough."""
    early = dict.fromkeys(OPERATIONS, Usual(1.5, {}))
    return early | {one.operation: measure(stage, one.operation) for one in FAULTS if one.kind == "killed at a call"}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}-{fault.operation}".replace(" ", "-"))
def test_everything_holds_and_the_rerun_completes(stage: Stage, usual: dict[str, Usual], fault: Fault) -> None:
    for seed in range(fault.seed, fault.seed + 100 * _TRIES, 100):
        found = inject(stage, replace(fault, seed=seed), usual[fault.operation])
        assert found.broken == (), found
        assert found.rerun[-1] == 0, found
        if found.took:
            return
    pytest.fail(f"{_TRIES} times the fault came too late: {found}")
