"""A retraining's outcome in plain values, for the command line, flow results and logs."""

from typing import TYPE_CHECKING, TypedDict

from tidegate.gates.result import Decision

if TYPE_CHECKING:
    from tidegate.pipeline.publish import Retrained


class Outcome(TypedDict):
    """What became of one retraining; `changes` says, refusal by refusal, what would change it, empty where that is not known."""

    strategy: str
    kind: str
    retrain_key: str
    outcome: str
    version: int | None
    previous_version: int | None
    message: str
    refusals: list[str]
    changes: list[str]
    policy: str
    verdicts: dict[str, str]
    metrics: dict[str, float | None]
    run_id: str | None
    report: str
    seconds: dict[str, float]


def verdict_words(decision: Decision) -> dict[str, str]:
    """`promote` or `refuse`, of points and of statistics by themselves, and of each policy by `policy.<name>`."""
    found = {"points": decision.points, "statistics": decision.statistics}
    found |= {f"policy.{name}": verdict for name, verdict in decision.verdicts.items()}
    return {name: "promote" if verdict.promote else "refuse" for name, verdict in found.items() if verdict is not None}


def describe(retrained: "Retrained") -> Outcome:
    """A retraining in plain values; what is not finite becomes None."""
    record = retrained.record
    return Outcome(
        strategy=record.strategy.name,
        kind=record.strategy.kind,
        retrain_key=record.retrain_key,
        outcome=record.promotion.outcome,
        version=record.promotion.version,
        previous_version=record.promotion.previous_version,
        message=record.promotion.message,
        refusals=[f"{result.title}: {result.reason}" for result in record.decision.refusals],
        changes=[result.change for result in record.decision.refusals],
        policy=record.decision.policy,
        verdicts=verdict_words(record.decision),
        metrics=dict(record.manifest.out_of_sample),
        run_id=record.run_id,
        report=str(retrained.report),
        seconds={name: round(value, 3) for name, value in record.timings_s.items()},
    )
