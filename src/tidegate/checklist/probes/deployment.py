"""Before, during and after a deployment: plans, notices, its record, and what the service does since."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Final

from tidegate.bars.bars import iso
from tidegate.checklist.context import DAY_MS, Context
from tidegate.checklist.deployments import Deployment, newest_deployment
from tidegate.checklist.finding import Finding, NotMeasured, failed, judged
from tidegate.checklist.probe import Probe
from tidegate.checklist.probes.daily import monitored_row, newest_run
from tidegate.checklist.service import Samples

P95_S: Final = 0.010
WATCH_MS: Final = 30 * 60_000
_PREDICT: Final = "/v1/predict"


def page(context: Context, *, path: str, heading: str, least: int) -> Finding:
    """A page has a section with steps.

    Args:
        context: what is looked at.
        path: of the page.
        heading: begins the section's heading, in lower case.
        least: fewest lines of the section.
    """
    lines = context.text(path).splitlines()
    starts = [
        at for at, line in enumerate(lines) if line.startswith("#") and line.lstrip("# ").lower().startswith(heading)
    ]
    if not starts:
        return failed(f"{path} has no section {heading!r}", path)
    rest = lines[starts[0] + 1 :]
    level = lines[starts[0]].index(" ")
    end = next((at for at, line in enumerate(rest) if line.startswith("#") and line.index(" ") <= level), len(rest))
    told = [line for line in rest[:end] if line.strip()]
    return judged(len(told) >= least, f"{path}, section {lines[starts[0]].lstrip('# ')!r}: {len(told)} lines", path)


def window(context: Context) -> Finding:
    """A maintenance window is under way, or the newest deployment was made in one."""
    rows = context.rows("maintenance_started")
    mine = [row for row in rows if row.strategy in {"", context.strategy.name}]
    if not mine:
        raise NotMeasured("no maintenance window was ever started: tidegate maintenance start (where one is needed)")
    newest = mine[-1]
    ends = [row.created_at for row in context.rows("maintenance_ended") if row.subject == newest.subject]
    until = min([int(newest.content["until"]), *ends])
    under_way = newest.created_at <= context.now_ms <= until
    try:
        found = newest_deployment(context)
    except NotMeasured:
        return judged(
            under_way,
            f"the newest window ended {iso(until)}" if not under_way else f"a window is under way until {iso(until)}",
        )
    switch = found.steps.get("switch")
    at = found.at if switch is None else switch.at
    inside = newest.created_at - 60_000 <= at <= until
    return judged(
        under_way or inside,
        f"window {newest.subject} from {iso(newest.created_at)} to {iso(until)}; deployment {found.id} {'came to' if switch is None else 'switched'} {iso(at)}",
    )


def team_notified(context: Context) -> Finding:
    """A notification about the strategy was delivered since the day before its newest change of version."""
    change = context.state.last_change
    if change is None:
        raise NotMeasured(f"no version of {context.strategy.name} was ever put into production")
    since = change.created_at - DAY_MS
    told = context.rows("notification", context.strategy.name, since_ms=since)
    if not told:
        raise NotMeasured(
            "nobody was told since the newest change of version: notify.webhook_urls, tidegate notify test"
        )
    delivered = [row for row in told if row.content.get("state") == "delivered"]
    lost = [row for row in told if row.content.get("state") == "failed"]
    newest = iso(delivered[-1].created_at) if delivered else "none"
    return judged(
        bool(delivered), f"{len(delivered)} deliveries since {iso(since)}, the newest {newest}; {len(lost)} failed"
    )


def backup_taken(context: Context) -> Finding:
    """There is a backup of the day before the newest change of version."""
    change = context.state.last_change
    if change is None:
        raise NotMeasured(f"no version of {context.strategy.name} was ever put into production")
    rows = context.rows("backup", "")
    before = [int(row.content["taken_at"]) for row in rows if int(row.content["taken_at"]) <= change.created_at]
    if not rows:
        raise NotMeasured("no backup is on record: tidegate backup")
    newest = max(before, default=0)
    told = iso(newest) if newest else "none"
    return judged(
        change.created_at - newest <= DAY_MS, f"changed {iso(change.created_at)}; the newest backup before it: {told}"
    )


def step(context: Context, *, names: tuple[str, ...]) -> Finding:
    """A step of the newest deployment was done.

    Args:
        context: what is looked at.
        names: under which the record may have it; the first one that it has counts.
    """
    found = newest_deployment(context)
    done = next((found.steps[name] for name in names if name in found.steps), None)
    if done is None and found.under_way:
        raise NotMeasured(f"deployment {found.id} is under way, and has not come to {' or '.join(names)} yet")
    if done is None:
        return failed(
            f"deployment {found.id} has no step {' or '.join(names)}; it has {', '.join(found.steps) or 'none'}",
            found.id,
        )
    return judged(
        done.is_good,
        f"deployment {found.id}: {done.name} {done.outcome} at {iso(done.at)}: {done.evidence[:200]}",
        found.id,
    )


def monitored(context: Context) -> Finding:
    """The newest deployment was watched for 30 minutes to its good end."""
    found = newest_deployment(context)
    watch = found.steps.get("watch")
    if watch is None and found.under_way:
        raise NotMeasured(f"deployment {found.id} is under way, and has not come to its watch yet")
    if watch is None:
        return failed(f"deployment {found.id} was not watched", found.id)
    began = max((one.at for one in found.steps.values() if one.at < watch.at), default=watch.at)
    minutes = (watch.at - began) / 60_000
    return judged(
        watch.is_good and watch.at - began >= WATCH_MS,
        f"deployment {found.id}: watched {minutes:.0f} minutes, {watch.outcome}",
        found.id,
    )


def dashboard(context: Context) -> Finding:
    """Grafana answers and has the project's dashboards."""
    address = context.settings.checklist.grafana_url
    if address is None:
        raise NotMeasured("Grafana is not asked: set checklist.grafana_url")
    wanted = sorted(path.stem for path in (context.root / "docker/grafana/dashboards").glob("*.json"))
    have = {one["uid"] for one in context.web.json(f"{address.rstrip('/')}/api/search?type=dash-db")}
    missing = [name for name in wanted if name not in have]
    return judged(
        bool(wanted) and not missing,
        f"Grafana has {len(have)} dashboards, missing: {', '.join(missing) or 'none'}",
        address,
    )


