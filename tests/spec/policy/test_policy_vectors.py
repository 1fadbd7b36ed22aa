"""The position policy, case by case: the file that clients in other languages read as well."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tidegate.errors import ModelError
from tidegate.policy.policy import PositionPolicy, PositionState, target_position

VECTORS = json.loads((Path(__file__).parents[3] / "docs/contracts/policy-vectors.json").read_text())
CASES: list[dict[str, Any]] = VECTORS["cases"]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_target_is_the_expected_one(case: dict[str, Any]) -> None:
    policy = PositionPolicy(**VECTORS["policies"][case["policy"]])
    state = PositionState(**case["state"])
    probability = math.nan if case["probability"] is None else case["probability"]
    if case["expected"] == "error":
        with pytest.raises(ModelError):
            target_position(probability, case["close"], state, policy)
    else:
        assert target_position(probability, case["close"], state, policy) == case["expected"]


def test_vectors_are_of_the_known_version_and_have_distinct_names() -> None:
    assert VECTORS["version"] == 1
    assert len({case["name"] for case in CASES}) == len(CASES) >= 40
    assert {case["policy"] for case in CASES} == set(VECTORS["policies"])
