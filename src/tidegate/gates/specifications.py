"""The gates, one line each: what is observed, how it is compared, and what values are possible at all."""

from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

Comparison = Literal[">=", ">", "<=", "<", "=="]
Scope = Literal["fold", "pooled", "run"]
Family = Literal["point", "statistic"]


@dataclass(frozen=True, slots=True)
class GateSpecification:
    """One gate.

    Attributes:
        name: key in the strategy file's `gates`.
        title: for people.
        scope: `pooled` judges the procedure on all folds, `fold` the newest model, `run` the run's own data and files.
        comparison: how observed stands to the threshold for a pass.
        unit: of observed and threshold.
        possible: lowest and highest value that can be true; anything else means a wrong unit or sign, and fails.
        power_at: the true value at which the power is stated; None where the value is not an estimate.
        slack: name of the policy's field with the number of standard errors that the threshold is moved by, so that luck alone rarely
            decides: added where observed must be at most, subtracted where it must be at least; None for none.
        thresholds: lowest and highest threshold that makes sense; a policy beyond them is refused, as it would let anything pass.
        evidence_from: name of the policy's field with the least n for a judgement, if any.
        family: `point` compares an observation with a threshold as it is, `statistic` allows for chance.
        bound_measured: whether the threshold comes with the measurement, and not from the policy.
    """

    name: str
    title: str
    scope: Scope
    comparison: Comparison
    unit: str
    possible: tuple[float, float]
    thresholds: tuple[float, float]
    power_at: float | None = None
    slack: str | None = None
    evidence_from: str | None = None
    family: Family = "point"
    bound_measured: bool = False


_ANY: Final = float("1e300")


def _regime(regime: str) -> GateSpecification:
    return GateSpecification(
        f"regime_{regime}",
        f"Profit factor, {regime} market",
        "pooled",
        ">=",
        "ratio",
        (0, _ANY),
        (0.5, 10),
        evidence_from="regime_min_trades",
    )


_statistic: Final = partial(GateSpecification, family="statistic")

_POINTS: Final = (
    GateSpecification("min_train_days", "Enough training data", "fold", ">=", "days", (0, 36_500), (60, 3650)),
    GateSpecification(
        "recommended_train_days", "Recommended training data", "fold", ">=", "days", (0, 36_500), (60, 3650)
    ),
    GateSpecification("validation_passed", "Validation passed", "run", "<=", "fatal findings", (0, 1e9), (0, 0)),
    GateSpecification("out_of_sample_folds", "Out-of-sample test done", "pooled", ">=", "folds", (0, 1000), (1, 1000)),
    GateSpecification("costs_above_zero", "Costs above zero", "pooled", ">", "bps", (0, 10_000), (0, 1000)),
    GateSpecification("win_rate", "Win rate", "pooled", ">=", "fraction", (0, 1), (0.01, 1), power_at=0.60),
    GateSpecification("sharpe", "Sharpe ratio", "pooled", ">=", "ratio", (-1000, 1000), (0, 20), power_at=2.0),
    GateSpecification("max_drawdown", "Maximum drawdown", "pooled", "<", "fraction", (0, 1000), (0.001, 1)),
    GateSpecification("trades", "Enough trades", "pooled", ">=", "trades", (0, 1e9), (1, 1e6)),
    GateSpecification(
        "newest_fold_sharpe",
        "Newest fold not losing",
        "fold",
        ">=",
        "ratio",
        (-1000, 1000),
        (-1, 20),
        slack="newest_fold_standard_errors",
    ),
    GateSpecification("newest_fold_trades", "Newest fold trades", "fold", ">=", "trades", (0, 1e9), (1, 1e6)),
    _regime("trending"),
    _regime("ranging"),
    _regime("volatile"),
    GateSpecification(
        "too_good_win_rate",
        "Win rate not too good",
        "pooled",
        "<=",
        "fraction",
        (0, 1),
        (0.5, 1),
        slack="too_good_standard_errors",
    ),
    GateSpecification(
        "too_good_sharpe",
        "Sharpe ratio not too good",
        "pooled",
        "<=",
        "ratio",
        (-1000, 1000),
        (0.5, 20),
        slack="too_good_standard_errors",
    ),
    GateSpecification(
        "engines_agree", "Backtest engines agree", "pooled", "<=", "relative difference", (0, _ANY), (0, 1e-6)
    ),
    GateSpecification("no_look_ahead", "No look-ahead", "run", "<=", "changed values", (0, 1e12), (0, 0)),
    GateSpecification("onnx_parity", "ONNX equals XGBoost", "fold", "<=", "probability", (0, 1), (0, 1e-3)),
    GateSpecification("serving_parity", "Serving equals backtest", "fold", "<=", "probability", (0, 1), (0, 1e-6)),
    GateSpecification("reproducible", "Trained twice, same bytes", "fold", "<=", "differing files", (0, 100), (0, 0)),
    GateSpecification("latency_p95_ms", "Inference latency, p95", "fold", "<", "ms", (1e-4, 1e6), (0.01, 1000)),
    GateSpecification("champion", "Better than the champion", "fold", ">", "relative", (-_ANY, _ANY), (0, 10)),
)

_CHANCE: Final = (0.0, 1.0)
_STATISTICS: Final = (
    _statistic(
        "skill", "Skill beyond chance", "pooled", "<=", "p-value", _CHANCE, (0, 0.5), power_at=2.0, bound_measured=True
    ),
    _statistic("deflated_sharpe", "Deflated Sharpe ratio", "pooled", ">=", "probability", _CHANCE, (0.5, 0.9999)),
    _statistic("track_record", "Track record long enough", "pooled", ">=", "ratio", (0, _ANY), (0.5, 100)),
    _statistic("sharpe_lower", "Sharpe ratio, lower end", "pooled", ">", "ratio", (-1000, 1000), (0, 20)),
    _statistic("win_rate_lower", "Win rate over break-even, lower end", "pooled", ">", "fraction", (-1, 1), (0, 0.5)),
    _statistic("overfitting", "Probability of overfitting", "pooled", "<=", "probability", _CHANCE, (0, 0.9)),
    _statistic("cost_stress", "Sharpe ratio at 1.5 times the costs", "pooled", ">=", "ratio", (-1000, 1000), (0, 20)),
    _statistic("break_even_cost", "Break-even cost", "pooled", ">=", "times the costs", (-_ANY, _ANY), (1, 100)),
    _statistic("capacity", "Capacity for the capital", "pooled", ">=", "times the capital", (0, _ANY), (0.1, 1e6)),
    _statistic("random_entries", "Better than random entries", "pooled", ">=", "probability", _CHANCE, (0.5, 0.9999)),
    _statistic("permuted_labels", "Better than permuted labels", "fold", "<=", "p-value", _CHANCE, (1e-3, 0.5)),
    _statistic(
        "champion_difference", "Better than the champion by test", "fold", "<=", "p-value", _CHANCE, (1e-4, 0.5)
    ),
    _statistic("superior", "Tuning beats doing nothing", "fold", "<=", "p-value", _CHANCE, (1e-4, 0.5)),
)

SPECIFICATIONS: Final = _POINTS + _STATISTICS
BY_NAME: Final = {specification.name: specification for specification in SPECIFICATIONS}
