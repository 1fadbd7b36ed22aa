"""The gates' part of the strategy file: thresholds, what blocks, and the three policies that the code knows."""

from collections.abc import Mapping
from typing import Any, Final, Self

from pydantic import Field, model_validator

from tidegate.strategy.part import Part

DEFAULT_POLICY: Final = "balanced"


class GateRule(Part):
    """One gate's threshold and whether it blocks."""

    threshold: float | None = Field(None, description="The bound; empty where the gate needs none.")
    blocking: bool = Field(True, description="Whether anything but `pass` refuses the promotion.")
    not_enough_evidence_blocks: bool = Field(
        True, description="Whether the verdict not_enough_evidence refuses as well."
    )


class Gates(Part):
    """The gate policy: the checklist's points, and statistics with a known error rate, as `balanced` has them by default."""

    policy: str = Field(
        DEFAULT_POLICY,
        pattern=r"^[a-z0-9][a-z0-9-]{0,62}$",
        description="Named policy that this one starts from: checklist, balanced, strict, or a file of your own in configs/policies.",
    )
    min_train_days: GateRule = Field(GateRule(threshold=60), description="Days of training data, at least.")
    recommended_train_days: GateRule = Field(
        GateRule(threshold=90, blocking=False), description="Days of training data, recommended; a warning by default."
    )
    validation_passed: GateRule = Field(GateRule(threshold=0), description="Fatal validation failures, at most.")
    out_of_sample_folds: GateRule = Field(GateRule(threshold=3), description="Walk-forward folds, at least.")
    costs_above_zero: GateRule = Field(
        GateRule(threshold=0), description="Lowest cost paid by any trade, above, in bps."
    )
    win_rate: GateRule = Field(
        GateRule(threshold=0.58), description="Share of closed trades won net of costs, at least."
    )
    sharpe: GateRule = Field(GateRule(threshold=1.5), description="Annual Sharpe ratio net of costs, at least.")
    max_drawdown: GateRule = Field(
        GateRule(threshold=0.15), description="Largest loss from a peak, intrabar, pooled or in any fold alone, below."
    )
    latency_p95_ms: GateRule = Field(
        GateRule(threshold=10), description="p95 of one prediction from its window, below."
    )
    trades: GateRule = Field(GateRule(threshold=100), description="Closed trades, at least.")
    newest_fold_sharpe: GateRule = Field(
        GateRule(threshold=0), description="Sharpe ratio of the newest fold alone, at least, less k standard errors."
    )
    newest_fold_trades: GateRule = Field(
        GateRule(threshold=5), description="Closed trades of the newest fold, at least."
    )
    regime_trending: GateRule = Field(GateRule(threshold=1.0), description="Profit factor while trending, at least.")
    regime_ranging: GateRule = Field(GateRule(threshold=1.0), description="Profit factor while ranging, at least.")
    regime_volatile: GateRule = Field(GateRule(threshold=1.0), description="Profit factor while volatile, at least.")
    onnx_parity: GateRule = Field(
        GateRule(threshold=1e-5), description="Largest difference between ONNX and XGBoost, at most."
    )
    serving_parity: GateRule = Field(
        GateRule(threshold=1e-9), description="Largest difference between the serving path and the batch path, at most."
    )
    reproducible: GateRule = Field(GateRule(threshold=0), description="Files that differ when trained twice, at most.")
    no_look_ahead: GateRule = Field(
        GateRule(threshold=0),
        description="Features, labels or positions that change when the future is cut off, at most.",
    )
    engines_agree: GateRule = Field(
        GateRule(threshold=1e-9), description="Largest difference between vectorbt and the reference ledger, at most."
    )
    too_good_win_rate: GateRule = Field(
        GateRule(threshold=0.62), description="Win rate, at most, plus k standard errors."
    )
    too_good_sharpe: GateRule = Field(
        GateRule(threshold=2.0), description="Sharpe ratio, at most, plus k standard errors."
    )
    champion: GateRule = Field(
        GateRule(threshold=0.05), description="Relative improvement on the champion over the same unseen window, above."
    )
    skill: GateRule = Field(
        GateRule(),
        description="p-value of no skill (true Sharpe ratio net of costs at most 0), at most the level that the error budget leaves this look.",
    )
    deflated_sharpe: GateRule = Field(
        GateRule(threshold=0.95, blocking=False),
        description="Probability that the Sharpe ratio is more than the luck of all trials ever made for the strategy, at least.",
    )
    track_record: GateRule = Field(
        GateRule(threshold=1.0, blocking=False),
        description="Length of the record over the least that shows a Sharpe ratio above 0 with 95 % confidence, at least.",
    )
    sharpe_lower: GateRule = Field(
        GateRule(threshold=0.0, blocking=False),
        description="Lower end of the Sharpe ratio's 95 % bootstrap interval, above.",
    )
    win_rate_lower: GateRule = Field(
        GateRule(threshold=0.0, blocking=False),
        description="Lower end of the win rate's 95 % Wilson interval less the rate at which nothing is earned, above.",
    )
    overfitting: GateRule = Field(
        GateRule(threshold=0.5, blocking=False),
        description="Probability that the best of the tuning trials is a worse one out of sample, at most.",
    )
    cost_stress: GateRule = Field(
        GateRule(threshold=0.0),
        description="Annual Sharpe ratio of the same trades at 1.5 times their costs, at least.",
    )
    break_even_cost: GateRule = Field(
        GateRule(threshold=1.5, blocking=False),
        description="Multiple of the costs paid at which nothing would be left, at least.",
    )
    capacity: GateRule = Field(
        GateRule(threshold=1.0, blocking=False),
        description="Capital at which market impact eats all profit, over the strategy's capital, at least.",
    )
    random_entries: GateRule = Field(
        GateRule(threshold=0.95, blocking=False),
        description="Share of strategies with random entries, equal turnover and equal costs that earn a lower Sharpe ratio, at least.",
    )
    permuted_labels: GateRule = Field(
        GateRule(threshold=0.05, blocking=False),
        description="p-value of the newest fold's forecasts against models trained on permuted labels, at most; needs gates.permutations.",
    )
    champion_difference: GateRule = Field(
        GateRule(threshold=0.05, blocking=False),
        description="One-sided p-value of the Sharpe ratio being no higher than the champion's on the contest's window, at most.",
    )
    superior: GateRule = Field(
        GateRule(threshold=0.05, blocking=False),
        description="p-value of the newest fold's tuning trials earning no more than doing nothing (superior predictive ability), at most.",
    )
    yearly_error: float = Field(
        0.05,
        gt=0,
        lt=0.5,
        description="Probability that a strategy without skill passes the gate skill at least once within a year.",
    )
    looks_per_year: int = Field(
        12,
        ge=1,
        le=366,
        description="Looks that the year's error is laid out for; each scheduled one gets an equal part.",
    )
    permutations: int = Field(
        0,
        ge=0,
        le=999,
        description="Models trained on permuted labels, of the newest fold; 0: not measured. 19 are the least that a threshold of 0.05 needs.",
    )
    too_good_standard_errors: float = Field(3.0, gt=0, le=10, description="k of the two too-good gates.")
    newest_fold_standard_errors: float = Field(1.0, ge=0, le=3, description="k of the newest fold's Sharpe ratio.")
    regime_min_trades: int = Field(20, ge=1, description="Trades under which a regime is not judged.")
    champion_floor: float = Field(
        0.5, gt=0, description="Least denominator of the relative improvement, in Sharpe units: the rule near zero."
    )
    champion_min_days: int = Field(
        20, ge=1, description="Least days of the newest window that the champion has not seen."
    )

    @model_validator(mode="before")
    @classmethod
    def _on_top_of_the_policy(cls, given: Any) -> Any:  # noqa: ANN401  whatever the file holds
        """What is not named is as the policy has it; a rule that names one key keeps its gate's others."""
        if not isinstance(given, dict):
            return given
        name = given.get("policy", DEFAULT_POLICY)
        base = POLICIES.get(name) if isinstance(name, str) else None
        if base is None and set(cls.model_fields) <= set(given):
            return given  # a policy from a file, all told
        if base is None:
            raise ValueError(f"policy {name!r} is unknown, known are {', '.join(POLICIES)}")
        defaults = {
            key: field.default.model_dump() for key, field in cls.model_fields.items() if _is_rule(field.default)
        }
        return overlay(overlay(defaults, base), given)

    @model_validator(mode="after")
    def _measurable(self) -> Self:
        rule = self.permuted_labels
        if rule.blocking and (rule.threshold is None or 1 / (1 + self.permutations) > rule.threshold):
            raise ValueError(
                f"permuted_labels blocks and can never pass: {self.permutations} permutations (gates.permutations) give p-values of "
                f"{1 / (1 + self.permutations):.3g} at best, and the threshold is {rule.threshold}"
            )
        return self

    def rules(self) -> dict[str, GateRule]:
        """Every gate's rule by its name, in order."""
        found = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: rule for name, rule in found.items() if isinstance(rule, GateRule)}


def _is_rule(value: object) -> bool:
    return isinstance(value, GateRule)


def overlay(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Two mappings as one: what both hold as mappings is merged key by key, at any depth; anything else is taken from `over`."""
    merged = dict(under)
    for name, value in over.items():
        below = merged.get(name)
        merged[name] = overlay(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


_SHOWN: Final = {"blocking": False}
_BLOCKING: Final = {"blocking": True}

POLICIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "checklist": {"skill": _SHOWN, "cost_stress": _SHOWN},
    "balanced": {},
    "strict": {
        "recommended_train_days": _BLOCKING,
        "deflated_sharpe": _BLOCKING,
        "track_record": _BLOCKING,
        "sharpe_lower": _BLOCKING,
        "win_rate_lower": _BLOCKING,
        "overfitting": _BLOCKING,
        "break_even_cost": _BLOCKING,
        "capacity": _BLOCKING,
        "random_entries": _BLOCKING,
        "permuted_labels": _BLOCKING,
        "champion_difference": _BLOCKING,
        "yearly_error": 0.01,
        "permutations": 19,
    },
}
"""What each named policy changes of the defaults; the files under configs/policies say the same."""
