"""The steps of a deployment. Each looks first whether what it would do is there already, so that taking it again after a kill does nothing twice."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Final

from tidegate.bars.bars import iso
from tidegate.bars.interval import DAY_MS
from tidegate.deployment.journal import Entry, Journal, Plan, is_told
from tidegate.deployment.ports import Ports, Replicas
from tidegate.deployment.record import record_content, write_record
from tidegate.registry.events import Kind
from tidegate.registry.repair import repair
from tidegate.registry.rules import named
from tidegate.rollback import maintenance
from tidegate.rollback.act import roll_back
from tidegate.rollback.procedure import Procedure

_MINUTE_MS: Final = 60_000
_BACKUPS: Final[tuple[Kind, ...]] = ("backup",)
_TOLD: Final[tuple[Kind, ...]] = ("notification",)
_SLACK_MINUTES: Final = 60
"""A window lasts so much longer than the watch: backup, start and bots need their time."""


@dataclass(frozen=True, slots=True)
class Work:
    """What every step gets.

    Attributes:
        ports: what it works with.
        journal: what was done so far.
        plan: what changes.
        replicas: the serving processes.
        actor: who takes this step.
        abandoned: whether somebody gives the deployment up before its switch.
    """

    ports: Ports
    journal: Journal
    plan: Plan
    replicas: Replicas
    actor: str
    abandoned: bool = False

    @property
    def mark(self) -> str:
        """What everything that belongs to this deployment says as its reason."""
        return f"deployment {self.journal.id} of {self.plan.strategy} {named(self.plan.version)}"

    def entry(self, name: str, outcome: str, evidence: str, **details: object) -> Entry:
        """An entry of the journal."""
        return Entry(name, outcome, evidence, details, by=self.actor)


def notify(work: Work) -> Entry:
    """Tell team and business, once."""
    plan = work.plan
    body = (
        f"{work.mark}, before: {named(plan.from_version)}; by {plan.by}: {plan.reason}\n"
        f"changes: {'; '.join(plan.changes) or 'none in the model'}\n"
        f"watched for {plan.watch_minutes:g} minutes; going back leads to {_target(plan)}"
    )
    sent = _tell_once(work, f"{plan.strategy}: a deployment begins", body)
    return work.entry("notify", "done", sent)


def window(work: Work) -> Entry:
    """Start the maintenance window, once."""
    found = _window(work)
    if found is None:
        now = work.ports.events.database.clock()
        until = now + round((work.plan.watch_minutes + _SLACK_MINUTES) * _MINUTE_MS)
        found = maintenance.start(
            work.ports.events,
            work.plan.strategy,
            until=until,
            actor=work.actor,
            reason=work.mark,
            alertmanager=work.ports.alertmanager,
        )
    told = "; ".join((f"window {found.id} until {iso(found.until)}", *found.warnings))
    return work.entry("window", "done", told, window=found.id)


def backup(work: Work) -> Entry:
    """Take a backup, once, and another one where it is older than a day."""
    since = max(work.journal.entries()["plan"].at, work.ports.events.database.clock() - DAY_MS)
    rows = work.ports.events.rows("", kinds=_BACKUPS, since_ms=since)
    name = next((row.subject for row in rows if row.content.get("reason") == work.mark), None)
    name = work.ports.back_up(work.mark) if name is None else name
    return work.entry("backup", "done", f"backup {name}", backup=name)


def pull(work: Work) -> Entry:
    """Fetch the new version's bundle, and what processes are started from."""
    manifest = work.ports.promoter.eligibility.verified(work.plan.strategy, work.plan.version)
    fetched = f"bundle {manifest.digest()[:12]} is whole"
    return work.entry("pull", "done", f"{fetched}; {work.replicas.pull()}")


def start(work: Work) -> Entry:
    """Start the new one beside the old one."""
    return work.entry("start", "done", work.replicas.start())


def health(work: Work) -> Entry:
    """See that the new one is alive and ready."""
    return work.entry("health", "done", work.replicas.require_healthy())


def prediction(work: Work) -> Entry:
    """See that the new version's bundle answers its golden windows, before anybody gets an answer of it."""
    return work.entry("prediction", "done", work.ports.answers(work.plan.strategy, work.plan.version))


def switch(work: Work) -> Entry:
    """Send requests to the new one, put the version into production, and see that every process answers with it."""
    plan, promoter = work.plan, work.ports.promoter
    switched = work.replicas.switch()
    repair(promoter, plan.strategy)
    if plan.moves and promoter.current(plan.strategy) != plan.version:
        decision = promoter.versions.decision(plan.strategy, plan.version)
        promoter.promote(
            plan.strategy, plan.version, decision, actor=work.actor, reason=work.mark, champion=plan.from_version
        )
    verified = work.ports.verifies(plan.strategy, plan.version, plan.digest)
    outcome = {"verified": "done", "no_instances": "done"}.get(verified.verdict, "not_verified")
    return work.entry("switch", outcome, f"{switched}; {verified.summary()}", verification=verified.content())


def bots(work: Work) -> Entry:
    """See that every known bot receives predictions of the new version."""
    switched = work.journal.entries()["switch"]
    if switched.outcome != "done":
        return work.entry("bots", "skipped", "the serving processes did not follow")
    seen = work.ports.bots(work.plan.strategy, work.plan.version, switched.at)
    return work.entry("bots", seen.outcome, seen.evidence, **seen.details)


