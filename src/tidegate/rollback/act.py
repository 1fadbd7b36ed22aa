"""The procedure of a rollback: decide, act through the promotion ledger, verify every serving process, open the incident, tell people.

`carry_out` is for rules, `roll_back` for people; after the act both go the same way. Every step may be done again: the promotion ledger does an act
once, an incident has one subject, and `finish` completes whatever a killed process left behind, which the ledgers tell. What was left behind never comes
before an act and never keeps one from being done; nor does whatever goes wrong in asking the serving processes, which is told as not verified.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from tidegate.bars.bars import iso
from tidegate.bars.interval import DAY_MS
from tidegate.errors import TidegateError
from tidegate.registry.promotion import Outcome
from tidegate.registry.rules import named
from tidegate.rollback.automatic import Taken, acts_taken, read_situation
from tidegate.rollback.decision import ACTS, Decision, decide
from tidegate.rollback.incidents import find_incident, incidents, note_incident, open_incident
from tidegate.rollback.procedure import ActReport, Procedure
from tidegate.rollback.verification import Verification
from tidegate.rollback.words import decision_content, decision_subject, finding_content, incident_words
from tidegate.strategy.strategy import Rollback

log = logging.getLogger(__name__)

_MINUTE_MS: Final = 60_000
_LONGEST_FAULT: Final = 500


def carry_out(
    decision: Decision, procedure: Procedure, rules: Rollback, *, actor: str, acting_allowed: bool
) -> ActReport:
    """Carry an automatic decision out.

    Before an act the ledgers are read again and the decision is made again by the same findings: another process may have acted in between.
    Alerts and suppressed acts are recorded and told once a rule, version and day.

    Args:
        decision: as `decision.decide` made it.
        procedure: what it works with.
        rules: of the strategy.
        actor: who acts, for the ledgers.
        acting_allowed: whether rules may act here (`watch.act`).

    Raises:
        PromotionConflict: another act came between; nothing was done.
        ConfigurationError: acts must be signed, and there is no key.
        RegistryError: MLflow or a ledger could not be reached; doing it again completes what was begun.
    """
    if decision.act in ACTS:
        decision = _decided_again(decision, procedure, rules, acting_allowed=acting_allowed)
    if decision.act not in ACTS:
        return _with_the_rest(_recorded(decision, procedure, actor), procedure, decision.strategy)
    last_row = procedure.promoter.ledger.state(decision.strategy).last_row
    key = "start" if last_row is None else str(last_row.id)
    _record(decision, procedure, actor, key)
    procedure.on_step("decided")
    outcome = _act(decision, procedure, actor, rules)
    procedure.on_step("acted")
    report = ActReport(decision.act, outcome.changed, outcome.message, row=outcome.row)
    if outcome.changed:
        report = _completed(procedure, report, decision.strategy, verify=True)
    elif _is_still_there(procedure, decision):
        report = _recorded(replace(decision, act="alert", suppressed=outcome.message), procedure, actor)
    return _with_the_rest(report, procedure, decision.strategy)


def roll_back(
    procedure: Procedure,
    strategy: str,
    *,
    actor: str,
    reason: str,
    watch_minutes: int,
    leaving: int | None = None,
    to: int | None = None,
    keep: bool = False,
    verify: bool = True,
) -> ActReport:
    """Roll back by a person's word.

    Args:
        procedure: what it works with.
        strategy: the strategy's name.
        actor: who rolls back.
        reason: why.
        watch_minutes: how long the incident is watched for.
        leaving: the version to leave; nothing is done when production is another one.
        to: the version to go to; by default the last good one.
        keep: do not bar the version that is left.
        verify: ask the serving processes, also where there was nothing to do.

    Raises:
        ConfigurationError: `leaving` and `to` are the same, or acts must be signed and there is no key.
        PromotionRefused: the named target may not be used.
        PromotionConflict: another act is under way.
        RegistryError: MLflow or a ledger could not be reached.
    """
    cause = {"automatic": False, "rule": None, "watch_minutes": watch_minutes, "logs": list(procedure.logs)}
    outcome = procedure.promoter.rollback(
        strategy, actor=actor, reason=reason, to_version=to, leaving=leaving, bar=not keep, evidence=cause
    )
    procedure.on_step("acted")
    report = ActReport("roll_back", outcome.changed, outcome.message, row=outcome.row)
    if outcome.changed:
        report = _completed(procedure, report, strategy, verify=verify)
    elif verify:
        report = replace(report, verification=_asked(procedure, strategy, "now"))
    return _with_the_rest(report, procedure, strategy)


def finish(procedure: Procedure, strategy: str) -> tuple[str, ...]:
    """Complete acts that were broken off after the ledger had them: verify, open the incident, tell people. Returns the incidents' ids.

    The watch and each monitoring run call it, so that a killed process leaves nothing half-done for longer than that.

    Raises:
        LedgerError: a ledger cannot be read or written.
    """
    known = {one.id: one for one in incidents(procedure.events, strategy)}
    completed = []
    for taken in _taken(procedure, strategy):
        name = taken.incident
        incident = known.get(name)
        told = incident is not None and any("told" in note.content for note in incident.notes)
        if incident is not None and (told or procedure.notifies is None):
            continue
        if incident is None:
            _open(procedure, taken, _asked(procedure, strategy, name))
        _tell(procedure, taken)
        completed.append(name)
    return tuple(completed)


def _with_the_rest(report: ActReport, procedure: Procedure, strategy: str) -> ActReport:
    """The report, and what earlier acts had left to do. That stays for the next time where it cannot be done now: this call's own act is done."""
    try:
        return replace(report, finished=finish(procedure, strategy))
    except TidegateError as error:
        log.warning("what an earlier act of %s left to do is not done yet: %s", strategy, error)
        return report


