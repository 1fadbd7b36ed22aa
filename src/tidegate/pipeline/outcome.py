"""A retraining's outcome in plain values, for the command line, flow results and logs."""

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from tidegate.pipeline.publish import Retrained


class Outcome(TypedDict):
    """What became of one retraining."""

    strategy: str
    kind: str
    retrain_key: str
    outcome: str
    version: int | None
    previous_version: int | None
    message: str
    refusals: list[str]
    metrics: dict[str, float | None]
    run_id: str | None
    report: str
    seconds: dict[str, float]


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
        metrics=dict(record.manifest.out_of_sample),
        run_id=record.run_id,
        report=str(retrained.report),
        seconds={name: round(value, 3) for name, value in record.timings_s.items()},
    )
