"""A gate's result and the decision made of all of them."""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Verdict(StrEnum):
    """What a gate says."""

    PASS = "pass"  # noqa: S105  a verdict, not a password
    FAIL = "fail"
    NOT_ENOUGH_EVIDENCE = "not_enough_evidence"


class GateResult(BaseModel):
    """One gate's result, schema version 1. `observed` is None where the value was missing or not finite: that never passes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str = Field(description="For people.")
    scope: Literal["fold", "pooled", "run"]
    observed: float | None
    interval: tuple[float, float] | None = Field(None, description="95 % confidence interval, where one is known.")
    n: int | None = Field(None, description="Number of observations behind `observed`.")
    threshold: float | None
    comparison: Literal[">=", ">", "<=", "<", "=="]
    unit: str = ""
    blocking: bool
    verdict: Verdict
    refuses: bool = Field(description="Whether this result alone refuses the promotion.")
    reason: str
    power: float | None = Field(None, description="Probability to pass when the true value is the one in `power_at`.")
    power_at: float | None = None
    evidence: dict[str, float | int | str | None] = Field(default_factory=dict)
    family: Literal["point", "statistic"] = Field("point", description="Whether the gate allows for chance.")
    change: str = Field("", description="What would change a verdict that is no pass, in plain words.")


class PolicyVerdict(BaseModel):
    """What a set of gates says, such as all that block under one policy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    promote: bool
    refused_by: tuple[str, ...] = Field((), description="Names of the gates that refuse.")
    unmeasured: tuple[str, ...] = Field(
        (), description="Those of them that were not measured in this run, since its own policy does not ask for them."
    )


class Decision(BaseModel):
    """The decision over all gates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    strategy: str
    manifest_digest: str = Field(description="SHA-256 of the manifest that was judged.")
    promote: bool
    results: tuple[GateResult, ...]
    summary: str
    policy: str = Field("", description="Name of the gate policy that decided.")
    verdicts: dict[str, PolicyVerdict] = Field(
        default_factory=dict, description="By name, what each policy says of the same run; the deciding one among them."
    )
    points: PolicyVerdict | None = Field(None, description="What the gates without chance say by themselves.")
    statistics: PolicyVerdict | None = Field(
        None, description="What the statistical gates say that block, or would block under the default policy."
    )

    @property
    def refusals(self) -> tuple[GateResult, ...]:
        """The results that refuse."""
        return tuple(result for result in self.results if result.refuses)
