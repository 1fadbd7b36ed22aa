"""`tidegate calibrate`: what it prints, writes and refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.calibration_worlds import FIGURES, STRATEGIES
from tests.unit.cli.run import CommandLine

from tidegate.calibration.draws import draw_alone
from tidegate.calibration.single import as_backtest
from tidegate.pipeline.files import write_out_of_sample

FEW = ("--worlds", "4", "--years", "1", "--checked", "2")
NAMED = ("--trades-per-day", "2", "--win-rate", "0.58", "--payoff", "0.8", "--loss", "0.002")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(STRATEGIES.parent, tmp_path / "configs")
    monkeypatch.setenv("TIDEGATE_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture
def tidegate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], root: Path) -> CommandLine:
    assert root.is_dir()
    return CommandLine(monkeypatch, capsys)


def test_a_run_is_enough(tidegate: CommandLine, root: Path) -> None:
    rng = np.random.default_rng(1)
    side = as_backtest(rng, draw_alone(rng, FIGURES, 1, 400), 0, FIGURES)
    write_out_of_sample(
        root / "runs" / "simulated-demo" / "2026-11-20261130T190319-933" / "out_of_sample", {"challenger": side}
    )
    told = tidegate("calibrate", "simulated-demo", *FEW)
    assert told.code == 0, told.err
    folder = root / "runs" / "simulated-demo" / "calibration"
    assert sorted(path.suffix for path in folder.iterdir()) == [".html", ".json", ".md"]
    for words in ("run 2026-11-20261130T190319-933", "No skill", "Equal", "Better", "Skill lost", "strict"):
        assert words in told.out
    again = json.loads(tidegate("calibrate", "simulated-demo", *FEW, "--json").out)
    assert again == json.loads((folder / "calibration.json").read_text()) | {"page": str(folder / "calibration.html")}


def test_without_a_run_the_error_names_the_options(tidegate: CommandLine) -> None:
    told = tidegate("calibrate", "eurusd-sample", *FEW, "--win-rate", "0.5")
    assert told.code == 3
    for words in ("--trades-per-day", "--payoff", "--loss", "tidegate retrain eurusd-sample"):
        assert words in told.err
    assert "--win-rate" not in told.err


def test_figures_can_be_named_and_the_folder_as_well(tidegate: CommandLine, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere"
    told = tidegate(
        "calibrate", "eurusd-sample", *FEW, *NAMED, "--policy", "strict", "--correlation", "0.9", "--cost", "0",
        "--clustering", "0.1", "--seed", "3", "--out", str(out), "--json",
    )  # fmt: skip
    assert told.code == 0, told.err
    found = json.loads(told.out)
    assert found["policies"] == ["strict", "balanced", "checklist"]
    assert (found["seed"], found["figures"]["correlation"], found["figures"]["clustering"]) == (3, 0.9, 0.1)
    assert found["figures"]["days_per_year"] == 260
    assert found["yearly_error"] == 0.01
    assert (out / "calibration.html").exists()


def test_the_strategys_own_policy_and_thresholds_hold(tidegate: CommandLine, root: Path) -> None:
    file = root / "configs" / "strategies" / "eurusd-sample.yaml"
    own = "gates: {policy: checklist, win_rate: {threshold: 0.9}}\n"
    file.write_text(file.read_text(encoding="utf-8") + own, encoding="utf-8")
    found = json.loads(tidegate("calibrate", "eurusd-sample", *FEW, *NAMED, "--json").out)
    assert found["policies"] == ["checklist", "balanced", "strict"]
    for world in found["results"]:
        assert all(outcome["failed"]["win_rate"] == 1.0 for outcome in world["outcomes"])


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("calibrate", "nobody"), 2, "known strategies"),
        (("calibrate", "eurusd-sample", *FEW, *NAMED, "--policy", "loose"), 2, "balanced, checklist, strict"),
        (("calibrate", "eurusd-sample", *NAMED, "--worlds", "0"), 2, "worlds of a calibration"),
        (("calibrate", "eurusd-sample", *FEW, *NAMED, "--correlation", "1"), 3, "correlation"),
        (("calibrate", "eurusd-sample", *FEW, *NAMED, "--equal-sharpe", "900"), 3, "no win rate"),
    ],
)
def test_what_cannot_be_is_refused(tidegate: CommandLine, words: tuple[str, ...], code: int, said: str) -> None:
    told = tidegate(*words)
    assert (told.code, told.out) == (code, "")
    assert said in told.err


def test_one_model_a_symbol_is_calibrated_by_its_name(tidegate: CommandLine, root: Path) -> None:
    file = root / "configs" / "strategies" / "simulated-demo.yaml"
    text = file.read_text(encoding="utf-8").replace(
        "symbols: [SIM/USD]", "symbols: [SIM/USD, SIM/EUR]\ncombine: separate"
    )
    file.write_text(text, encoding="utf-8")
    told = tidegate("calibrate", "simulated-demo", *FEW, *NAMED)
    assert told.code == 2
    assert "simulated-demo-simusd or simulated-demo-simeur" in told.err
    found = json.loads(tidegate("calibrate", "simulated-demo-simeur", *FEW, *NAMED, "--json").out)
    assert found["strategy"] == "simulated-demo-simeur"
    # A strategy of one symbol: a round trip's costs are paid on the whole capital.
    assert found["figures"]["cost"] == pytest.approx(0.0012)


def test_a_file_by_its_path(tidegate: CommandLine, root: Path) -> None:
    path = root / "configs" / "strategies" / "eurusd-sample.yaml"
    found = json.loads(tidegate("calibrate", str(path), *FEW, *NAMED, "--json").out)
    assert found["strategy"] == "eurusd-sample"
