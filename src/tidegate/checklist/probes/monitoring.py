"""Metrics that exist live and in Prometheus, and alerts that fire at the list's bounds."""

import json
import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from tidegate.checklist.context import ALERTS, Context
from tidegate.checklist.finding import Finding, NotMeasured, failed, judged
from tidegate.checklist.probe import Probe
from tidegate.settings.loading import read_yaml

_RULES: Final = "docker/prometheus/rules"
_UNITS_S: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_CASES: Final = "docker/prometheus/tests/alerts.yml"
_QUANTILES: Final = tuple(f"instance:tidegate_predict_seconds:p{quantile}_5m" for quantile in (50, 95, 99))


def metric(context: Context, *, names: Sequence[str], queries: Sequence[str]) -> Finding:
    """Every process shows the metrics, and Prometheus answers the queries with data.

    Args:
        context: what is looked at.
        names: of samples on `/metrics`; a histogram's buckets, a counter with `_total`.
        queries: that must have a series.
    """
    missing = [
        f"{name} at {service.address}"
        for service in context.services
        for name in names
        if not service.metrics.get(name)
    ]
    if missing:
        return failed(f"missing: {', '.join(missing)}", context.service.address + "/metrics")
    empty = [query for query in queries if not any(map(math.isfinite, context.prometheus.values(query)))]
    evidence = f"{', '.join(names)} at {len(context.services)} processes; Prometheus has {len(queries) - len(empty)} of {len(queries)} queries"
    return judged(not empty, evidence + (f", none for {', '.join(empty)}" if empty else ""), context.prometheus.address)


def alert(context: Context, *, name: str, needs: str, bound: float | None, of_strategy: str) -> Finding:
    """The alert exists with the list's bound and fires in its own cases, the strategy's rule does not merely observe, and Prometheus has loaded it.

    One of promtool and Prometheus must be there to look: a rule that nobody could load is no alert.

    Args:
        context: what is looked at.
        name: of the alert.
        needs: a pattern that its expression must match.
        bound: the number at the end of its expression; None where it has none.
        of_strategy: field of the strategy's `rollback` that says what the rule does.
    """
    rule = context.alerts.get(name)
    if rule is None:
        return failed(f"{ALERTS} has no alert {name}", str(ALERTS))
    expression = " ".join(str(rule["expr"]).split())
    told = f"{name}: {expression[:120]} for {rule.get('for', '0s')}"
    fits = _fits(expression, needs, bound)
    action = getattr(context.strategy.rollback, of_strategy) if of_strategy else "alert"
    checked, is_sound = _promtool(context, name)
    loaded, is_loaded = "", None
    if context.settings.checklist.prometheus_url is not None:
        groups = context.prometheus.get("rules?type=alert")["groups"]
        have = [one for group in groups for one in group["rules"] if one["name"] == name]
        fit = [_fits(" ".join(one["query"].split()), needs, bound) and one["health"] != "err" for one in have]
        late = [one for one in have if not float(one["duration"]) <= _seconds(str(rule.get("for", "0s")))]
        is_loaded = bool(have) and all(fit) and not late
        loaded = (
            f"; Prometheus has {'it' if is_loaded else 'NOT loaded it' if not have else 'ANOTHER rule of that name'}"
        )
    evidence = f"{told}; the strategy's rule: {action}; {checked}{loaded}"
    looked = [one for one in (is_sound, is_loaded) if one is not None]
    if fits and action != "observe" and not looked:
        raise NotMeasured(f"{evidence}, and Prometheus is not asked: set checklist.prometheus_url")
    return judged(fits and action != "observe" and all(looked), evidence, str(ALERTS))


def _fits(expression: str, needs: str, bound: float | None) -> bool:
    """Whether an expression is about the right thing, and ends with a number that is not over the bound."""
    if bound is None:
        return re.search(needs, expression) is not None
    number = re.search(r">\s*([0-9.]+)\s*$", expression)
    return re.search(needs, expression) is not None and number is not None and 0 < float(number[1]) <= bound


def _seconds(span: str) -> float:
    """Seconds of a span such as `5m` or `1h30m`."""
    return sum(float(count) * _UNITS_S[unit] for count, unit in re.findall(r"(\d+)(ms|[smhdw])", span))


def _promtool(context: Context, name: str) -> tuple[str, bool | None]:
    """What promtool says of the rules as they are written, and of the alert's own cases: when it fires, and when it is silent; None where it is not there."""
    try:
        context.programs.find("promtool")
    except NotMeasured:
        return "promtool is not on this machine", None
    rules = sorted((context.root / _RULES).glob("*.yml"))
    checked = context.programs.run("promtool", "check", "rules", *map(str, rules))
    if checked.code:
        return f"promtool: {checked.told}", False
    if not (context.root / _CASES).is_file():
        return f"promtool: rules are sound, there is no {_CASES} here", True
    content = read_yaml(context.root / _CASES)
    cases = [one for one in content["tests"] if one["name"].startswith(f"{name}:")]
    with tempfile.TemporaryDirectory(prefix="tidegate-checklist-") as folder:
        path = Path(folder, "cases.yml")
        path.write_text(
            json.dumps({**content, "rule_files": [str(one) for one in rules], "tests": cases}), encoding="utf-8"
        )
        tested = context.programs.run("promtool", "test", "rules", str(path))
    told = f"{len(cases)} cases of when it fires and when not: {'as they should' if tested.code == 0 else tested.told}"
    return f"promtool: rules are sound, {told}", tested.code == 0 and bool(cases)


def resources(context: Context) -> Finding:
    """Processor time, memory and open files of each process are shown, and kept by Prometheus."""
    names = ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds")
    return metric(context, names=names, queries=[f'{name}{{job="tidegate-serving"}}' for name in names])


PROBES: Final[Mapping[str, Probe]] = {
    "monitoring.latency": partial(metric, names=("tidegate_request_seconds_bucket",), queries=_QUANTILES),
    "monitoring.predictions": partial(
        metric, names=("tidegate_predictions_total",), queries=("tidegate_predictions_total",)
    ),
    "monitoring.errors": partial(
        metric,
        names=("tidegate_requests_total", "tidegate_prediction_outcomes_total"),
        queries=("instance:tidegate_predict_errors:ratio5m",),
    ),
    "monitoring.resources": resources,
    "monitoring.alert_latency": partial(
        alert, name="HighLatency", needs=r"predict_seconds:p95", bound=0.020, of_strategy="latency_action"
    ),
    "monitoring.alert_errors": partial(
        alert, name="HighErrorRate", needs=r"predict_errors:ratio", bound=0.05, of_strategy="error_action"
    ),
    "monitoring.alert_down": partial(
        alert, name="ServiceDown", needs=r'up\{job="tidegate-serving"\} == 0 or absent\(', bound=None, of_strategy=""
    ),
    "monitoring.alert_drift": partial(
        alert,
        name="DriftDetected",
        needs=r'tidegate_rule_fired\{[^}]*rule="drift"',
        bound=None,
        of_strategy="drift_action",
    ),
}
