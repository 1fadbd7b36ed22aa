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
from tidegate.gates.specifications import BY_NAME, GateSpecification
from tidegate.strategy.gates import GateRule, Gates

Mask = NDArray[np.bool_]
SKILL: Final = "skill"
"""The gate whose bound is measured: the level that the error budget leaves to the look, and nothing passes at level 0."""


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


@dataclass(frozen=True, slots=True)
class Bar:
    """What one gate asks for under one policy.

    Attributes:
        specification: of the gate.
        threshold: NaN where there is none that makes sense, and then nothing passes.
        slack: standard errors that the threshold moves by, upwards where positive.
        least: trades below which there is too little evidence; 0 where none are asked for.
        blocks: whether anything but a pass refuses; `lacking_blocks` whether too little evidence does as well.
    """

    specification: GateSpecification
    threshold: float
    slack: float
    least: int
    blocks: bool
    lacking_blocks: bool


def bars(policy: Gates) -> dict[str, Bar]:
    """What each gate asks for, read once a policy: a look at every world asks a thousand times."""
    return {name: _bar(BY_NAME[name], rule, policy) for name, rule in policy.rules().items()}


def _bar(specification: GateSpecification, rule: GateRule, policy: Gates) -> Bar:
    fault = rule.threshold is None or threshold_fault(specification, policy)
    errors = 0.0 if specification.slack is None else float(getattr(policy, specification.slack))
    least = 0 if specification.evidence_from is None else int(getattr(policy, specification.evidence_from))
    return Bar(
        specification,
        math.nan if fault or rule.threshold is None else rule.threshold,
        errors if specification.comparison in {"<=", "<"} else -errors,
        least,
        rule.blocking,
        rule.not_enough_evidence_blocks,
    )


def judge(measured: Mapping[str, Measured], asked: Mapping[str, Bar], level: float) -> Verdicts:
    """Verdicts of the gates that were measured.

    Args:
        measured: by gate, at least one.
        asked: of the policy, from `bars`.
        level: of this look's test of skill.
    """
    passed, refuses = {}, {}
    for name, one in measured.items():
        bar = asked[name]
        passed[name], lacking = _passes(bar, one, level)
        refuses[name] = ~passed[name] & (bar.blocks & (~lacking | bar.lacking_blocks))
    promote: Mask = ~np.any(list(refuses.values()), axis=0)
    return Verdicts(passed, refuses, promote)


def _passes(bar: Bar, one: Measured, level: float) -> tuple[Mask, Mask]:
    """Whether the gate passes, and whether it has too little evidence to be judged."""
    threshold = _threshold(bar, one, level)
    low, high = bar.specification.possible
    usable = np.isfinite(one.value) & (one.value >= low) & (one.value <= high) & np.isfinite(threshold)
    passed = usable & _compares(one.value, bar.specification.comparison, threshold)
    lacking = np.zeros(one.value.shape, bool)
    if bar.least:
        known = np.full(one.value.shape, -1.0) if one.n is None else one.n
        lacking = (known >= 0) & (known < bar.least)
        passed &= known >= bar.least
    if one.ruling is not None:
        ruled = one.ruling != NO_RULING
        passed = np.where(ruled, one.ruling == RULED_PASS, passed)
        lacking &= ~ruled
    return passed, lacking


def _threshold(bar: Bar, one: Measured, level: float) -> Row | float:
    """Thresholds; NaN where there is none that makes sense."""
    if bar.specification.bound_measured:
        return level if bar.specification.name == SKILL and level > 0 else math.nan
    if bar.specification.slack is None:
        return bar.threshold
    if one.error is None:
        return math.nan
    moved: Row = bar.threshold + bar.slack * np.where(one.error >= 0, one.error, math.nan)
    return moved


def _compares(value: Row, comparison: str, threshold: Row | float) -> Mask:
    compared = {
        ">=": np.greater_equal,
        ">": np.greater,
        "<=": np.less_equal,
        "<": np.less,
        "==": np.equal,
    }[comparison]
    found: Mask = compared(value, threshold)
    return found
