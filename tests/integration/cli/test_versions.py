"""One strategy's life on the command line, with a real MLflow server: retrain, compare, promote, roll back, halt and what is refused."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.servers import free_port, mlflow_server

from tidegate.cli.main import main
from tidegate.cli.output import console

pytestmark = [pytest.mark.servers, pytest.mark.slow]

STRATEGY = """\
version: 1
name: simulated-quick
kind: simulated
symbols: [SIM/USD]
interval: 1h
source: {type: simulated, seed: 3, days: 140}
features:
  - {use: signed_volume, lengths: [3, 6]}
  - {use: return, lengths: [1, 6]}
  - {use: volatility, lengths: [12]}
labels: {horizon_bars: 6, volatility_bars: 24}
windows: {train_days: 60, test_days: 15, max_folds: 3}
model: {max_depth: 2, max_rounds: 30, early_stopping_rounds: 5}
policy: {min_trades_per_day: 0.1}
gates: {champion_min_days: 10}
"""
NAME, OTHER, MANY = "simulated-quick", "simulated-other", "simulated-many"


@dataclass(frozen=True, slots=True)
class Told:
    """What one command said."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Project:
    """A project of its own and the program run in it, in this process: each start of MLflow's libraries would cost two seconds."""

    root: Path
    address: str

    def __call__(self, *words: str, address: str = "") -> Told:
        out, err, code = io.StringIO(), io.StringIO(), 0
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(self.root)
            for name in [each for each in os.environ if each.startswith("TIDEGATE_")]:
                patch.delenv(name)
            for name, value in self.variables(address).items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["tidegate", *words])
            patch.setattr(console, "width", 80)
            try:
                main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
        return Told(code, out.getvalue(), err.getvalue())

    def variables(self, address: str = "") -> dict[str, str]:
        retries = "0" if address else "1"
        return {"TIDEGATE_MLFLOW__TRACKING_URI": address or self.address, "TIDEGATE_MLFLOW__RETRIES": retries}

    def json(self, *words: str, code: int = 0) -> Any:  # noqa: ANN401  any JSON value
        """The one JSON value that a command prints, and nothing else."""
        told = self(*words, "--json")
        assert told.code == code, told
        value, end = json.JSONDecoder().raw_decode(told.out)
        assert told.out[end:] == "\n"
        return value


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("project")
    (root / "configs" / "strategies").mkdir(parents=True)
    for name in (NAME, OTHER):
        (root / "configs" / "strategies" / f"{name}.yaml").write_text(STRATEGY.replace(NAME, name))
    (root / "configs" / "strategies" / f"{MANY}.yaml").write_text(
        STRATEGY.replace(NAME, MANY).replace("[SIM/USD]", "[SIM/USD, SIM/EUR]\ncombine: separate")
    )
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as address:
        yield Project(root, address)


@pytest.fixture(scope="module")
def trained(project: Project) -> Project:
    """Two versions, both refused by the gates: the market is too short to prove anything."""
    (first,) = project.json("retrain", NAME, "--direct", "--as-of", "2025-06-01")
    assert (first["outcome"], first["version"], first["kind"]) == ("refused", 1, "simulated")
    assert first["refusals"]
    assert Path(first["report"]).exists()
    told = project("retrain", NAME, "--direct", "--as-of", "2025-07-01", "--require-promotion")
    assert told.code == 5, told.err
    assert "REFUSED simulated-quick v2 (SIMULATED market)" in told.out
    assert "simulated-quick was not promoted" in told.err
    return project


def test_compare_reads_well(trained: Project) -> None:
    told = trained("compare", NAME, "1", "2")
    assert told.code == 0, told.err
    assert max(map(len, told.out.splitlines())) <= 80
    for part in (
        "2025-05-17 to 2025-06-01",
        "Win rate",
        "≥ 58.00 %",
        "not enough",
        "Maximum drawdown",
        "policy.long_at",
        "They have the same features and other bars.",
    ):
        assert part in told.out
    assert "{" not in told.out
    assert "costs.fee_bps" not in told.out, "what is the same is not shown"
    assert "costs.fee_bps" in trained("compare", NAME, "1", "2", "--all").out
    found = trained.json("compare", NAME, "1", "2")
    assert found["versions"]["version"] == [1, 2]
    assert (found["same_features"], found["same_data"]) == (True, False)


def test_a_version_that_does_not_exist(trained: Project) -> None:
    told = trained("compare", NAME, "1", "99")
    assert told.code == 6
    assert "99" in told.err
    error = trained.json("promote", NAME, "99", "--reason", "x", code=6)["error"]
    assert "99" in error["message"]


