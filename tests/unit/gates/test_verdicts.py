"""One run under several policies: what decides, what the others say, and points and statistics apart."""

import math
from collections.abc import Mapping

import pytest
from tests.unit.gates.test_evaluation import passing

from tidegate.gates.evaluation import Measurement
from tidegate.gates.result import Decision, PolicyVerdict, Verdict
from tidegate.gates.verdicts import decide_by
from tidegate.strategy.gates import Gates
from tidegate.strategy.policies import built_in

UNMEASURED = Measurement(None, n=0, ruling=Verdict.NOT_ENOUGH_EVIDENCE, reason="not measured: gates.permutations is 0")


def decided(changes: Mapping[str, Measurement], policy: str = "balanced", **own: object) -> Decision:
    gates = Gates.model_validate({"policy": policy} | own)
    found = passing() | dict(changes)
    return decide_by("s", "d" * 64, lambda _policy: found, gates, built_in())


def failing(value: float = math.nan) -> Measurement:
    return Measurement(value, n=500, standard_error=0.02, bound=0.004)


@pytest.mark.parametrize(
    ("gate", "checklist", "balanced", "strict", "points", "statistics"),
    [
        ("trades", False, False, False, False, True),
        ("skill", True, False, False, True, False),
        ("cost_stress", True, False, False, True, False),
        ("deflated_sharpe", True, True, False, True, True),
        ("superior", True, True, True, True, True),
        ("recommended_train_days", True, True, False, True, True),
    ],
)
def test_who_refuses(gate: str, checklist: bool, balanced: bool, strict: bool, points: bool, statistics: bool) -> None:
    found = decided({gate: failing()})
    assert {name: verdict.promote for name, verdict in found.verdicts.items()} == {
        "checklist": checklist,
        "balanced": balanced,
        "strict": strict,
    }
    assert found.promote is balanced
    assert found.policy == "balanced"
    assert found.points is not None
    assert found.statistics is not None
    assert (found.points.promote, found.statistics.promote) == (points, statistics)
    refused = [verdict for verdict in found.verdicts.values() if not verdict.promote]
    assert all(verdict.refused_by == (gate,) for verdict in refused)


@pytest.mark.parametrize("policy", ["checklist", "balanced", "strict"])
def test_the_policy_that_decides_is_the_strategys(policy: str) -> None:
    found = decided({"cost_stress": failing()}, policy)
    assert (found.policy, found.promote) == (policy, policy == "checklist")
    assert found.verdicts[policy].promote is found.promote
    assert list(found.verdicts) == ["checklist", "balanced", "strict"]


def test_where_no_statistic_blocks_the_statistics_are_those_of_the_default_policy() -> None:
    found = decided({"skill": failing()}, "checklist")
    assert found.promote
    assert found.statistics == PolicyVerdict(promote=False, refused_by=("skill",))


def test_a_strategys_own_threshold_holds_under_every_policy() -> None:
    found = decided({"win_rate": failing(0.56)}, win_rate={"threshold": 0.55})
    assert [verdict.promote for verdict in found.verdicts.values()] == [True, True, True]


def test_what_a_strategy_waives_still_blocks_under_the_policies_by_their_names() -> None:
    found = decided({"skill": failing()}, skill={"blocking": False})
    assert found.promote
    assert found.verdicts["balanced"].promote, "under its own name stand the gates that decided"
    assert not found.verdicts["strict"].promote


def test_what_was_not_measured_is_told_apart_from_what_failed() -> None:
    found = decided({"permuted_labels": UNMEASURED})
    assert found.verdicts["strict"] == PolicyVerdict(
        promote=False, refused_by=("permuted_labels",), unmeasured=("permuted_labels",)
    )
    failed = decided({"permuted_labels": failing(0.3)})
    assert failed.verdicts["strict"].unmeasured == ()


def test_labels_that_were_not_permuted_refuse_where_they_block() -> None:
    assert not decided({"permuted_labels": UNMEASURED}, "strict").promote
    assert decided({"permuted_labels": UNMEASURED}, "balanced").promote


def test_a_decision_with_its_verdicts_round_trips_and_one_without_is_still_read() -> None:
    found = decided({"skill": failing(0.3)})
    assert Decision.model_validate_json(found.model_dump_json()) == found
    older = found.model_dump(mode="json", exclude={"policy", "verdicts", "points", "statistics"})
    for each in older["results"]:
        del each["family"], each["change"]
    read = Decision.model_validate(older)
    assert (read.policy, read.verdicts, read.points, read.statistics) == ("", {}, None, None)
