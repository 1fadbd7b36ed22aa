"""The monitoring run of one model: read, compute, judge, act, and tell; `flows/monitor.py` runs the same stages as Prefect tasks.

The prediction log and the bars are the only truth of the figures, the promotion ledger is the only truth of what is in production. So a run that is
done again, or late, gives the same figures for the same `as_of`, and nothing is counted twice.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from tidegate.bars.bars import Bars, iso
from tidegate.bars.interval import DAY_MS
from tidegate.logs.ids import bound
from tidegate.model.bundle import Bundle
from tidegate.monitoring.page.headline import speaks_against
from tidegate.monitoring.page.markdown import markdown_summary
from tidegate.monitoring.page.page import write_page
from tidegate.monitoring.page.record import FindingLine, MonitorRecord, Outcome
from tidegate.monitoring.predictions import Predictions
from tidegate.pipeline.data import Gathered, gather
from tidegate.pipeline.monitor_alarm import raise_alarm
from tidegate.pipeline.monitor_checklist import checklist
from tidegate.pipeline.monitor_event import record_run, run_content, subject_of
from tidegate.pipeline.monitor_evidence import evidence_of
from tidegate.pipeline.monitor_figures import Figures, compute, versions_in
from tidegate.pipeline.monitor_findings import findings_of
from tidegate.pipeline.monitor_job import MonitorJob
from tidegate.pipeline.monitor_sources import Production, fetch_bundles, production_of, read_log
from tidegate.registry.events import EventLedger
from tidegate.registry.opening import open_promoter
from tidegate.registry.promotion import Promoter
from tidegate.registry.rules import named
from tidegate.registry.state import LedgerRow, StrategyState
from tidegate.registry.tracking.versions import Tracking
from tidegate.rollback.act import carry_out
from tidegate.rollback.automatic import read_situation
from tidegate.rollback.decision import Decision, decide
from tidegate.rollback.finding import Finding
from tidegate.rollback.procedure import ActReport, open_procedure

log = logging.getLogger(__name__)

_TRAIL = 8
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Computed:
    """What a run found before anything is decided.

    Attributes:
        production: what was in production.
        nothing: why there is nothing to monitor, empty where there is.
        figures: None where there is nothing to compute from.
        bundle: of the version in production.
        findings: of the rules.
        newest_closed_at: UTC ms, the close up to which every symbol has bars.
        alerts: what people must look at.
        doubts: those of them that speak against the figures.
    """

    production: Production
    nothing: str
    figures: Figures | None
    bundle: Bundle | None
    findings: tuple[Finding, ...]
    newest_closed_at: int | None
    alerts: tuple[str, ...]
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Monitored:
    """The outcome of one monitoring run.

    Attributes:
        record: what the page shows.
        decision: as it was made.
        act: what became of it.
        content: of the event.
        subject: under which the event stands.
        is_new: whether this run had something to say that was not on record.
        page: the report.
        markdown: the summary.
    """

    record: MonitorRecord
    decision: Decision
    act: ActReport
    content: Mapping[str, Any]
    subject: str
    is_new: bool
    page: Path
    markdown: str


def monitor(job: MonitorJob) -> Monitored:
    """Bring bars up to date, compute, judge, act, record, report.

    Raises:
        SourceError, ValidationFailed: no bars, so nothing was decided.
        LogDamaged, FiguresRefused: no figures, so nothing was decided.
        RegistryError: MLflow or a ledger could not be reached; doing it again completes what was begun.
    In each of these cases, and whatever else is raised, an alarm is in the event ledger and people were told, as far as both can be reached.
    """
    found, failed = each_model([job], run_once)
    if failed:
        raise failed[0]
    return found[0]


def run_once(job: MonitorJob) -> Monitored:
    """The stages of `monitor` alone: whatever they raise, nobody is told."""
    with bound(strategy=job.strategy.name):
        return conclude(job, compute_run(job, gather(job.job)))


def each_model(jobs: Sequence[MonitorJob], run: Callable[[MonitorJob], T]) -> tuple[list[T], list[Exception]]:
    """Run each model of a strategy. They do not wait for each other: one whose bars are missing keeps no other from being looked at.

    Args:
        jobs: one a model.
        run: what is done with each; whatever it raises, people are told that nobody looked.
    Returns:
        what came of those that did not fail, and the errors of those that did.
    """
    found, failed = [], []
    for job in jobs:
        try:
            found.append(run(job))
        except Exception as error:  # noqa: BLE001  the border: a fault of ours leaves a model unwatched as well
            raise_alarm(job, error)
            failed.append(error)
    return found, failed


def compute_run(job: MonitorJob, gathered: Gathered) -> Computed:
    """Figures and findings from the log and the bars; decides nothing.

    Raises:
        LogDamaged, FiguresRefused: the log, the bars and the bundles do not fit together.
        RegistryError: MLflow or the ledger cannot be reached.
    """
    tracking = Tracking(job.settings)
    production = production_of(job, open_promoter(job.settings, tracking))
    bars = {each.symbol: each for each in gathered.bars}
    newest = min((int(each.closed_at[-1]) for each in gathered.bars if len(each)), default=None)
    start = job.as_of - job.strategy.monitor.window_days * DAY_MS
    predictions = read_log(job, start)
    nothing = _nothing(production, predictions)
    if predictions is None:
        return Computed(production, nothing, None, None, (), newest, production.alerts)
    return _computed(job, tracking, production, bars, predictions, newest, nothing)


def _computed(
    job: MonitorJob,
    tracking: Tracking,
    production: Production,
    bars: Mapping[str, Bars],
    predictions: Predictions,
    newest: int | None,
    nothing: str,
) -> Computed:
    wanted = versions_in(predictions) | {each for each in (production.version, production.before) if each is not None}
    bundles, missing = fetch_bundles(job, tracking, wanted, production.digests)
    figures = compute(job, predictions, bars, bundles, production)
    bundle = None if production.version is None else bundles.get(production.version)
    judged = production.version is not None and production.halted is None
    evidence = evidence_of(job, predictions, bars, figures.live.balance, production)
    doubts = evidence.doubts if judged else ()
    findings = (
        findings_of(figures, bundle, job.strategy, job.as_of, evidence.until) if judged and bundle is not None else ()
    )
    if production.version is not None and bundle is None:
        nothing = nothing or f"the bundle of v{production.version} is not to be had"
    alerts = (*production.alerts, *missing, *doubts)
    return Computed(production, nothing, figures, bundle, findings, newest, alerts, doubts)


def _nothing(production: Production, predictions: Predictions | None) -> str:
    if production.halted is not None:
        return f"the strategy is halted: {production.halted}"
    if production.version is None:
        return "no version is in production"
    if predictions is None:
        return "there is no prediction log"
    if not (predictions.of(production.version) & (predictions.target >= -1)).any():
        return f"v{production.version} named no position within the window"
    return ""


def conclude(job: MonitorJob, computed: Computed) -> Monitored:
    """Decide, act, write the page, record the run.

    Raises:
        RegistryError: MLflow or a ledger cannot be reached; doing it again completes what was begun.
        OSError: the page cannot be written.
    """
    promoter = open_promoter(job.settings)
    events = EventLedger(promoter.ledger.database)
    decision, act = _act(job, computed, promoter, events)
    # An alert about the run itself is told before the page is made, so that a fault of the page cannot hide it.
    _tell_alerts(job, computed)
    tracking = Tracking(job.settings)
    rows = checklist(job, computed.figures, computed.findings, promoter, tracking)
    state = promoter.ledger.state(job.strategy.name)
    outcome, reason = _outcome(computed, decision, state)
    record = _record(job, computed, outcome, reason, state.current, rows, trail_of(promoter.history(job.strategy.name)))
    against = speaks_against(record) if outcome == "healthy" else ()
    if against:
        record = replace(record, outcome="watch", reason="; ".join(against))
    content = run_content(record, computed.findings, decision, computed.newest_closed_at)
    subject, is_new = subject_of(job, events, content)
    # Each record keeps its own page: what a rollback stood on is not replaced by what the next run sees.
    page = job.folder / f"report{subject.removeprefix(job.subject).replace('/', '-')}.html"
    write_page(record, page)
    if is_new:
        event = record_run(job, events, subject, {**content, "report": str(page)})
        if event is not None and "differs" in event.content:
            log.warning("%s gives other figures than before: %s", subject, ", ".join(event.content["differs"]))
    return Monitored(record, decision, act, content, subject, is_new, page, markdown_summary(record))


def _act(job: MonitorJob, computed: Computed, promoter: Promoter, events: EventLedger) -> tuple[Decision, ActReport]:
    rules, allowed = job.strategy.rollback, job.settings.watch.act
    situation = read_situation(promoter.ledger, events, job.strategy.name, rules, acting_allowed=allowed)
    # The findings are about the version that was looked at; where another one is in production by now, `carry_out` does nothing.
    decision = decide(computed.findings, replace(situation, version=computed.production.version))
    procedure = open_procedure(job.settings, notifies=job.notifies, promoter=promoter, deadline_s=job.verify_s)
    return decision, carry_out(decision, procedure, rules, actor=job.job.actor, acting_allowed=allowed)


def _tell_alerts(job: MonitorJob, computed: Computed) -> None:
    told = list(computed.alerts)
    if computed.nothing and computed.production.version is not None and computed.production.halted is None:
        told.append(computed.nothing)
    for alert in told:
        log.warning("%s: %s", job.strategy.name, alert)
    if told and job.notifies is not None:
        job.notifies.send(
            "warning",
            f"{job.strategy.name}: the {job.period} monitoring run needs a look",
            "\n".join(told),
            strategy=job.strategy.name,
            subject=f"monitor/{job.subject}",
        )


def _outcome(computed: Computed, decision: Decision, state: StrategyState) -> tuple[Outcome, str]:
    """The outcome and why. Only a version whose sequential test was judged, and on which no rule fired, is called healthy.

    Whether the version was left is read from the ledger, so that a run which was broken off after its act tells the same when it is done again.
    """
    before, change = computed.production, state.last_change
    if state.halt is not None and before.halted is None:
        return "halted", state.halt.reason
    if change is not None and change.action == "rollback" and before.version not in {None, state.current}:
        return "rolled_back", change.reason
    if computed.nothing:
        return "nothing_to_monitor", computed.nothing
    fired = [finding for finding in computed.findings if finding.verdict == "fired"]
    if fired:
        held = f"; a rollback was held back: {decision.suppressed}" if decision.suppressed else ""
        return "watch", f"{decision.reason if decision.finding else fired[0].reason}{held}"
    silent = [finding.rule for finding in computed.findings if finding.verdict == "not_enough_evidence"]
    if not computed.findings or "sequential" in silent:
        return "watch", decision.reason
    return "healthy", decision.reason


def trail_of(rows: Sequence[LedgerRow]) -> tuple[str, ...]:
    """The newest acts of the promotion ledger as text, newest first, each told once: by the row that ended it."""
    ended = [row for row in rows if row.state != "intent"]
    return tuple(
        f"{iso(row.created_at)[:16].replace('T', ' ')} UTC {row.action}"
        f"{'' if row.state == 'committed' else ' ' + row.state.upper()}: "
        f"{named(row.from_version)} to {named(row.to_version)}, by {row.actor}: {row.reason}"
        for row in reversed(ended[-_TRAIL:])
    )


def _record(
    job: MonitorJob,
    computed: Computed,
    outcome: Outcome,
    reason: str,
    now: int | None,
    rows: tuple[Any, ...],
    trail: tuple[str, ...],
) -> MonitorRecord:
    figures = computed.figures
    return MonitorRecord(
        strategy=job.strategy,
        period=job.period,
        as_of=job.as_of,
        window_start_at=job.as_of - job.strategy.monitor.window_days * DAY_MS,
        outcome=outcome,
        reason=reason,
        version=computed.production.version,
        now=now,
        live=None if figures is None else figures.live,
        own=None if figures is None else figures.own,
        since=None if figures is None else figures.since,
        promised={} if computed.bundle is None else computed.bundle.manifest.out_of_sample,
        sequential=None if figures is None else figures.sequential,
        drift=None if figures is None else figures.drift,
        importance=None if figures is None else figures.importance,
        findings=tuple(map(_line, computed.findings)),
        checklist=rows,
        alerts=computed.alerts,
        trail=trail,
        doubts=computed.doubts,
    )


def _line(finding: Finding) -> FindingLine:
    return FindingLine(
        finding.rule, finding.action, finding.verdict, finding.observed, finding.threshold, finding.unit, finding.n,
        finding.reason, finding.error_rate,
    )  # fmt: skip


def describe(monitored: Monitored) -> dict[str, Any]:
    """A run in plain values, for the command line and flow results."""
    record = monitored.record
    return {
        "strategy": record.strategy.name,
        "period": record.period,
        "as_of": record.as_of,
        "outcome": record.outcome,
        "reason": record.reason,
        "version": record.version,
        "production": named(record.now),
        "act": monitored.act.act if monitored.act.changed else "nothing",
        "incident": monitored.act.incident,
        "findings": {finding.rule: finding.verdict for finding in record.findings},
        "live": monitored.content["live"],
        "event": monitored.subject,
        "is_new": monitored.is_new,
        "report": str(monitored.page),
    }
