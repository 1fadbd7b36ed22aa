"""Every metric that rules and dashboards ask for is one that the service, the watch, a bot or Prometheus itself has."""

import json
import re
from pathlib import Path

import pytest

from tidegate.serving.metrics import Metrics
from tidegate.watch.exporter import DESCRIPTIONS, WatchMetrics

PROMETHEUS = Path(__file__).parents[3] / "docker" / "prometheus"
CLIENT = PROMETHEUS.parents[1] / "docs" / "contracts" / "client.md"
GRAFANA = PROMETHEUS.with_name("grafana")
SERVING = PROMETHEUS.parents[1] / "src" / "tidegate" / "serving"
FILES = sorted([*PROMETHEUS.glob("rules/*.yml"), *GRAFANA.rglob("*.json")])
NAME = re.compile(r"(?<![\w:$])tidegate_[a-z0-9_]+(?![\w:]*:)")


def shown() -> set[str]:
    """All names as they stand in an exposition, without suffixes of histograms."""
    found = set(DESCRIPTIONS)
    for registry in (Metrics().registry, WatchMetrics().registry):
        found |= {name for family in registry.collect() for name in (family.name, f"{family.name}_total")}
    # Bots show theirs by a contract that clients of several languages keep.
    found |= set(re.findall(r"`(tidegate_client_\w+)`", CLIENT.read_text(encoding="utf-8")))
    # The service adds some of its names where they are set.
    return found | {
        name for path in SERVING.rglob("*.py") for name in re.findall(r'"(tidegate_\w+)"', path.read_text())
    }


def asked(path: Path) -> set[str]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        text = "\n".join(expressions(json.loads(text)))
    return {re.sub(r"_(bucket|sum|count|info)$", "", name) for name in NAME.findall(text)}


def expressions(part: object) -> list[str]:
    if isinstance(part, dict):
        own = [part["expr"]] if isinstance(part.get("expr"), str) else []
        return own + [found for value in part.values() for found in expressions(value)]
    return [found for value in part for found in expressions(value)] if isinstance(part, list) else []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_asked_for_is_shown(path: Path) -> None:
    known = {re.sub(r"_info$", "", name) for name in shown()}
    assert asked(path) - known == set()


def test_rules_ask_for_figures_of_the_watch() -> None:
    assert FILES
    assert {name for path in FILES for name in asked(path)} >= {"tidegate_rule_fired", "tidegate_open_incidents"}
