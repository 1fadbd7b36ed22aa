"""The command line starts at once: help and version need none of the heavy libraries."""

import json
import subprocess
import sys

import pytest

HEAVY = (
    "mlflow",
    "prefect",
    "pandas",
    "sqlalchemy",
    "great_expectations",
    "xgboost",
    "sklearn",
    "scipy",
    "vectorbt",
    "pyarrow",
    "onnxruntime",
    "optuna",
)
SCRIPT = """
import json, sys
sys.argv = ["tidegate", *sys.argv[1:]]
from tidegate.cli.main import main
try:
    main()
except SystemExit as end:
    code = end.code
print("\\n" + json.dumps({"code": code, "modules": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["retrain", "--help"],
        ["history", "--help"],
        ["promote", "--help"],
        ["features"],
        ["settings"],
    ],
    ids=" ".join,
)
def test_nothing_heavy_is_imported(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words], check=True, capture_output=True, text=True, timeout=60
    )
    told = json.loads(done.stdout.strip().splitlines()[-1])
    assert told["code"] in {0, None}
    assert set(told["modules"]) & set(HEAVY) == set()
    assert "typer" in told["modules"], "the probe sees what is imported"
