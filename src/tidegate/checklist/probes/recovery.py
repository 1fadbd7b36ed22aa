"""Versions kept, backups before changes, restore drills against the list's times, and the ways on which people hear of an outage."""

from collections.abc import Mapping
from functools import partial
from typing import Final

from tidegate.bars.bars import iso
from tidegate.checklist.context import DAY_MS, Context
from tidegate.checklist.deployments import newest_deployment
from tidegate.checklist.finding import Finding, NotMeasured, failed, judged
from tidegate.checklist.probe import Probe
from tidegate.checklist.probes.bot import conformance
from tidegate.checklist.probes.deployment import backup_taken
from tidegate.checklist.probes.latency import total
from tidegate.errors import TidegateError

KEPT: Final = 3
OUTAGE_S, CORRUPTION_S, LOSS_S = 900.0, 300.0, 3600.0
_DRILL: Final = "no restore was ever tried: tidegate restore-drill"


def versions_kept(context: Context) -> Finding:
    """The registry still has the last three versions, and they verify; backups hold as many."""
    name, kept = context.strategy.name, []
    newest = context.produced.version
    wanted = sorted({*context.state.productions[:KEPT], *range(max(1, newest - KEPT + 1), newest + 1)}, reverse=True)[
        :KEPT
    ]
    broken = []
    for version in wanted:
        try:
            context.versions.verified_manifest(name, version)
            kept.append(version)
        except TidegateError as error:
            broken.append(f"v{version}: {error.what}"[:160])
    told = f"of {', '.join(f'v{one}' for one in wanted)} {len(kept)} verify; backups keep {context.settings.backup.keep_versions} versions"
    return judged(
        not broken and context.settings.backup.keep_versions >= KEPT,
        told + (f"; {'; '.join(broken)}" if broken else ""),
        context.link(),
    )


def backup_first(context: Context) -> Finding:
    """The newest deployment took a backup before its switch; without one on record, a backup came within a day before the newest promotion."""
    try:
        found = newest_deployment(context)
    except NotMeasured:
        return backup_taken(context)
    taken, switch = found.steps.get("backup"), found.steps.get("switch")
    if taken is None:
        return failed(f"deployment {found.id} took no backup", found.id)
    before = switch is None or taken.at <= switch.at
    return judged(
        taken.is_good and before,
        f"deployment {found.id}: backup {taken.outcome} at {iso(taken.at)}, {'before' if before else 'AFTER'} the switch",
        found.id,
    )


def restore_tested(context: Context) -> Finding:
    """The newest restore drill passed, within the last 31 days, and the restored service answered."""
    drill = context.needed("restore_drill", _DRILL, strategy="")
    age = context.age_days(drill.created_at)
    cases = ", ".join(f"{one['case']} {one['verdict']}" for one in drill.content["cases"])
    answered = ", ".join(drill.content.get("answered", ())) or "nothing"
    is_young = -0.01 <= age <= context.settings.checklist.record_days
    good = drill.content.get("passed") is True and bool(drill.content["cases"]) and bool(drill.content.get("answered"))
    return judged(good and is_young, f"drill {drill.subject}, {age:.1f} days ago: {cases}; answered: {answered}")


def recovery_time(context: Context, *, case: str, most_s: float) -> Finding:
    """The newest drill mended this kind of loss within the list's time.

    Args:
        context: what is looked at.
        case: as the drill names it.
        most_s: seconds.
    """
    drill = context.needed("restore_drill", _DRILL, strategy="")
    found = next((one for one in drill.content["cases"] if one["case"] == case), None)
    if found is None:
        return failed(f"drill {drill.subject} did not try {case}")
    took_s, age = found.get("took_s"), context.age_days(drill.created_at)
    told = "not mended" if took_s is None else f"mended in {took_s:.1f} s"
    good = (
        took_s is not None
        and 0 <= took_s < most_s
        and not found.get("fault")
        and -0.01 <= age <= context.settings.checklist.record_days
    )
    return judged(
        good,
        f"drill {drill.subject}, {age:.1f} days ago: {case} {told}, < {most_s:g} s is asked {found.get('fault') or ''}".rstrip(),
    )


def fallback(context: Context) -> Finding:
    """Fallbacks hold in the conformance kit, and no live bot has made a decision that nobody is named for."""
    kept = conformance(context, subjects=("fallbacks",))
    live = context.bot_metrics
    made = sum(total(found, "tidegate_client_decisions_total") for found in live.values())
    fallen = sum(total(found, "tidegate_client_decisions_total", source="fallback") for found in live.values())
    opened = sum(total(found, "tidegate_client_breaker_opened_total") for found in live.values())
    told = f"{kept.evidence}; {len(live)} bots made {made:.0f} decisions, {fallen:.0f} by their fallback, breakers opened {opened:.0f} times"
    return judged(kept.verdict == "pass" and made > 0 and (not opened or fallen > 0), told, kept.link)


