"""The dashboards have the types of Grafana's own schema (npm's @grafana/schema), checked by the TypeScript compiler."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.unavailable import unavailable

ROOT = Path(__file__).parents[3]
DASHBOARDS = sorted((ROOT / "docker" / "grafana" / "dashboards").glob("*.json"))
PACKAGES = {"@grafana/schema": "11.6.0", "typescript": "5.9.2"}
FOLDER = ROOT / ".cache" / "grafana-types"
# Without `exports` of package.json, which hide the types of single panels.
OPTIONS = ("--noEmit", "--strict", "--skipLibCheck", "--moduleResolution", "node10", "--module", "esnext")


@pytest.fixture(scope="module")
def compiler() -> list[str]:
    """The compiler's command, in a folder that keeps the packages for the next time."""
    node = shutil.which("npm")
    if node is None:
        unavailable("npm is not on this machine")
    program = FOLDER / "node_modules" / "typescript" / "bin" / "tsc"
    description = json.dumps({"private": True, "dependencies": PACKAGES})
    told = FOLDER / "package.json"
    if not program.exists() or not told.exists() or told.read_text(encoding="utf-8") != description:
        FOLDER.mkdir(parents=True, exist_ok=True)
        told.write_text(description, encoding="utf-8")
        command = [node, "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
        try:
            done = subprocess.run(command, cwd=FOLDER, check=False, capture_output=True, text=True, timeout=90)
        except subprocess.TimeoutExpired:
            pytest.skip("npm reaches no registry")
        if done.returncode:
            pytest.skip(f"npm reaches no registry: {done.stderr[-300:]}")
    return ["node", str(program), *OPTIONS]


def compiled(compiler: list[str], dashboards: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    types = Path(__file__).with_name("dashboards.ts").read_text(encoding="utf-8")
    constants = "\n".join(
        f"export const d{number}: Ours = {json.dumps(content, indent=1)};"
        for number, content in enumerate(dashboards.values())
    )
    (FOLDER / "check.ts").write_text(f"{types}\n{constants}\n", encoding="utf-8")
    return subprocess.run([*compiler, "check.ts"], cwd=FOLDER, check=False, capture_output=True, text=True, timeout=120)


def test_the_dashboards_have_grafanas_types(compiler: list[str]) -> None:
    found = compiled(compiler, {path.name: json.loads(path.read_text(encoding="utf-8")) for path in DASHBOARDS})
    assert found.returncode == 0, found.stdout[:3000]


def test_wrong_types_are_noticed(compiler: list[str]) -> None:
    def altered(*path: str | int, value: object) -> dict[str, Any]:
        made = json.loads(DASHBOARDS[0].read_text(encoding="utf-8"))
        at: Any = made
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value
        return dict(made)

    kinds = [panel["type"] for panel in json.loads(DASHBOARDS[0].read_text(encoding="utf-8"))["panels"]]
    drawn = kinds.index("timeseries")
    wrong = {
        "a legend that is nowhere": altered("panels", drawn, "options", "legend", "placement", value="below"),
        "a style that is none": altered(
            "panels", drawn, "fieldConfig", "defaults", "custom", "drawStyle", value="dots"
        ),
        "a number as a text": altered("panels", drawn, "gridPos", "w", value="8"),
        "a key that is unknown": altered("panels", drawn, "targets", 0, "query", value="up"),
        "a choice that is none": altered("templating", "list", 0, "refresh", value=7),
        "no key of a dashboard": altered("colour", value="red"),
    }
    found = compiled(compiler, wrong)
    assert found.returncode != 0
    lines = (FOLDER / "check.ts").read_text(encoding="utf-8").splitlines()
    begins = [number for number, line in enumerate(lines, 1) if line.startswith("export const d")]
    complained = {
        int(line.split("(")[1].split(",")[0]) for line in found.stdout.splitlines() if line.startswith("check.ts(")
    }
    ends = [*begins[1:], len(lines) + 1]
    silent = [
        name
        for name, begin, end in zip(wrong, begins, ends, strict=True)
        if not any(begin <= line < end for line in complained)
    ]
    assert silent == []
