"""What the serving container runs needs numpy, pydantic, PyYAML and onnxruntime only: a prediction is made with all else blocked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.model.small_model import small_bundle, window_ending

from tidegate.bars.bars import COLUMNS
from tidegate.serving.predictor import Predictor

BLOCKED = (
    "pandas",
    "mlflow",
    "prefect",
    "xgboost",
    "sklearn",
    "scipy",
    "vectorbt",
    "great_expectations",
    "pyarrow",
    "sqlalchemy",
    "onnx",
    "onnxmltools",
    "optuna",
    "numba",
    "typer",
    "rich",
)

SCRIPT = """
import json, sys
from pathlib import Path

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError(f"{name} is not installed in the serving container")

BLOCKED = set(json.loads(sys.argv[1]))
sys.meta_path.insert(0, Blocker())
for name in BLOCKED:
    try:
        __import__(name)
    except ImportError:
        continue
    sys.exit(f"{name} is not blocked")

from tidegate.bars.bars import Bars
from tidegate.model.bundle import load_bundle
from tidegate.serving.predictor import Predictor

window = json.loads(Path(sys.argv[3]).read_text())
bars = Bars.of("BTC/USDT", "5m", **window)
answer = Predictor(load_bundle(Path(sys.argv[2]))).predict(bars, int(bars.closed_at[-1]))
heavy = sorted({name.partition(".")[0] for name in sys.modules} & BLOCKED)
print(json.dumps({"probability": answer.probability, "signal": answer.signal, "heavy": heavy}))
"""


@pytest.mark.slow
def test_a_prediction_with_all_heavy_libraries_blocked(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "bundle")
    window = window_ending(1450)
    (tmp_path / "window.json").write_text(json.dumps({name: getattr(window, name).tolist() for name in COLUMNS}))
    arguments = [json.dumps(BLOCKED), str(tmp_path / "bundle"), str(tmp_path / "window.json")]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    expected = Predictor(bundle).predict(window, int(window.closed_at[-1]))
    assert json.loads(done.stdout) == {"probability": expected.probability, "signal": expected.signal, "heavy": []}