def alerts(context: Context) -> Finding:
    """The alert that always fires has reached Alertmanager, so an outage's would as well."""
    address = context.settings.notify.alertmanager_url
    if address is None:
        raise NotMeasured("Alertmanager is not asked: set notify.alertmanager_url")
    rule = context.alerts.get("ServiceDown", {})
    active = context.web.json(f"{address.rstrip('/')}/api/v2/alerts?active=true&silenced=true&inhibited=true")
    alive = [one for one in active if one["labels"].get("alertname") == "Watchdog"]
    known = [one for one in context.prometheus.get("alerts")["alerts"] if one["labels"].get("alertname") == "Watchdog"]
    told = f"Alertmanager has {len(active)} alerts, the one that always fires {'among them' if alive else 'NOT among them'}; ServiceDown waits {rule.get('for', '?')}"
    return judged(bool(alive and known) and rule.get("for") in {"1m", "30s", "0s"}, told, address)


def on_call(context: Context) -> Finding:
    """A notification reached people within the record's days, none has failed since, and there is somebody to tell."""
    notify = context.settings.notify
    if not notify.webhook_urls and notify.smtp_host is None:
        raise NotMeasured("nobody is told: set notify.webhook_urls or notify.smtp_host")
    since = context.now_ms - context.settings.checklist.record_days * DAY_MS
    rows = context.rows("notification", since_ms=since)
    states = [row for row in rows if row.content.get("state") in {"delivered", "failed"}]
    if not states:
        raise NotMeasured("no notification was sent yet: tidegate notify test")
    newest = states[-1]
    told = f"{sum(row.content['state'] == 'delivered' for row in states)} of {len(states)} deliveries succeeded, the newest {newest.content['state']} at {iso(newest.created_at)}"
    return judged(newest.content["state"] == "delivered", told)


def held(context: Context, *, part: str, what: str) -> Finding:
    """The newest backup in the repository holds a part, and is young enough.

    Args:
        context: what is looked at.
        part: as the backup's manifest names it.
        what: it is, in words.
    """
    found = context.backup
    contents = next((one for one in found.parts if one.name == part), None)
    hours, most = (context.now_ms - found.taken_at) / 3_600_000, context.settings.backup.late_after_hours
    told = "not in it" if contents is None else f"{contents.files} files, {contents.bytes} bytes"
    evidence = f"backup {found.id} of {iso(found.taken_at)}, {hours:.1f} h old: {what}: {told}"
    return judged(contents is not None and contents.files > 0 and -0.1 <= hours <= most, evidence)


def training_data(context: Context) -> Finding:
    """The newest backup holds the bars. A simulated market has none: they come again from the strategy file, which is a line of its own."""
    if (
        context.name
        and context.strategy.kind == "simulated"
        and not any((context.settings.paths.data / "bars").glob("**/*.parquet"))
    ):
        raise NotMeasured(
            "a simulated market keeps no bars: they come again from the strategy file, see loss.configuration"
        )
    return held(context, part="bars", what="bars")


def models(context: Context) -> Finding:
    """The newest backup in the repository holds the models' files, a version of the strategy among them, and every version in it was whole."""
    files = held(context, part="artifacts", what="models and artifacts")
    faults = [f"{one.name}: {one.fault}" for one in context.backup.versions if one.fault]
    whole = [one.name for one in context.backup.versions if not one.fault]
    own = [one for one in context.backup.versions if not one.fault and context.name in {"", one.strategy}]
    evidence = f"{files.evidence}; whole: {', '.join(whole) or 'none'}; damaged: {'; '.join(faults) or 'none'}"
    return judged(files.verdict == "pass" and bool(own) and not faults, evidence)


PROBES: Final[Mapping[str, Probe]] = {
    "corruption.versions_kept": versions_kept,
    "corruption.backup_first": backup_first,
    "corruption.restore_tested": restore_tested,
    "corruption.recovery_time": partial(recovery_time, case="model corruption", most_s=CORRUPTION_S),
    "outage.fallback": fallback,
    "outage.alerts": alerts,
    "outage.on_call": on_call,
    "outage.recovery_time": partial(recovery_time, case="outage", most_s=OUTAGE_S),
    "loss.training_data": training_data,
    "loss.models": models,
    "loss.configuration": partial(held, part="configuration", what="settings and strategy files"),
    "loss.recovery_time": partial(recovery_time, case="data loss", most_s=LOSS_S),
}
