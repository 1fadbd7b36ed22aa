"""The gates' verdicts on many worlds at once; one world's are those of `gates.evaluation.evaluate`, which a test compares."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegate.calibration.measuring import NO_RULING, RULED_PASS, Measured
from tidegate.calibration.series import Row
from tidegate.gates.evaluation import threshold_fault
from tidegate.gates.specifications import SPECIFICATIONS, GateSpecification
from tidegate.strategy.gates import Gates

Mask = NDArray[np.bool_]
BY_NAME: Final = {specification.name: specification for specification in SPECIFICATIONS}
BY_LOOK: Final = "skill"
"""The gate whose threshold is the level that the error budget leaves to the look."""


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """What gates say in w worlds.

    Attributes:
        passed: (w,) by gate.
        refuses: (w,) by gate, whether its result alone refuses.
        promote: (w,) whether nothing refuses.
    """

    passed: Mapping[str, Mask]
    refuses: Mapping[str, Mask]
    promote: Mask


def judge(measured: Mapping[str, Measured], policy: Gates, level: float) -> Verdicts:
    """Verdicts of the gates that were measured.

    Args:
        measured: by gate, at least one.
        policy: thresholds, and what blocks.
        level: of this look's test of skill.
    """
    rules = policy.rules()
    passed, refuses = {}, {}
    for name, one in measured.items():
        specification, rule = BY_NAME[name], rules[name]
        passed[name], lacking = _passes(specification, one, policy, level)
        blocks = np.full(one.value.shape, rule.blocking) & (~lacking | rule.not_enough_evidence_blocks)
        refuses[name] = blocks & ~passed[name]
    promote: Mask = ~np.any(list(refuses.values()), axis=0)
    return Verdicts(passed, refuses, promote)


def _passes(specification: GateSpecification, one: Measured, policy: Gates, level: float) -> tuple[Mask, Mask]:
    """Whether the gate passes, and whether it has too little evidence to be judged."""
    threshold = _threshold(specification, one, policy, level)
    low, high = specification.possible
    usable = np.isfinite(one.value) & (one.value >= low) & (one.value <= high) & np.isfinite(threshold)
    passed = usable & _compares(one.value, specification.comparison, threshold)
    lacking = np.zeros(one.value.shape, bool)
    if specification.evidence_from is not None:
        least = getattr(policy, specification.evidence_from)
        lacking = np.zeros_like(lacking) if one.n is None else one.n < least
        passed &= ~lacking
    if one.ruling is not None:
        ruled = one.ruling != NO_RULING
        passed = np.where(ruled, one.ruling == RULED_PASS, passed)
        lacking &= ~ruled
    return passed, lacking


def _threshold(specification: GateSpecification, one: Measured, policy: Gates, level: float) -> Row:
    """(w,) thresholds; NaN where there is none that makes sense."""
    if specification.name == BY_LOOK:
        return np.full(one.value.shape, level)
    bound = policy.rules()[specification.name].threshold
    if bound is None or threshold_fault(specification, policy):
        return np.full(one.value.shape, math.nan)
    if specification.slack is None:
        return np.full(one.value.shape, bound)
    error = np.full(one.value.shape, math.nan) if one.error is None else one.error
    slack = getattr(policy, specification.slack) * np.where(error >= 0, error, math.nan)
    moved: Row = bound + (slack if specification.comparison in {"<=", "<"} else -slack)
    return moved


def _compares(value: Row, comparison: str, threshold: Row) -> Mask:
    compared = {
        ">=": np.greater_equal,
        ">": np.greater,
        "<=": np.less_equal,
        "<": np.less,
        "==": np.equal,
    }[comparison]
    found: Mask = compared(value, threshold)
    return found
