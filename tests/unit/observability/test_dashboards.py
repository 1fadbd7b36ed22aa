"""The dashboards are what their tables say, and every panel says what it shows."""

import json
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
GRAFANA = ROOT / "docker" / "grafana"
PATHS = sorted((GRAFANA / "dashboards").glob("*.json"))
WHOLE: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in PATHS}
PANELS = [
    pytest.param(panel, id=f"{name}-{panel['title']}")
    for name, dashboard in WHOLE.items()
    for panel in dashboard["panels"]
    if panel["type"] != "row"
]


def built(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(folder / "build.py"), *arguments], check=False, capture_output=True, text=True, timeout=60
    )


def copy(to: Path) -> Path:
    (to / "dashboards").mkdir(parents=True)
    for path in (*GRAFANA.glob("*.py"), *PATHS):
        (to / path.relative_to(GRAFANA)).write_bytes(path.read_bytes())
    return to


def test_the_files_are_what_the_tables_say() -> None:
    found = built(GRAFANA)
    assert found.returncode == 0, f"make dashboards: {found.stdout}{found.stderr}"
    assert sorted(WHOLE) == ["tidegate-model", "tidegate-pipeline", "tidegate-service"]


def test_a_change_by_hand_and_a_file_of_nobodys_are_noticed(tmp_path: Path) -> None:
    folder = copy(tmp_path / "grafana")
    changed, extra = folder / "dashboards" / "tidegate-model.json", folder / "dashboards" / "mine.json"
    changed.write_text(changed.read_text(encoding="utf-8").replace("Win rate", "Win"), encoding="utf-8")
    found = built(folder)
    assert (found.returncode, found.stdout) == (1, "stale tidegate-model.json\n")
    assert built(folder, "--write").returncode == 0
    assert changed.read_text(encoding="utf-8") == (GRAFANA / "dashboards" / changed.name).read_text(encoding="utf-8")
    extra.write_text("{}")
    found = built(folder)
    assert (found.returncode, found.stdout) == (1, "unknown mine.json\n")


@pytest.mark.parametrize("panel", PANELS)
def test_every_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert len(panel["description"]) > 10
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"]
    steps = defaults["thresholds"]["steps"]
    values = [step["value"] for step in steps]
    assert values[0] is None
    assert values[1:] == sorted(set(values[1:]))
    assert len({step["color"] for step in steps}) == len(steps)
    assert panel["targets"]
    legends = [target["legendFormat"] for target in panel["targets"]]
    assert all(legends)
    assert len(set(legends)) == len(legends), "two queries whose series look alike"
    assert len({target["refId"] for target in panel["targets"]}) == len(legends)


@pytest.mark.parametrize("name", WHOLE)
def test_panels_have_their_own_places(name: str) -> None:
    panels = WHOLE[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    fields = [
        {(x, y) for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])}
        for p in (panel["gridPos"] for panel in panels)
    ]
    assert all(x < 24 for field in fields for x, _ in field)
    assert not any(one & other for one, other in combinations(fields, 2))


@pytest.mark.parametrize("name", WHOLE)
def test_a_dashboard_has_one_variable_and_uses_it(name: str) -> None:
    (variable,) = WHOLE[name]["templating"]["list"]
    asked = [target["expr"] for panel in WHOLE[name]["panels"] for target in panel.get("targets", ())]
    assert sum(f'=~"${variable["name"]}"' in one for one in asked) > len(asked) / 3


def test_dashboards_ask_the_source_that_grafana_is_given() -> None:
    source = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text(encoding="utf-8"))
    (given,) = source["datasources"]
    wanted = {"type": given["type"], "uid": given["uid"]}
    for dashboard in WHOLE.values():
        for panel in dashboard["panels"]:
            if panel["type"] != "row":
                assert panel["datasource"] == wanted
                assert all(target["datasource"] == wanted for target in panel["targets"])


def test_uids_are_the_files_names() -> None:
    assert {name: dashboard["uid"] for name, dashboard in WHOLE.items()} == {name: name for name in WHOLE}
