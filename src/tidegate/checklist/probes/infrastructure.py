"""The image, health, Prometheus and Grafana, central logs, backups."""

import json
import socket
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from tidegate.bars.bars import iso
from tidegate.checklist.context import Context
from tidegate.checklist.finding import Finding, NotMeasured, failed, judged
from tidegate.checklist.probe import Probe
from tidegate.checklist.probes.ml_score import tests_of
from tidegate.errors import ServiceError

_HOUR_MS: Final = 3_600_000
_LOOK_H: Final = 8 * 24
_SOURCES: Final = ("src", "docker/serving", "requirements/serving.lock")


def image(context: Context) -> Finding:
    """The engine has the image, it is younger than the newest change to what goes into it, the last run of the tests held those of containers, and hadolint finds nothing in its Dockerfile."""
    name = context.settings.checklist.image
    engine = context.programs.run("docker", "info", "--format", "{{.ServerVersion}}", timeout_s=20)
    if engine.code:
        raise NotMeasured("no container engine answers here: run the checklist where the image is built")
    inspected = context.programs.run("docker", "image", "inspect", name, timeout_s=20)
    if inspected.code:
        return failed(f"the engine has no image {name}: make image-serving")
    built = datetime.fromisoformat(json.loads(inspected.out)[0]["Created"])
    changed = context.programs.run("git", "log", "-1", "--format=%cI", "--", *_SOURCES)
    if changed.code or not changed.out.strip():
        raise NotMeasured("no git checkout says what the image should be made of")
    lint = context.programs.run("hadolint", "docker/serving/Dockerfile")
    evidence = f"{name} built {built.isoformat()[:19]}, its sources changed {changed.out.strip()[:19]}, hadolint: {lint.told or 'nothing'}"
    good = built >= datetime.fromisoformat(changed.out.strip()) and not lint.code
    if not good:
        return failed(evidence)
    tested = tests_of(context, modules=("tests.container",))
    return judged(tested.verdict == "pass", f"{evidence}; {tested.evidence}", tested.link)


def health(context: Context) -> Finding:
    """Every process answers /healthz and /readyz as it should."""
    told, well = [], True
    for service in context.services:
        alive, ready = service.ask("/healthz", with_key=False), service.ask("/readyz", with_key=False)
        good = (
            alive.status == 200
            and alive.json() == {"alive": True}
            and ready.status == 200
            and ready.json()["ready"] is True
        )
        well = well and good
        told.append(
            f"{service.address}: /healthz {alive.status}, /readyz {ready.status} {ready.body.decode(errors='replace')[:160]}"
        )
    return judged(well, "; ".join(told), context.services[0].address + "/readyz")


def monitoring(context: Context) -> Finding:
    """Prometheus reaches every serving process and has the project's rules; Grafana answers, or its dashboards are ready to be loaded."""
    prometheus = context.prometheus
    serving = [
        one
        for one in prometheus.get("targets?state=active")["activeTargets"]
        if one["labels"].get("job") == "tidegate-serving"
    ]
    down = [one["labels"].get("instance", "?") for one in serving if one["health"] != "up"]
    loaded = {rule["name"] for group in prometheus.get("rules?type=alert")["groups"] for rule in group["rules"]}
    missing = sorted(context.alerts.keys() - loaded)
    dashboards, good = _dashboards(context)
    evidence = (
        f"{len(serving)} of {len(context.services)} serving processes are scraped, {len(down)} of them down; {len(loaded)} alerts are loaded, "
        f"{len(missing)} missing{': ' + ', '.join(missing) if missing else ''}; {dashboards}"
    )
    # By their number: Prometheus may know a process by another name than this machine does.
    is_every = len(serving) >= len(context.services) > 0
    return judged(is_every and not down and not missing and good, evidence, prometheus.address)


def _dashboards(context: Context) -> tuple[str, bool]:
    address = context.settings.checklist.grafana_url
    if address is not None:
        told = context.web.json(f"{address.rstrip('/')}/api/health")
        return f"Grafana's database: {told.get('database')}", told.get("database") == "ok"
    files = sorted((context.root / "docker/grafana/dashboards").glob("*.json"))
    panels = [len(json.loads(path.read_text(encoding="utf-8")).get("panels", ())) for path in files]
    return f"{len(files)} dashboards with {sum(panels)} panels are provisioned", bool(files) and all(panels)


def log_aggregation(context: Context) -> Finding:
    """Lines go to a syslog server, and it takes connections."""
    address = context.settings.logs.syslog
    if address is None:
        raise NotMeasured("lines stay on this machine: set logs.syslog (docs/logs.md)")
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), context.settings.checklist.timeout_s):
            return judged(True, f"{address} takes connections")
    except OSError as error:
        raise ServiceError(f"the syslog server {address} takes no connection", actual=str(error)) from error


def backups(context: Context) -> Finding:
    """The newest backup is young and holds all that is in production undamaged; the newest look at backups is of the last eight days and found them whole."""
    taken = context.needed("backup", "no backup is on record: tidegate backup", strategy="")
    looked = context.needed("backup_verified", "no backup was ever looked at: tidegate verify", strategy="")
    at = int(taken.content["taken_at"])
    hours, most = (context.now_ms - at) / _HOUR_MS, context.settings.backup.late_after_hours
    damaged = list(taken.content.get("damaged", ()))
    well = looked.content.get("well") is True
    age_h = (context.now_ms - looked.created_at) / _HOUR_MS
    evidence = (
        f"backup {taken.subject} of {iso(at)}, {hours:.1f} h old, {most:g} are allowed; damaged: {', '.join(damaged) or 'nothing'}; "
        f"looked at {age_h:.1f} h ago: {'whole' if well else 'DAMAGED'}"
    )
    return judged(0 <= hours <= most and not damaged and well and age_h <= _LOOK_H, evidence)


PROBES: Final[Mapping[str, Probe]] = {
    "infrastructure.image": image,
    "infrastructure.health": health,
    "infrastructure.monitoring": monitoring,
    "infrastructure.log_aggregation": log_aggregation,
    "infrastructure.backups": backups,
}
