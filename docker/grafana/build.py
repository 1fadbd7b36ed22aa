"""Writes Grafana's dashboards from the tables beside it: `python docker/grafana/build.py --write`; without it, says which are stale (exit code 1)."""
# ruff: noqa: INP001  build.py is run as a script, from its own folder

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from model import MODEL
from panels import Dashboard, Panel
from pipeline import PIPELINE
from service import SERVICE

FOLDER = Path(__file__).parent / "dashboards"
SOURCE = {"type": "prometheus", "uid": "tidegate"}
_HEIGHT = {"stat": 4, "timeseries": 8, "table": 8}
_WIDE = 24


def whole(dashboard: Dashboard) -> dict[str, Any]:
    """A dashboard as Grafana reads it."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["tidegate"],
        "schemaVersion": 41,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "templating": {"list": [_variable(*dashboard.variable)]},
        "annotations": {"list": [_acts()]},
        "panels": _panels(dashboard),
    }


def _variable(label: str, metric: str) -> dict[str, Any]:
    return {
        "name": label,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": f"label_values({metric}, {label})", "refId": "values"},
        "refresh": 2,
        "sort": 1,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _acts() -> dict[str, Any]:
    """Changes of the version in production, drawn into every panel."""
    return {
        "name": "Changes of version",
        "enable": True,
        "iconColor": "blue",
        "datasource": SOURCE,
        "expr": "changes(tidegate_production_version[2m]) > 0",
        "titleFormat": "{{strategy}}",
        "textFormat": "another version in production",
    }


def _panels(dashboard: Dashboard) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    top = 0
    for title, panels in dashboard.rows:
        place = {"h": 1, "w": _WIDE, "x": 0, "y": top}
        found.append(
            {"id": len(found) + 1, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}
        )
        left, top, high = 0, top + 1, 0
        for panel in panels:
            if left + panel.width > _WIDE:
                left, top, high = 0, top + high, 0
            height = _HEIGHT[panel.kind]
            place = {"h": height, "w": panel.width, "x": left, "y": top}
            found.append({"id": len(found) + 1, "gridPos": place, **_panel(panel)})
            left, high = left + panel.width, max(high, height)
        top += high
    return found


def _panel(panel: Panel) -> dict[str, Any]:
    steps = [{"value": value, "color": colour} for value, colour in panel.steps]
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.kind == "timeseries":
        # A gap stays a gap: a figure that is unknown is not drawn as if it had stayed the same.
        defaults["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 5,
            "spanNulls": False,
            "thresholdsStyle": {"mode": "line" if len(panel.steps) > 1 else "off"},
        }
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _OPTIONS[panel.kind],
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": SOURCE,
                "expr": expression,
                "legendFormat": legend,
                "range": panel.kind == "timeseries",
                "instant": panel.kind != "timeseries",
                "format": "table" if panel.kind == "table" else "time_series",
            }
            for number, (expression, legend) in enumerate(panel.queries)
        ],
    }


_OPTIONS: dict[str, dict[str, Any]] = {
    "timeseries": {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "background",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "value_and_name",
        "percentChangeColorMode": "standard",
        "showPercentChange": False,
        "wideLayout": True,
    },
    "table": {"frameIndex": 0, "showHeader": True, "cellHeight": "sm"},
}


def texts() -> dict[Path, str]:
    """Every file with what belongs in it."""
    return {FOLDER / f"{one.uid}.json": json.dumps(whole(one), indent=1) + "\n" for one in (SERVICE, MODEL, PIPELINE)}


def main(arguments: list[str]) -> int:
    """Write, or name what is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write what is stale")
    write = parser.parse_args(arguments).write
    expected = texts()
    stale = [path for path, text in expected.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    unknown = sorted(set(FOLDER.glob("*.json")) - set(expected))
    for path in stale:
        if write:
            FOLDER.mkdir(exist_ok=True)
            path.write_text(expected[path], encoding="utf-8")
        print(f"{'wrote' if write else 'stale'} {path.name}")  # noqa: T201  a command's output
    for path in unknown:
        print(f"unknown {path.name}")  # noqa: T201
    return int(bool(unknown) or bool(stale and not write))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
