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


class Decision(BaseModel):
    """The decision over all gates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    strategy: str
    manifest_digest: str = Field(description="SHA-256 of the manifest that was judged.")
    promote: bool
    results: tuple[GateResult, ...]
    summary: str

    @property
    def refusals(self) -> tuple[GateResult, ...]:
        """The results that refuse."""
        return tuple(result for result in self.results if result.refuses)
