"""Daily, weekly and monthly checks: the rows that monitoring has computed, no older than their period."""

from collections.abc import Mapping
from functools import partial
from typing import Final, Literal

from tidegate.checklist.context import Context
from tidegate.checklist.finding import Finding, NotMeasured, failed, judged
from tidegate.checklist.probe import Probe
from tidegate.errors import ServiceError
from tidegate.registry.events import Event

Period = Literal["daily", "weekly", "monthly"]
OLDEST_DAYS: Final[Mapping[Period, float]] = {"daily": 1.25, "weekly": 8.0, "monthly": 32.0}
_COVERS: Final[Mapping[Period, tuple[str, ...]]] = {
    "daily": ("daily", "weekly", "monthly"),
    "weekly": ("weekly", "monthly"),
    "monthly": ("monthly",),
}
_GROWTH: Final = 1.5


def monitored_row(context: Context, *, period: Period, rows: tuple[str, ...]) -> Finding:
    """What the newest run of a period says in some of its rows; all must pass.

    Args:
        context: what is looked at.
        period: of the rows. A weekly run has the daily rows as well, a monthly one all.
        rows: their names.
    """
    runs = [
        one
        for one in context.rows("monitor_run", context.strategy.name)
        if one.content.get("period") in _COVERS[period]
    ]
    if not runs:
        raise NotMeasured(f"no {period} monitoring run is on record: tidegate monitor {context.name} --period {period}")
    newest = max(runs, key=lambda one: (int(one.content["as_of"]), one.id))
    link = str(newest.content.get("report") or "")
    age = context.age_days(_looked_at(context, int(newest.content["as_of"]), newest.created_at))
    if not 0 <= age + 0.05 <= OLDEST_DAYS[period] + 0.05:
        return failed(
            f"the newest run, {newest.subject}, is {age:.1f} days old, {OLDEST_DAYS[period]:g} are allowed", link
        )
    found = {one["row"]: one for one in newest.content["checklist"]}
    told = "; ".join(f"{name}: {_told(found.get(name))}" for name in rows)
    verdicts = [found[name]["verdict"] if name in found else "missing" for name in rows]
    evidence = f"{newest.subject}: {told}"
    if "fail" in verdicts or "missing" in verdicts:
        return failed(evidence, link)
    if "not_measured" in verdicts:
        raise NotMeasured(evidence)
    return judged(all(one == "pass" for one in verdicts), evidence, link)


def newest_run(context: Context) -> Event:
    """The newest monitoring run, which is of the last day and about the version in production.

    Raises:
        NotMeasured: there is none, or it is about another version.
        ServiceError: it is too old.
    """
    run = context.needed("monitor_run", f"monitoring has not run yet: tidegate monitor {context.name}")
    age = context.age_days(_looked_at(context, int(run.content["as_of"]), run.created_at))
    most = OLDEST_DAYS["daily"]
    if not 0 <= age + 0.05 <= most + 0.05:
        raise ServiceError(
            f"the newest run, {run.subject}, is too old",
            expected=f"{most:g} days at most",
            actual=f"{age:.1f}",
            next_step=f"tidegate monitor {context.name}",
        )
    version, current = run.content.get("version"), context.state.current
    if version != current:
        about, now = ("none" if one is None else f"v{one}" for one in (version, current))
        raise NotMeasured(f"the newest run, {run.subject}, is about {about}, and in production is {now}")
    return run


def _looked_at(context: Context, as_of: int, created_at: int) -> int:
    """A simulated market's time is not the clock's: there the time of writing tells how old a run is."""
    return created_at if context.strategy.kind == "simulated" else as_of


def _told(row: "Mapping[str, str] | None") -> str:
    if row is None:
        return "not in this run"
    return " ".join(
        part
        for part in (
            row["verdict"].replace("_", " "),
            row["observed"],
            f"({row['threshold']})" if row["threshold"] else "",
            row["reason"],
        )
        if part
    )[:220]


def resource_trends(context: Context) -> Finding:
    """Memory and processor time of the serving processes over a week, from Prometheus: memory has not grown by half, the processor is not full."""
    prometheus, job = context.prometheus, '{job="tidegate-serving"}'
    now = prometheus.values(f"max(process_resident_memory_bytes{job})")
    week = prometheus.values(f"max(avg_over_time(process_resident_memory_bytes{job}[7d]))")
    busy = prometheus.values(f"max(rate(process_cpu_seconds_total{job}[1h]))")
    if not now or not week or not busy:
        raise NotMeasured("Prometheus has no hour of the serving processes' resources yet")
    before = prometheus.values(f"max(max_over_time(process_resident_memory_bytes{job}[6d] offset 1d))")
    if not before:
        raise NotMeasured("Prometheus knows the serving processes for less than a day, which is no trend yet")
    evidence = f"memory {now[0] / 1e6:.0f} MB, over the week {week[0] / 1e6:.0f} MB on average; processor {busy[0]:.1%} of one over the last hour"
    return judged(now[0] <= _GROWTH * week[0] and busy[0] < 0.9, evidence, prometheus.address)


def _row(period: Period, *rows: str) -> Probe:
    return partial(monitored_row, period=period, rows=rows)


PROBES: Final[Mapping[str, Probe]] = {
    "daily.uptime": _row("daily", "uptime"),
    "daily.latency": _row("daily", "average latency"),
    "daily.errors": _row("daily", "error rate"),
    "daily.logs": _row("daily", "no critical errors in logs"),
    "weekly.performance": _row("weekly", "win rate against its target", "Sharpe ratio against its target"),
    "weekly.drift": _row("weekly", "drift analysis"),
    "weekly.importance": _row("weekly", "feature importance is stable"),
    "weekly.resources": resource_trends,
    "monthly.retrained": _row("monthly", "retrained with new data"),
    "monthly.backtested": _row("monthly", "backtested"),
    "monthly.compared": _row("monthly", "new model compared with the old one"),
    "monthly.updated": _row("monthly", "updated only if better than 5 %"),
}