def test_the_life_of_two_versions(trained: Project) -> None:
    told = trained("promote", NAME, "1", "--reason", "looks fine")
    assert told.code == 5
    assert "gates_refused" in told.err
    assert trained.json("promote", NAME, "1", "--reason", "looks fine", code=5)["error"]["code"] == "promotion_refused"

    told = trained("promote", NAME, "1", "--reason", "to try the machinery", "--override")
    assert (told.code, told.out) == (0, "simulated-quick v1 is in production, before: none\n")
    again = trained.json("promote", NAME, "1", "--reason", "twice", "--override")
    assert (again["changed"], again["row"]["to_version"]) == (False, 1)

    # The second version was judged when nothing was in production, so its contest does not count against v1.
    conflict = trained.json("promote", NAME, "2", "--reason", "newer", "--override", code=5)["error"]
    assert conflict["code"] == "promotion_conflict"

    assert trained.json("bar", NAME, "2", "--reason", "odd")["message"] == "simulated-quick v2 is barred"
    assert trained("bar", NAME, "1", "--reason", "odd").code == 5, "production is not just barred"
    assert trained.json("clear", NAME, "2", "--reason", "was fine")["changed"] is True
    assert trained.json("clear", NAME, "2", "--reason", "was fine")["changed"] is False

    assert "is halted" in trained("halt", NAME, "--reason", "exchange down").out
    assert trained("promote", NAME, "2", "--reason", "now", "--override").code == 5
    assert "HALTED" in trained("history", NAME).out
    assert "goes on with v1" in trained("resume", NAME, "--reason", "exchange back").out
    assert "ledger and registry agree" in trained("repair", NAME).out

    left = trained.json("rollback", NAME, "--reason", "loses money")
    assert (left["row"]["action"], left["row"]["to_version"]) == ("halt", None)

    told = trained("history", NAME)
    assert told.code == 0
    assert max(map(len, told.out.splitlines())) <= 80
    assert "none is in production, HALTED" in told.out
    acts = [line.split()[3] for line in told.out.splitlines() if line[:4].strip().isdigit()]
    assert acts == ["promote", "bar", "clear", "halt", "resume", "halt", "bar"]
    rows = trained.json("history", NAME)
    assert [row["id"] for row in rows] == list(range(1, len(rows) + 1))
    assert trained("history", NAME, "--all").out.count("intended") == 2


def test_ctrl_c_leaves_nothing_half_written(project: Project) -> None:
    runs = project.root / "runs" / OTHER
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tidegate.cli.main", "retrain", OTHER, "--direct", "--as-of", "2025-06-01"],
        cwd=project.root,
        env=kept | project.variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not runs.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    assert process.poll() is None, f"the interrupt must come before the end: {process.communicate()}"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted; nothing was left half-written" in err
    assert "Traceback" not in err
    assert out == ""
    assert not list(project.root.rglob("*.tmp"))
    told = project("retrain", OTHER, "--direct", "--as-of", "2025-06-01")
    assert told.code == 0, told.err
    assert "v1" in told.out, "the interrupted run registered nothing and holds no place"


def test_a_ledger_that_was_cut_off_is_noticed_by_what_mlflow_remembers(trained: Project, tmp_path: Path) -> None:
    shutil.copytree(trained.root, tmp_path / "copy")
    other = Project(tmp_path / "copy", trained.address)
    name = "simulated-quick"
    other.json("resume", name, "--reason", "go on")
    other.json("clear", name, "1", "--reason", "go on")
    ledger = other.root / "data" / "ledger"
    shutil.copytree(ledger, tmp_path / "before")
    other.json("promote", name, "1", "--reason", "again", "--override")
    assert other("history", name).code == 0
    shutil.rmtree(ledger)
    shutil.copytree(tmp_path / "before", ledger)
    told = other("history", name)
    assert told.code == 6
    assert "was cut off" in told.err


def test_an_unreachable_server_is_exit_code_6_and_history_goes_on_without_it(trained: Project) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    told = trained("compare", NAME, "1", "2", address=nobody)
    assert told.code == 6
    assert nobody in told.err
    told = trained("history", NAME, address=nobody)
    assert told.code == 0
    assert "not compared with MLflow" in told.err


def test_symbols_in_place_of_the_files(project: Project) -> None:
    (outcome,) = project.json("retrain", MANY, "--direct", "--as-of", "2025-06-01", "--symbols", "SIM/CHF")
    assert (outcome["strategy"], outcome["version"]) == (f"{MANY}-simchf", 1)
    told = project("retrain", MANY, "--direct", "--symbols", "btc/usdt")
    assert (told.code, told.out) == (2, "")
    assert "simulated-many cannot have the symbols btc/usdt: " in told.err
