"""Prometheus's settings and rules: checked by promtool, each alert with cases in which it fires and in which it is silent."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.observability.programs import (
    ALERTS,
    DASHBOARDS,
    PROMETHEUS,
    RECORDED,
    ROOT,
    cases,
    content,
    copied,
    run,
)

from tidegate.serving.metrics import Metrics
from tidegate.settings.backup import Backup
from tidegate.settings.operations import Monitoring, Watch
from tidegate.strategy.strategy import Rollback
from tidegate.watch.exporter import DESCRIPTIONS, WatchMetrics

NAMES = sorted({rule["alert"] for rule in ALERTS})
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")


def test_the_settings_are_right(tmp_path: Path) -> None:
    folder = copied(PROMETHEUS, tmp_path / "prometheus")
    found = run("promtool", "check", "config", str(folder / "prometheus.yml"))
    assert found.returncode == 0, found.stderr + found.stdout
    assert f"{len(ALERTS)} rules found" in found.stdout
    assert f"{len(RECORDED)} rules found" in found.stdout


def test_a_missing_api_key_is_noticed(tmp_path: Path) -> None:
    folder = copied(PROMETHEUS, tmp_path / "prometheus")
    (folder / "secrets" / "api-key").unlink()
    assert run("promtool", "check", "config", str(folder / "prometheus.yml")).returncode != 0


def apart(folder: Path, path: Path) -> list[str]:
    """A file of cases as one file an alert, with only the rules that it needs: the whole takes ten times as long and says the same."""
    whole, made = content(path), []
    for name in sorted({test["name"].partition(":")[0] for test in whole["tests"]}):
        kept = [rule for rule in ALERTS if rule["alert"] == name]
        needed = [rule for rule in RECORDED if any(rule["record"] in one["expr"] for one in kept)]
        groups = [{"name": "recorded", "rules": needed}, {"name": "alerts", "rules": kept}]
        own = folder / f"{path.stem}-{name}.yml"
        own.with_suffix(".rules").write_text(yaml.safe_dump({"groups": groups}), encoding="utf-8")
        tests = [test for test in whole["tests"] if test["name"].partition(":")[0] == name]
        own.write_text(yaml.safe_dump(whole | {"rule_files": [f"{own.stem}.rules"], "tests": tests}), encoding="utf-8")
        made.append(str(own))
    return made


def test_alerts_fire_when_they_should_and_are_silent_when_not(tmp_path: Path) -> None:
    folder = PROMETHEUS / "tests"
    files = [one for name in ("alerts", "long") for one in apart(tmp_path, folder / f"{name}.yml")]
    assert len(files) >= len(NAMES)
    found = run("promtool", "test", "rules", *files)
    assert found.returncode == 0, (found.stdout + found.stderr)[-6000:]


def test_nothing_fires_on_a_healthy_system_and_figures_are_right() -> None:
    found = run(
        "promtool", "test", "rules", *(str(PROMETHEUS / "tests" / f"{name}.yml") for name in ("healthy", "recording"))
    )
    assert found.returncode == 0, (found.stdout + found.stderr)[-6000:]


def test_every_file_of_cases_is_run() -> None:
    assert {path.stem for path in (PROMETHEUS / "tests").iterdir()} == {"alerts", "healthy", "long", "recording"}


def uncovered(names: list[str], asked: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """Alerts without a case of each kind; Watchdog, which always fires, has no silent one."""
    fires = {name for name, one in asked if one["exp_samples"]}
    silent = {name for name, one in asked if not one["exp_samples"]} | {"Watchdog"}
    return [name for name in names if name not in fires or name not in silent]


def test_every_alert_has_a_firing_and_a_silent_case() -> None:
    assert uncovered(NAMES, list(cases())) == []
    assert {name for name, _ in cases()} == set(NAMES)


def test_an_alert_without_cases_is_noticed() -> None:
    asked = list(cases())
    without = [(name, one) for name, one in asked if name != "NotReady"]
    assert uncovered([*NAMES, "NewAlert"], asked) == ["NewAlert"]
    for kept in (True, False):
        half = [(name, one) for name, one in asked if name == "NotReady" and bool(one["exp_samples"]) is kept]
        assert uncovered(NAMES, [*without, *half]) == ["NotReady"]


@pytest.mark.parametrize("expression", ["vector(0) == 1", "tidegate_ready == bool 0"])
def test_a_broken_rule_fails_its_cases(tmp_path: Path, expression: str) -> None:
    kept = [rule | {"expr": expression} for rule in ALERTS if rule["alert"] == "NotReady"]
    own = [one for one in content(PROMETHEUS / "tests" / "alerts.yml")["tests"] if one["name"].startswith("NotReady")]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "one", "rules": kept}]}))
    whole = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": own}
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(whole))
    assert run("promtool", "test", "rules", str(tmp_path / "tests.yml")).returncode == 1


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels'].get('window', '')}")
def test_every_alert_says_what_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    told = rule["annotations"]
    assert set(told) == {"summary", "description", "runbook_url"}
    assert len(told["description"]) > 20
    assert told["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"
    section = re.search(rf"^### {rule['alert']}$(.*?)(?=^##|\Z)", RUNBOOK, flags=re.MULTILINE | re.DOTALL)
    assert section is not None, "it has no section in docs/runbook.md"
    assert f"**{rule['labels']['severity']}**" in section[1], "the page tells another severity"
    for part in ("Meaning", "First look", "Action"):
        said = re.search(rf"^- \*\*{part}\.\*\* (.+)$", section[1], flags=re.MULTILINE)
        assert said is not None, f"its section has no {part.lower()}"


def test_the_page_describes_no_alert_that_is_gone() -> None:
    assert sorted(re.findall(r"^### (\w+)$", RUNBOOK, flags=re.MULTILINE)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_texts_use_only_labels_that_the_alert_has(name: str) -> None:
    texts = "".join(text for rule in ALERTS if rule["alert"] == name for text in rule["annotations"].values())
    used = set(re.findall(r"\{\{ \$labels\.(\w+) \}\}", texts))
    for asked_of, asked in cases():
        for sample in asked["exp_samples"] if asked_of == name else ():
            assert used <= set(re.findall(r'(\w+)="', sample["labels"]))


def test_thresholds_are_the_defaults_of_rules_and_settings() -> None:
    expressions = {rule["alert"]: rule for rule in ALERTS}
    rollback, monitoring = Rollback(), Monitoring()

    def bound(name: str, pattern: str) -> float:
        found = re.search(pattern, expressions[name]["expr"])
        assert found is not None, name
        return float(found[1])

    assert bound("HighLatency", r"> ([\d.]+)$") * 1000 == rollback.latency_p95_ms
    assert expressions["HighLatency"]["for"] == f"{rollback.latency_minutes}m"
    assert bound("HighErrorRate", r"> ([\d.]+)$") == rollback.error_rate
    assert bound("InstanceCrashing", r">= (\d+)$") == rollback.crashes
    assert bound("InstanceCrashing", r"\[(\d+)m\]") == rollback.crash_minutes
    assert expressions["BotUnreachable"]["for"] == f"{rollback.bot_minutes}m"
    assert bound("MissedMonitoring", r"> (\d+) \* 3600") == monitoring.late_after_hours
    assert bound("MissedRetrain", r"> (\d+) \* 86400") == monitoring.retrain_late_after_days
    assert bound("BackupOld", r"> (\d+) \* 3600") == Backup().late_after_hours
    (watched,) = content(PROMETHEUS / "prometheus.yml")["scrape_configs"][1]["static_configs"][0]["targets"]
    assert watched == f"{Watch().host}:{Watch().port}"


def exported() -> set[str]:
    """Every name that a serving process, the watch or a bot shows."""
    serving = Metrics()
    serving.watch_log_folder(ROOT, 1)
    families = [*serving.registry.collect(), *WatchMetrics().registry.collect()]
    shown = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    shown |= {
        f"{family.name}_{part}"
        for family in families
        if family.type == "histogram"
        for part in ("bucket", "sum", "count")
    }
    bots = re.findall(
        r"`(tidegate_client_\w+)`", (ROOT / "docs" / "contracts" / "client.md").read_text(encoding="utf-8")
    )
    return shown | set(DESCRIPTIONS) | set(bots)


def expressions() -> dict[str, str]:
    """Every PromQL expression of alerts, recorded figures and panels."""
    found = {f"{rule['alert']} {rule['labels'].get('window', '')}": rule["expr"] for rule in ALERTS}
    found |= {rule["record"]: rule["expr"] for rule in RECORDED}
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel.get("targets", ()):
                found[f"{path.stem} {panel['title']} {target['refId']}"] = target["expr"]
    return found


def test_every_name_in_a_rule_or_panel_is_shown_by_somebody() -> None:
    recorded = {rule["record"] for rule in RECORDED}
    unknown = {
        where: sorted(names)
        for where, expression in expressions().items()
        if (
            names := set(
                re.findall(r"(?<![\w:\"])(?:(?:instance|service):[\w:]+|tidegate_\w+|process_\w+)", expression)
            )
            - exported()
            - recorded
        )
    }
    assert unknown == {}


def test_every_recorded_figure_is_used() -> None:
    everything = "\n".join(f"{text}\n" for where, text in expressions().items() if ":" not in where)
    assert [rule["record"] for rule in RECORDED if not re.search(rf"{rule['record']}\b", everything)] == []


def test_the_page_names_every_figure_of_a_serving_process() -> None:
    serving = Metrics()
    serving.watch_log_folder(ROOT, 1)
    shown = {f"{one.name}{'_total' if one.type == 'counter' else ''}" for one in serving.registry.collect()}
    assert (
        sorted(name for name in shown - {"process_virtual_memory_bytes", "process_max_fds"} if f"`{name}`" not in PAGE)
        == []
    )
