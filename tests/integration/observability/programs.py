"""Prometheus's and Alertmanager's programs, their files, and what is in them."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from tests.unavailable import unavailable

ROOT: Final = Path(__file__).parents[3]
PROMETHEUS: Final = ROOT / "docker" / "prometheus"
ALERTMANAGER: Final = ROOT / "docker" / "alertmanager"
DASHBOARDS: Final = tuple(sorted((ROOT / "docker" / "grafana" / "dashboards").glob("*.json")))


def program(name: str) -> str:
    """The path of a program; skips the test where it is missing, and fails it there when CI=true."""
    found = shutil.which(name)
    if found is None:
        unavailable(f"{name} is not on this machine")
    return found


def run(name: str, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """A program's whole run."""
    return subprocess.run(
        [program(name), *arguments], cwd=cwd, check=False, capture_output=True, text=True, timeout=240
    )


@cache
def content(path: Path) -> dict[str, Any]:
    """A YAML file, read once; not to be changed."""
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def rules(kind: str, path: Path) -> list[dict[str, Any]]:
    """The rules of a file that are of a kind: `alert` or `record`."""
    return [rule for group in content(path)["groups"] for rule in group["rules"] if kind in rule]


ALERTS: Final = rules("alert", PROMETHEUS / "rules" / "alerts.yml")
RECORDED: Final = rules("record", PROMETHEUS / "rules" / "recording.yml")


def cases(folder: Path = PROMETHEUS / "tests") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every question about one alert in promtool's files: the alert's name, and the question."""
    for path in sorted(folder.glob("*.yml")):
        for test in content(path)["tests"]:
            for asked in test["promql_expr_test"]:
                if found := re.match(r'ALERTS\{alertname="(\w+)",alertstate="firing"', asked["expr"]):
                    yield found[1], asked


def copied(source: Path, to: Path) -> Path:
    """A folder of settings with the secrets that it needs."""
    shutil.copytree(source, to)
    (to / "secrets").mkdir(exist_ok=True)
    for name in ("api-key", "webhook-token", "smtp-password"):
        (to / "secrets" / name).write_text("secret\n", encoding="utf-8")
    return to