def watch(work: Work) -> Entry:
    """Watch by the rollback rules. The minutes count from now on: while no command ran, nobody watched."""
    entries = work.journal.entries()
    wrong = [name for name in ("switch", "bots") if entries[name].outcome != "done"]
    if wrong:
        return work.entry("watch", "skipped", f"there is nothing to watch for: {', '.join(wrong)}")
    until = work.ports.events.database.clock() + round(work.plan.watch_minutes * _MINUTE_MS)
    seen = work.ports.watches(work.plan.strategy, work.plan.version, until)
    return work.entry("watch", seen.outcome, seen.evidence, **seen.details)


def verdict(work: Work) -> Entry:
    """Keep, or go back."""
    plan, ports = work.plan, work.ports
    if work.abandoned:
        work.replicas.back()
        return work.entry("verdict", "abandoned", f"given up by {work.actor} before the switch")
    entries = work.journal.entries()
    bad = [f"{name}: {entries[name].evidence}" for name in ("switch", "bots", "watch") if not _is_good(entries, name)]
    bad += _moved_on(work)
    if not bad:
        return work.entry("verdict", "kept", f"{plan.strategy} {named(plan.version)} stays")
    why = "; ".join(bad)
    backwards = work.replicas.back()
    if plan.moves:
        procedure = Procedure(ports.promoter, ports.events, ports.verifies, ports.notifies)
        report = roll_back(
            procedure,
            plan.strategy,
            actor=work.actor,
            reason=f"{work.mark}: {why}"[:900],
            watch_minutes=round(plan.watch_minutes),
            leaving=plan.version,
        )
        backwards = f"{backwards}; {report.message}"
    return work.entry("verdict", "gone_back", f"{backwards}; because {why}")


def stop(work: Work) -> Entry:
    """Stop the old one, last; where the verdict is not to keep, the new one."""
    kept = work.journal.entries()["verdict"].outcome == "kept"
    told = work.replicas.stop_old() if kept else work.replicas.stop_new()
    return work.entry("stop", "done", f"{'old' if kept else 'new'}: {told}")


def record(work: Work) -> Entry:
    """Write the record, keep it with the version, end the window, tell people."""
    plan, ports = work.plan, work.ports
    content = record_content(work.journal.id, plan, work.journal.entries())
    paths = write_record(ports.folder, content)
    said = content["verdict"].replace("_", " ")
    tags = {"deployment": work.journal.id, "deployed_at": content["ended_at"], "deployment_verdict": said}
    ports.shows(plan, tags, paths)
    found = _window(work)
    if found is not None:
        maintenance.end(ports.events, found, actor=work.actor, reason=work.mark, alertmanager=ports.alertmanager)
    body = f"{work.mark}: {said}; {work.journal.entries()['verdict'].evidence}"
    _tell_once(work, f"{plan.strategy}: a deployment has ended: {said}", body)
    return work.entry("record", "done", f"{paths[0]}, {paths[1]}")


STEPS: Final[Mapping[str, Callable[[Work], Entry]]] = {
    one.__name__: one
    for one in (notify, window, backup, pull, start, health, prediction, switch, bots, watch, verdict, stop, record)
}


def told_of(plan: Plan) -> dict[str, object]:
    """Fields of the record that the journal has from the plan on."""
    return {
        "version": plan.version,
        "by": plan.by,
        "changes": "; ".join(plan.changes) or "none in the model",
        "rollback_plan_verified": plan.rollback_verified,
    }


def plan_entry(plan: Plan) -> Entry:
    """The journal's first entry."""
    told = f"{plan.strategy} {named(plan.from_version)} > {named(plan.version)}; going back leads to {_target(plan)}"
    return Entry("plan", "done", told, asdict(plan) | {"changes": list(plan.changes)}, by=plan.by)


def _target(plan: Plan) -> str:
    if plan.rollback_to is None:
        return "a halt: there is no version to go back to"
    return f"{named(plan.rollback_to)}, {'which answers' if plan.rollback_verified else 'which was NOT seen to answer'}"


def _is_good(entries: Mapping[str, Entry], name: str) -> bool:
    """Whether a step speaks for keeping. Where nobody could be watched, only if nobody was there at the switch either."""
    if entries[name].outcome == "not_watched":
        return bool(entries["switch"].details["verification"]["verdict"] == "no_instances")
    return entries[name].outcome == "done"


def _moved_on(work: Work) -> list[str]:
    """What was done to production since the watch, such as by the watch of the service while no command ran."""
    state = work.ports.promoter.ledger.state(work.plan.strategy)
    if state.halt is not None:
        return [f"halted by {state.halt.actor}: {state.halt.reason}"]
    return [] if state.current == work.plan.version else [f"production is {named(state.current)} by now"]


def _window(work: Work) -> maintenance.Window | None:
    """This deployment's window that is under way."""
    events = work.ports.events
    found = maintenance.windows(events, events.database.clock())
    return next((one for one in found if one.reason == work.mark), None)


def _tell_once(work: Work, title: str, body: str) -> str:
    """As a warning: what is less is only recorded by default, and this must reach people."""
    events, strategy, subject = work.ports.events, work.plan.strategy, work.journal.id
    before = events.rows(strategy, kinds=_TOLD, subject=subject)
    if not is_told(before, title):
        work.ports.notifies.send("warning", title, body, strategy=strategy, subject=subject)
    rows = events.rows(strategy, kinds=_TOLD, subject=subject)
    channels = sorted({str(row.content["channel"]) for row in rows if row.content.get("state") == "delivered"})
    return f"delivered by {', '.join(channels)}" if channels else "recorded; no channel has delivered it yet"
