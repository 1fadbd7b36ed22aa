"""A short run of the fuzzer, the same in every run. For a long one see tests/fuzz/predict.py."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.serving.http.real import new_bar, prepared, whole_window

ROOT = Path(__file__).parents[2]
RUNS = 20_000


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is for Linux only")
def test_no_body_breaks_decoding_windows_or_answering(tmp_path: Path) -> None:
    chosen = {name: str(value) if isinstance(value, Path) else value for name, value in prepared(tmp_path).items()}
    (tmp_path / "settings.json").write_text(json.dumps(chosen))
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    # By name, since a new bar needs the window before it.
    (corpus / "1-window").write_text(json.dumps(whole_window(), separators=(",", ":")))
    (corpus / "2-bar").write_text(json.dumps(new_bar(), separators=(",", ":")))
    words = [
        "items",
        "symbol",
        "bars",
        "after",
        "position",
        "side",
        "entry_price",
        "bars_held",
        "opened_at",
        "1e999",
        "null",
    ]
    (tmp_path / "words").write_text("".join(f'"{word}"\n' for word in words))
    command = [sys.executable, "-m", "tests.fuzz.predict", str(tmp_path), f"-runs={RUNS}", "-seed=7", "-max_len=4000"]
    command += [f"-dict={tmp_path / 'words'}", f"-artifact_prefix={tmp_path}/", "-timeout=20", str(corpus)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"Done {RUNS} runs" in done.stderr
