"""The checklist of a run: daily rows about the service, weekly ones about the model, monthly ones about the retrain."""

from collections.abc import Sequence
from typing import Final

from tidegate.bars.bars import iso
from tidegate.bars.interval import DAY_MS
from tidegate.gates.result import GateResult, Verdict
from tidegate.monitoring.page.record import ChecklistRow, RowVerdict
from tidegate.pipeline.monitor_figures import Figures
from tidegate.pipeline.monitor_job import MonitorJob
from tidegate.pipeline.monitor_service import service_rows
from tidegate.registry.promotion import Promoter
from tidegate.registry.retrains import RetrainLedger, RetrainRun
from tidegate.registry.tracking.versions import Tracking
from tidegate.report import formats
from tidegate.rollback.finding import Finding

_MONTH_MS: Final = 31 * DAY_MS
_OF_FINDING: Final[dict[str, RowVerdict]] = {"quiet": "pass", "fired": "fail", "not_enough_evidence": "not_measured"}


def checklist(
    job: MonitorJob, figures: Figures | None, findings: Sequence[Finding], promoter: Promoter, tracking: Tracking
) -> tuple[ChecklistRow, ...]:
    """Rows of the run's period; a weekly or monthly run has the daily ones as well.

    Raises:
        RegistryError: MLflow or a ledger cannot be read.
    """
    rows = list(service_rows(job.settings, job.strategy.name, job.as_of))
    if job.period != "daily":
        rows += weekly_rows(job, figures, findings)
    if job.period == "monthly":
        rows += monthly_rows(job, promoter, tracking)
    return tuple(rows)


def weekly_rows(job: MonitorJob, figures: Figures | None, findings: Sequence[Finding]) -> list[ChecklistRow]:
    """Performance against targets, drift, importance, resources."""
    by_rule = {finding.rule: finding for finding in findings}
    bounds = job.strategy.rollback
    return [
        _of_finding(
            "win rate against its target",
            by_rule.get("win_rate"),
            f"≥ {formats.percent(bounds.win_rate)}",
            at_least=bounds.win_rate,
        ),
        _of_finding(
            "Sharpe ratio against its target",
            by_rule.get("sharpe"),
            f"≥ {formats.decimal(bounds.sharpe)}",
            at_least=bounds.sharpe,
        ),
        _of_finding("drift analysis", by_rule.get("drift"), "no item drifted"),
        _importance(job, figures),
        ChecklistRow(
            "resource trends",
            "weekly",
            "not_measured",
            "",
            "",
            "Prometheus keeps CPU and memory of the processes; a person looks at the dashboard",
        ),
    ]


def _of_finding(name: str, finding: Finding | None, threshold: str, *, at_least: float | None = None) -> ChecklistRow:
    """What a rule says about a row. A rule that waits for several days in a row is quiet before the row's target is met."""
    if finding is None:
        return ChecklistRow(name, "weekly", "not_measured", "", threshold, "the rule was not judged")
    unit = "" if finding.unit == "ratio" else finding.unit
    observed = "" if finding.observed is None else formats.quantity(finding.observed, unit)
    verdict = _OF_FINDING[finding.verdict]
    if verdict == "pass" and at_least is not None:
        verdict = _met(finding.observed, at_least)
    return ChecklistRow(name, "weekly", verdict, observed, threshold, finding.reason)


def _met(observed: float | None, at_least: float) -> RowVerdict:
    if observed is None or not formats.known(observed):
        return "not_measured"
    return "pass" if observed >= at_least else "fail"


def _importance(job: MonitorJob, figures: Figures | None) -> ChecklistRow:
    bound = job.strategy.monitor.importance_change
    threshold = f"≤ {formats.percent(bound, 0)} moved"
    change = None if figures is None else figures.importance
    if change is None or not formats.known(change.moved):
        reason = "there is no version before the one in production to compare with"
        return ChecklistRow("feature importance is stable", "weekly", "not_measured", "", threshold, reason)
    return ChecklistRow(
        "feature importance is stable",
        "weekly",
        "pass" if change.moved <= bound else "fail",
        formats.percent(change.moved, 1),
        threshold,
        f"v{change.version} against v{change.before}",
    )


def monthly_rows(job: MonitorJob, promoter: Promoter, tracking: Tracking) -> list[ChecklistRow]:
    """Whether the month's retrain did its steps. Which ones is judged by the times that it looked from."""
    name = job.strategy.name
    finished = _newest_finished(RetrainLedger(promoter.ledger.database).runs(name), job.as_of)
    return [
        _retrained(finished),
        *_about_version(job, finished, promoter, tracking),
        ChecklistRow(
            "configuration reviewed",
            "monthly",
            "not_measured",
            "",
            "",
            "a person reviews the strategy file and the settings",
        ),
    ]


def _newest_finished(runs: Sequence[RetrainRun], as_of: int) -> RetrainRun | None:
    inside = [run for run in runs if run.state == "finished" and as_of - _MONTH_MS <= run.as_of <= as_of]
    return inside[-1] if inside else None


def _retrained(run: RetrainRun | None) -> ChecklistRow:
    row, threshold = "retrained with new data", "within 31 days"
    if run is None:
        return ChecklistRow(row, "monthly", "fail", "", threshold, "no retrain finished within the last 31 days")
    return ChecklistRow(
        row, "monthly", "pass", iso(run.as_of)[:10], threshold, f"retrain {run.retrain_key}, v{run.version}"
    )


def _about_version(
    job: MonitorJob, run: RetrainRun | None, promoter: Promoter, tracking: Tracking
) -> list[ChecklistRow]:
    name = job.strategy.name
    names = ("backtested", "new model compared with the old one", "updated only if better than 5 %")
    if run is None or run.version is None:
        return [
            ChecklistRow(row, "monthly", "not_measured", "", "", "there was no retrain to look at") for row in names
        ]
    decision = tracking.decision(name, run.version)
    if decision is None:
        reason = f"the registry keeps no decision of the gates about v{run.version}"
        return [ChecklistRow(row, "monthly", "not_measured", "", "", reason) for row in names]
    results = {result.name: result for result in decision.results}
    trades = results.get("trades")
    contest = results.get("champion")
    promoted = any(
        row.state == "committed" and row.action == "promote" and row.to_version == run.version
        for row in promoter.ledger.rows(name)
    )
    return [
        _judged(names[0], trades, "trades out of sample"),
        _judged(names[1], contest, "contest on the same window"),
        _updated(names[2], contest, promoted=promoted, version=run.version),
    ]


def _judged(row: str, result: GateResult | None, basis: str) -> ChecklistRow:
    """That it was judged is what the row asks for; how it ended is in the reason."""
    if result is None or (result.observed is None and result.verdict is not Verdict.PASS):
        reason = f"no {basis}" if result is None else result.reason
        return ChecklistRow(row, "monthly", "fail", "", "", reason)
    return ChecklistRow(
        row, "monthly", "pass", formats.quantity(result.observed, result.unit), "", f"{basis}: {result.reason}"
    )


def _updated(row: str, contest: GateResult | None, *, promoted: bool, version: int) -> ChecklistRow:
    threshold = formats.bound(contest) if contest is not None else ""
    if not promoted:
        return ChecklistRow(row, "monthly", "pass", "", threshold, f"v{version} was not promoted")
    if contest is None or contest.verdict is not Verdict.PASS:
        reason = f"v{version} was promoted without having won the contest"
        return ChecklistRow(row, "monthly", "fail", "", threshold, reason)
    observed = formats.quantity(contest.observed, contest.unit) if contest.observed is not None else ""
    return ChecklistRow(row, "monthly", "pass", observed, threshold, contest.reason)