def latency(context: Context) -> Finding:
    """The p95 of predictions since each process's start, from its own histogram, is under 10 ms."""
    found = {service.address: p95(service.metrics) for service in context.services}
    if all(math.isnan(value) for value in found.values()):
        raise NotMeasured("no process has answered a prediction yet")
    worst = max(value for value in found.values() if not math.isnan(value))
    told = ", ".join(
        f"{address}: {'no predictions' if math.isnan(value) else f'at most {1000 * value:g} ms'}"
        for address, value in found.items()
    )
    return judged(worst <= P95_S, f"p95 {told}; < 10 ms is asked", context.service.address + "/metrics")


def p95(found: Samples) -> float:
    """Upper end of the bucket that holds the 95th percentile of predictions, seconds; NaN without any."""
    name = "tidegate_request_seconds_bucket"
    buckets = sorted(
        (float(labels["le"]), value) for labels, value in found.get(name, ()) if labels["route"] == _PREDICT
    )
    if not buckets or not buckets[-1][1] > 0:
        return math.nan
    return next(bound for bound, count in buckets if count >= 0.95 * buckets[-1][1])


def accuracy(context: Context) -> Finding:
    """The newest monitoring run: the sequential test, which compares live trades with the backtest's win rate, has raised no alarm."""
    run = newest_run(context)
    test = run.content.get("sequential")
    if test is None or not isinstance(test.get("trades"), int) or test["trades"] < 1:
        raise NotMeasured(f"{run.subject}: there are no closed trades to compare with the backtest yet")
    live, promised = run.content["live"].get("win_rate"), run.content["promised"].get("win_rate")
    told = f"{run.subject}: live win rate {live}, promised {promised}, {test['trades']} trades, statistic {test['statistic']} of {test['threshold']}"
    return judged(test["alarm"] is False and live is not None, told, str(run.content.get("report") or ""))


def error_logs(context: Context) -> Finding:
    """The newest daily run: no errors in the logs."""
    return monitored_row(context, period="daily", rows=("no critical errors in logs",))


def documented(context: Context) -> Finding:
    """The newest deployment's record tells date, version and changes, and is about what is in production."""
    found = newest_deployment(context)
    missing = [name for name in ("version", "by", "changes") if not str(found.told.get(name, "")).strip()]
    version = context.state.current
    same = found.told.get("version") == version
    return judged(
        not missing and same,
        f"deployment {found.id} of {iso(found.at)}: v{found.told.get('version')}, production v{version}; missing: {', '.join(missing) or 'nothing'}",
        found.id,
    )


def field(context: Context, *, name: str) -> Finding:
    """A field of the form, as the newest deployment's record has it.

    Args:
        context: what is looked at.
        name: of the field.
    """
    found = newest_deployment(context)
    value = _field(found, name)
    return judged(bool(value), f"deployment {found.id}: {value or 'not told'}", found.id)


def _field(found: Deployment, name: str) -> str:
    match name:
        case "date":
            return iso(found.at)[:10] if any(one.is_good for one in found.steps.values()) else ""
        case "rollback_plan_verified":
            return "yes" if found.told.get(name) is True else ""
        case _:
            return str(found.told.get(name) or "").strip()


PROBES: Final[Mapping[str, Probe]] = {
    "deployment.plan": partial(page, path="docs/deployment.md", heading="deployment plan", least=5),
    "deployment.rollback_plan": partial(page, path="docs/deployment.md", heading="rollback plan", least=3),
    "deployment.window": window,
    "deployment.team_notified": team_notified,
    "deployment.backup": backup_taken,
    "steps.stop_old": partial(step, names=("stop",)),
    "steps.deploy_new": partial(step, names=("start",)),
    "steps.health": partial(step, names=("health",)),
    "steps.prediction": partial(step, names=("prediction",)),
    "steps.logs": partial(step, names=("verdict", "watch")),
    "steps.restart_bot": partial(step, names=("switch",)),
    "steps.bot_receives": partial(step, names=("bots",)),
    "steps.monitored": monitored,
    "after.dashboard": dashboard,
    "after.latency": latency,
    "after.accuracy": accuracy,
    "after.error_logs": error_logs,
    "after.documented": documented,
    "field.date": partial(field, name="date"),
    "field.by": partial(field, name="by"),
    "field.version": partial(field, name="version"),
    "field.rollback_verified": partial(field, name="rollback_plan_verified"),
}
