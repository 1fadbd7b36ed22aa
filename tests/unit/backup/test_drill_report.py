"""When a drill has passed: all three losses mended, each within its target."""

import pytest

from tidegate.backup.drill import TARGETS_S, Case, CaseName, DrillReport

GOOD = tuple(Case(name, 1.0) for name in TARGETS_S)


@pytest.mark.parametrize(
    ("name", "took_s", "fault", "verdict"),
    [
        ("model corruption", 60.0, "", "passed"),
        ("model corruption", 60.1, "", "slow"),
        ("outage", 120.0, "", "passed"),
        ("outage", 120.1, "", "slow"),
        ("data loss", 600.0, "", "passed"),
        ("data loss", 600.1, "", "slow"),
        ("outage", 1.0, "the ledger ends elsewhere", "failed"),
        ("outage", None, "", "failed"),
        ("outage", float("nan"), "", "slow"),
    ],
)
def test_each_case_has_its_target(name: CaseName, took_s: float | None, fault: str, verdict: str) -> None:
    assert Case(name, took_s, fault).verdict == verdict


def test_the_targets_are_within_those_of_the_checklist() -> None:
    assert TARGETS_S == {"model corruption": (60, 300), "outage": (120, 900), "data loss": (600, 3600)}


@pytest.mark.parametrize(
    ("cases", "passed"),
    [
        (GOOD, True),
        (GOOD[:2], False),
        ((), False),
        ((*GOOD[:2], Case("data loss", 601.0)), False),
        ((*GOOD[:2], Case("data loss", None, "gone")), False),
    ],
)
def test_it_has_passed_when_all_have(cases: tuple[Case, ...], passed: bool) -> None:
    report = DrillReport("one", cases, ("alpha/v1",), "0" * 64)
    assert report.passed is passed
    assert report.content()["passed"] is passed


def test_one_that_stands_in_no_ledger_has_not_passed() -> None:
    report = DrillReport("one", GOOD, ("alpha/v1",), "0" * 64, unrecorded="the live ledger is damaged: malformed")
    assert not report.passed
    assert (report.content()["passed"], report.content()["unrecorded"]) == (False, report.unrecorded)
