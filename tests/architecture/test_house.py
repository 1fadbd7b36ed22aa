"""The house's rules that no linter knows: homes of heavy libraries, pure stages, names, and what a folder says of itself."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tidegate"
FILES = sorted(SOURCE.rglob("*.py"))

HOMES = {
    "arch": ("statistics/bootstrap.py",),
    "ccxt": ("bars/sources/exchange.py",),
    "dask": ("replay/workers.py",),
    "distributed": ("replay/workers.py",),
    "great_expectations": ("validation/expectations.py",),
    "httpx": ("client/transport.py",),
    "jinja2": ("report/document.py",),
    "mlflow": ("registry/tracking/",),
    "onnx": ("model/export.py",),
    "onnxmltools": ("model/export.py",),
    "onnxruntime": ("model/onnx_model.py",),
    "optuna": ("model/training.py",),
    "pandas": ("frames.py",),
    "prefect": (),
    "pyarrow": ("bars/", "calibration/reading.py", "monitoring/fills.py", "pipeline/files.py", "cli/data_commands.py"),
    "rich": ("cli/",),
    "sklearn": ("model/training.py",),
    "sqlalchemy": ("registry/",),
    "typer": ("cli/",),
    "vectorbt": ("backtest/vectorbt_engine.py",),
    "xgboost": ("model/export.py", "model/external.py", "model/training.py"),
}
# Of the service, what stands between a window and its answer; its border has the clock port.
PURE_SERVING = tuple(f"serving/{name}.py" for name in ("answering", "distribution", "predictor", "question", "windows"))
# Rules and the decision; what acts and asks stands beside them.
PURE_ROLLBACK = tuple(
    f"rollback/{name}.py" for name in ("rules", "performance", "service", "began", "decision", "finding")
)
# Of the client, what neither waits nor asks.
PURE_CLIENT = tuple(f"client/{name}.py" for name in ("breaker", "columns", "fallback", "judging", "retry", "series"))
PURE = (
    "features", "labels", "dataset", "model", "backtest", "statistics", "calibration", "gates", "policy", "validation", "report", "monitoring",
    *PURE_SERVING, *PURE_ROLLBACK, *PURE_CLIENT,
)  # fmt: skip
CLOCK_OR_GLOBAL_CHANCE = re.compile(
    r"\b(time\.(time|time_ns|monotonic|perf_counter)\b|datetime\.(now|utcnow|today)\b|date\.today\b"
    r"|np\.random\.(?!default_rng\b|Generator\b)\w+|random\.(random|seed|choice|shuffle)\b|socket\.|urllib\.request|urlopen|http\.client)"
)


def path_of(file: Path) -> str:
    return file.relative_to(SOURCE).as_posix()


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("library", HOMES)
def test_each_heavy_library_stays_at_home(library: str) -> None:
    users = [path_of(file) for file in FILES if library in imported(file)]
    assert [user for user in users if not user.startswith(HOMES[library])] == []
    assert bool(users) == bool(HOMES[library]), "nobody uses it: take it from the table"


@pytest.mark.parametrize("stage", PURE)
def test_pure_stages_know_no_clock_no_network_and_no_global_chance(stage: str) -> None:
    found = {
        path_of(file): match[0]
        for file in ([SOURCE / stage] if stage.endswith(".py") else (SOURCE / stage).rglob("*.py"))
        for match in CLOCK_OR_GLOBAL_CHANCE.finditer(file.read_text(encoding="utf-8"))
    }
    assert found == {}


@pytest.mark.parametrize("line", ["now = time.time()", "np.random.seed(1)", "datetime.now(UTC)", "np.random.rand(3)"])
def test_a_clock_or_global_chance_is_noticed(line: str) -> None:
    assert CLOCK_OR_GLOBAL_CHANCE.search(line)


def test_seeded_generators_are_fine() -> None:
    assert not CLOCK_OR_GLOBAL_CHANCE.search("rng: np.random.Generator = np.random.default_rng(seed)")


def test_every_package_says_what_it_is_for() -> None:
    folders = {file.parent for file in FILES}
    without = [path_of(folder) for folder in folders if not _says(folder / "__init__.py")]
    assert without == []


def _says(init: Path) -> bool:
    return init.exists() and len(ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or "") > 20


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "util", "helpers", "common", "manager", "misc", "base", "core"}
    assert [path_of(file) for file in FILES if file.stem in empty or file.parent.name in empty] == []


def test_the_import_contracts_are_kept() -> None:
    found = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--config", "pyproject.toml", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout
