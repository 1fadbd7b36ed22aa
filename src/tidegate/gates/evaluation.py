"""Compares measurements with a gate policy. Everything that is not a clear pass refuses."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist

from tidegate.errors import ConfigurationError
from tidegate.gates.changes import change
from tidegate.gates.result import Decision, GateResult, Verdict
from tidegate.gates.specifications import SPECIFICATIONS, Comparison, GateSpecification
from tidegate.strategy.gates import GateRule, Gates

Evidence = Mapping[str, float | int | str | None]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was observed for one gate.

    Attributes:
        value: the observation; None if it could not be made.
        n: number of observations behind it.
        standard_error: of the value, in its unit.
        interval: 95 % confidence interval.
        ruling: a verdict that the measurement itself implies, whatever the value, such as a contest that could not be held.
        reason: words for the ruling, or for a missing value.
        evidence: further facts for the record.
        bound: the threshold, of a gate whose threshold is measured.
        power: probability to pass when the true value is the specification's `power_at`, where it does not follow from the standard error.
    """

    value: float | None
    n: int | None = None
    standard_error: float | None = None
    interval: tuple[float, float] | None = None
    ruling: Verdict | None = None
    reason: str = ""
    evidence: Evidence = field(default_factory=dict)
    bound: float | None = None
    power: float | None = None


def evaluate(measurements: Mapping[str, Measurement], policy: Gates) -> tuple[GateResult, ...]:
    """One result for each gate of the policy, whether it was measured or not.

    Args:
        measurements: by gate name.
        policy: thresholds, and what blocks.
    Returns:
        results in the order of the specifications. A missing, NaN, infinite or impossible value is always `fail`.
    Raises:
        ConfigurationError: the policy has a gate that nobody specified, or lacks one; none is passed over.
    """
    rules = policy.rules()
    missing = set(rules) ^ {specification.name for specification in SPECIFICATIONS}
    if missing:
        raise ConfigurationError(
            "policy and specifications name different gates", actual=sorted(missing), setting="gates.policy"
        )
    return tuple(
        _judge(specification, rules[specification.name], measurements.get(specification.name), policy)
        for specification in SPECIFICATIONS
    )


def decide(strategy: str, manifest_digest: str, results: tuple[GateResult, ...]) -> Decision:
    """Promote only if there are results and not one refuses."""
    refusals = [result for result in results if result.refuses]
    promote = bool(results) and not refusals
    if promote:
        advisory = sum(result.verdict is not Verdict.PASS for result in results)
        passed = f"{len(results) - advisory} gates passed"
        summary = f"{passed}, {advisory} advisory did not" if advisory else f"all {passed}"
    else:
        named = "; ".join(f"{result.title}: {result.reason}" for result in refusals)
        summary = f"{len(refusals)} of {len(results)} gates refuse: {named}"
    return Decision(
        strategy=strategy, manifest_digest=manifest_digest, promote=promote, results=results, summary=summary
    )


def compares(value: float, comparison: Comparison, threshold: float) -> bool:
    """Whether a value stands to a threshold as wanted; False for NaN, either way."""
    match comparison:
        case ">=":
            return value >= threshold
        case ">":
            return value > threshold
        case "<=":
            return value <= threshold
        case "<":
            return value < threshold
        case "==":
            return value == threshold


def _judge(
    specification: GateSpecification, rule: GateRule, measurement: Measurement | None, policy: Gates
) -> GateResult:
    measured = measurement or Measurement(None, ruling=Verdict.FAIL, reason="was not measured")
    threshold, slack_fault = _threshold(specification, rule, measured, policy)
    verdict, reason = _verdict(specification, measured, threshold, slack_fault, policy)
    blocks = rule.blocking and (verdict is not Verdict.NOT_ENOUGH_EVIDENCE or rule.not_enough_evidence_blocks)
    result = GateResult(
        name=specification.name,
        title=specification.title,
        scope=specification.scope,
        observed=_finite(measured.value),
        interval=measured.interval if measured.interval and all(map(math.isfinite, measured.interval)) else None,
        n=measured.n,
        threshold=_finite(threshold),
        comparison=specification.comparison,
        unit=specification.unit,
        blocking=rule.blocking,
        verdict=verdict,
        refuses=blocks and verdict is not Verdict.PASS,
        reason=reason,
        power=_power(specification, measured, threshold),
        power_at=specification.power_at,
        evidence=dict(measured.evidence),
        family=specification.family,
    )
    least = None if specification.evidence_from is None else int(getattr(policy, specification.evidence_from))
    return result.model_copy(update={"change": change(result, least)})