def _taken(procedure: Procedure, strategy: str) -> list[Taken]:
    return acts_taken(procedure.promoter.ledger.rows(strategy))


def _decided_again(decision: Decision, procedure: Procedure, rules: Rollback, *, acting_allowed: bool) -> Decision:
    ledger, events = procedure.promoter.ledger, procedure.events
    now = read_situation(ledger, events, decision.strategy, rules, acting_allowed=acting_allowed)
    if now.version != decision.version:
        return replace(decision, act="nothing", suppressed=f"production is {named(now.version)} by now")
    return decide(decision.findings, now)


def _is_still_there(procedure: Procedure, decision: Decision) -> bool:
    """Whether the version that was to be left is in production as before, and the strategy not halted: then people must know that nothing was done."""
    state = procedure.promoter.ledger.state(decision.strategy)
    return state.halt is None and state.current == decision.version


def _recorded(decision: Decision, procedure: Procedure, actor: str) -> ActReport:
    """An alert, or an act that was held back: on record and told once a day."""
    report = ActReport(decision.act, False, decision.reason, decision.suppressed)
    if decision.finding is None:
        return report
    day = iso(procedure.events.database.clock() // DAY_MS * DAY_MS)[:10]
    is_new = _record(decision, procedure, actor, day)
    if is_new and decision.act == "alert" and procedure.notifies is not None:
        finding = decision.finding
        held = f"\nIt asks for a rollback, which was held back: {decision.suppressed}." if decision.suppressed else ""
        procedure.notifies.send(
            "critical" if decision.suppressed else "warning",
            f"{decision.strategy} {named(decision.version)}: rule {finding.rule} fired",
            f"{finding.reason}\nHow often it fires on a healthy model: {finding.error_rate}.{held}",
            strategy=decision.strategy,
            subject=decision_subject(decision, day),
        )
    return report


def _record(decision: Decision, procedure: Procedure, actor: str, key: str) -> bool:
    """Write the decision once; False where it is on record."""
    written = procedure.events.append(
        "decision",
        strategy=decision.strategy,
        subject=decision_subject(decision, key),
        actor=actor,
        content=decision_content(decision),
        once=True,
    )
    return written is not None


def _act(decision: Decision, procedure: Procedure, actor: str, rules: Rollback) -> Outcome:
    assert decision.finding is not None
    assert decision.version is not None
    promoter, strategy, finding = procedure.promoter, decision.strategy, decision.finding
    cause: Mapping[str, Any] = {
        "automatic": True,
        "rule": finding.rule,
        "finding": finding_content(finding),
        "watch_minutes": rules.watch_minutes,
        "logs": list(procedure.logs),
    }
    reason = f"{finding.rule}: {decision.reason}"
    state = promoter.ledger.state(strategy)
    # Where there is no good version, the rollback itself halts, and bars the version that is left as well.
    if decision.act == "roll_back" or not state.good_versions(without=(state.current,)):
        return promoter.rollback(strategy, actor=actor, reason=reason, leaving=decision.version, evidence=cause)
    return promoter.halt(strategy, actor=actor, reason=reason, leaving=decision.version, evidence=cause)


def _completed(procedure: Procedure, report: ActReport, strategy: str, *, verify: bool) -> ActReport:
    """What follows an act that this call did."""
    assert report.row is not None
    row_id = report.row.id
    taken = next(one for one in _taken(procedure, strategy) if one.row.id == row_id)
    verification = _asked(procedure, strategy, taken.incident) if verify else None
    _open(procedure, taken, verification)
    _tell(procedure, taken)
    act: Literal["halt", "roll_back"] = "halt" if taken.row.action == "halt" else "roll_back"
    return replace(report, act=act, verification=verification, incident=taken.incident)


def _asked(procedure: Procedure, strategy: str, subject: str) -> Verification:
    """Ask the serving processes for what the ledger says now, which may be a later act than the one that is completed."""
    state = procedure.promoter.ledger.state(strategy)
    version = None if state.halt is not None else state.current
    digest = None if version is None else state.digests.get(version)
    try:
        found = procedure.verifies(strategy, version, digest)
    except Exception as error:  # the border: the act is done, and its incident and people's word must follow
        log.exception("the serving processes of %s could not be asked", strategy)
        fault = f"the serving processes could not be asked: {type(error).__name__}: {error}"[:_LONGEST_FAULT]
        found = Verification(strategy, version, digest, procedure.events.database.clock(), 0.0, (), fault)
    name = subject if subject != "now" else f"{strategy}/{named(version)}"
    content = found.content()
    procedure.events.append("verification", strategy=strategy, subject=name, actor="tidegate rollback", content=content)
    procedure.on_step("verified")
    return found


def _open(procedure: Procedure, taken: Taken, verification: Verification | None) -> None:
    row, cause = taken.row, taken.cause
    content = {
        "act": row.action,
        "automatic": taken.automatic,
        "from_version": row.from_version,
        "to_version": row.to_version,
        "rule": cause.get("rule"),
        "reason": taken.reason,
        "ledger_row": row.id,
        "acted_at": row.created_at,
        "finding": cause.get("finding"),
        "verification": None if verification is None else verification.content(),
        "logs": cause.get("logs", []),
        "watch_until": row.created_at + int(cause.get("watch_minutes", 0)) * _MINUTE_MS,
    }
    open_incident(procedure.events, row.strategy, row.id, actor=row.actor, content=content)
    procedure.on_step("incident opened")


def _tell(procedure: Procedure, taken: Taken) -> None:
    """Tell people of an act, and note in the incident that they were told."""
    if procedure.notifies is None:
        return
    incident = find_incident(procedure.events, taken.incident)
    title, body = incident_words(incident)
    procedure.notifies.send("critical", title, body, strategy=incident.strategy, subject=incident.id)
    procedure.on_step("told")
    note_incident(procedure.events, incident.id, actor=incident.opened_by, content={"told": title})