def _threshold(
    specification: GateSpecification, rule: GateRule, measured: Measurement, policy: Gates
) -> tuple[float | None, str]:
    if specification.bound_measured:
        return measured.bound, "" if _finite(measured.bound) is not None else "its bound was not measured"
    if rule.threshold is None or specification.slack is None:
        return rule.threshold, ""
    error = measured.standard_error
    if error is None or not math.isfinite(error) or error < 0:
        return None, "its standard error is not known"
    slack = getattr(policy, specification.slack) * error
    return rule.threshold + (slack if specification.comparison in {"<=", "<"} else -slack), ""


def _verdict(  # noqa: PLR0911  one return a rule, in order
    specification: GateSpecification, measured: Measurement, threshold: float | None, fault: str, policy: Gates
) -> tuple[Verdict, str]:
    if measured.ruling is not None:
        return measured.ruling, measured.reason
    if specification.evidence_from is not None:
        least = getattr(policy, specification.evidence_from)
        if measured.n is None or measured.n < 0:
            return Verdict.FAIL, measured.reason or "does not say how many trades are behind it"
        if measured.n < least:
            return Verdict.NOT_ENOUGH_EVIDENCE, f"{measured.n} trades, at least {least} are needed to judge"
    fault = fault or threshold_fault(specification, policy)
    value = measured.value
    if value is None:
        return Verdict.FAIL, measured.reason or "has no value"
    if not math.isfinite(value):
        return Verdict.FAIL, f"is {value}, which is not a number to compare"
    low, high = specification.possible
    if not low <= value <= high:
        return Verdict.FAIL, f"{value:g} cannot be: possible is {low:g} to {high:g}; wrong unit or sign?"
    if fault or threshold is None or not math.isfinite(threshold):
        return Verdict.FAIL, fault or f"has no threshold (gates.{specification.name}.threshold)"
    shown = f"{value:.4g}, wanted {specification.comparison} {threshold:.4g}"
    if compares(value, specification.comparison, threshold):
        return Verdict.PASS, f"is {shown}"
    return Verdict.FAIL, f"is {shown} (gates.{specification.name})"


def threshold_fault(specification: GateSpecification, policy: Gates) -> str:
    """What is wrong with a policy's threshold: empty where it is sane.

    A threshold in another unit (15 for 15 %) or beyond all sense would let anything pass.
    """
    if specification.bound_measured:
        return ""
    threshold = policy.rules()[specification.name].threshold
    name = f"gates.{specification.name}.threshold"
    if threshold is None or not math.isfinite(threshold):
        return f"has no threshold ({name})"
    low, high = specification.thresholds
    if not low <= threshold <= high:
        return f"threshold {threshold:g} makes no sense: {low:g} to {high:g} {specification.unit} does ({name}); wrong unit?"
    return ""


def require_sane(policy: Gates) -> None:
    """Refuse a policy with a threshold that makes no sense, before anything is trained.

    Raises:
        ConfigurationError: names the first such gate.
    """
    for specification in SPECIFICATIONS:
        fault = threshold_fault(specification, policy)
        if fault:
            raise ConfigurationError(
                f"gate {specification.name} {fault}", setting=f"gates.{specification.name}.threshold"
            )


def _power(specification: GateSpecification, measured: Measurement, threshold: float | None) -> float | None:
    """Probability that a model as good as `power_at` passes at this n, by the normal approximation."""
    if measured.power is not None:
        return _finite(measured.power)
    error = measured.standard_error
    if (
        specification.bound_measured
        or specification.power_at is None
        or threshold is None
        or error is None
        or not math.isfinite(error)
        or error <= 0
    ):
        return None
    return NormalDist().cdf((specification.power_at - threshold) / error)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
