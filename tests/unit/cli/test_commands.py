"""Commands that need no server, in an empty project: what they print, as tables and as JSON, and their exit codes."""

import errno
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.cli.run import CommandLine

from tidegate.bars.bars import parse_time
from tidegate.cli import data_commands
from tidegate.dataset.windows import FoldWindows, Window
from tidegate.features.builtin import FAMILIES
from tidegate.features.features import resolve
from tidegate.model.bundle import sha256
from tidegate.registry.database import Database
from tidegate.registry.ledger import Ledger
from tidegate.registry.looks import LookLedger
from tidegate.registry.state import Draft
from tidegate.registry.trials import HoldoutRead, Trial, TrialLedger
from tidegate.settings.reference import reference, rows
from tidegate.strategy.strategy import find_strategy

BARS = "opened_at,open,high,low,close,volume\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("TIDEGATE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TIDEGATE_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tidegate(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    assert project.exists()
    return CommandLine(monkeypatch, capsys)


def one_value(text: str) -> Any:  # noqa: ANN401  any JSON value
    """The one JSON value that a text holds, and nothing else."""
    value, end = json.JSONDecoder().raw_decode(text)
    assert text[end:] == "\n"
    return value


def test_features(tidegate: CommandLine) -> None:
    told = tidegate("features")
    assert told.code == 0
    assert all(name in told.out for name in FAMILIES)
    assert max(map(len, told.out.splitlines())) <= 80
    answer = one_value(tidegate("features", "--json").out)
    assert [one["use"] for one in answer] == list(FAMILIES)
    assert answer[0] == {"use": "return", "lengths": [1, 3, 6, 12, 24, 48], "about": "Log return over `length` bars."}


def test_settings(tidegate: CommandLine, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_MLFLOW__PORT", "5123")
    monkeypatch.setenv("TIDEGATE_LEDGER__URL", "postgresql+psycopg://me:hunter2@db/x")
    told = tidegate("settings")
    assert "5123 *" in told.out
    assert all(row.key in told.out for row in rows()), "no name is cut in two"
    assert max(map(len, told.out.splitlines())) <= 80
    answer = one_value(tidegate("settings", "--json").out)
    assert (answer["mlflow.port"], answer["paths.data"]) == ("5123", str(project / "data"))
    assert "hunter2" not in told.out + json.dumps(answer)
    assert tidegate("settings", "--markdown").out == reference()


def test_a_wrong_setting_is_a_message_and_exit_code_2(tidegate: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_MLFLOW__PROT", "1")
    told = tidegate("settings")
    assert (told.code, told.out) == (2, "")
    assert "TIDEGATE_MLFLOW__PROT is unknown" in told.err
    assert "did you mean TIDEGATE_MLFLOW__PORT?" in told.err
    told = tidegate("settings", "--json")
    assert (told.code, told.err) == (2, "")
    assert one_value(told.out)["error"]["code"] == "configuration"


def test_new_writes_a_strategy_once(tidegate: CommandLine, project: Path) -> None:
    told = tidegate("new", "mine", "--symbol", "ETH/USDT", "--interval", "5m")
    path = project / "configs" / "strategies" / "mine.yaml"
    assert told.code == 0
    assert "tidegate validate mine" in told.out
    found = find_strategy("mine", path.parent)
    assert (found.symbols, found.interval, found.kind) == (("ETH/USDT",), "5m", "real")
    before = path.read_text()
    told = tidegate("new", "mine", "--symbol", "BTC/USDT")
    assert told.code == 2
    assert "exists already" in told.err
    assert path.read_text() == before
    assert [each.name for each in path.parent.iterdir()] == ["mine.yaml"], "no scratch file is left"
    assert one_value(tidegate("new", "other", "--json").out) == {
        "strategy": "other",
        "path": str(path.with_stem("other")),
    }


@pytest.mark.parametrize(
    "words",
    [
        ["My Strategy"],
        ["../base"],
        ["mine", "--interval", "7x"],
        ["mine", "--symbol", "btc usd"],
        ["mine", "--source", "rumour"],
        ["mine", "--source", "simulated"],
    ],
    ids=" ".join,
)
def test_new_refuses_what_no_strategy_can_have(tidegate: CommandLine, project: Path, words: list[str]) -> None:
    told = tidegate("new", *words)
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith("configuration: ")
    assert not list(project.rglob("*.yaml"))


def write_strategy(project: Path, text: str, **changes: object) -> None:
    (project / "bars.csv").write_text(BARS + text)
    content = {"version": 1, "name": "mine", "kind": "real", "symbols": ["BTC/USDT"], "interval": "1h"}
    content |= {"source": {"type": "file", "path": "bars.csv"}, **changes}
    folder = project / "configs" / "strategies"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.yaml").write_text(yaml.safe_dump(content))


def bars(count: int = 100, *, twice: bool = False) -> str:
    lines = [
        f"2024-01-{1 + at // 24:02}T{at % 24:02}:00:00Z,100,{101 + at % 3},99,{100 + at % 2},{5 + at % 7}"
        for at in range(count)
    ]
    if twice:
        lines.insert(11, lines[10].replace(",99,", ",98,"))
    return "\n".join(lines) + "\n"


@pytest.mark.slow
def test_validate_a_good_and_a_bad_file(tidegate: CommandLine, project: Path) -> None:
    as_of = ["--as-of", "2024-01-05T04:00:00Z"]
    write_strategy(project, bars())
    told = tidegate("validate", "mine", *as_of)
    assert told.code == 0, told.err
    assert "BTC/USDT: passed, 100 of 100 rows clean" in told.out
    (answer,) = one_value(tidegate("validate", "mine", *as_of, "--json").out)
    assert answer["passed"] is True
    assert answer["origin"]

    write_strategy(project, bars(twice=True))
    told = tidegate("validate", "mine", *as_of)
    assert told.code == 3
    assert "FAILED" in told.out
    assert "duplicate_conflicting" in told.out
    assert "validation_failed: bars of BTC/USDT" in told.err
    told = tidegate("validate", "mine", *as_of, "--json")
    assert told.code == 3
    (answer,) = one_value(told.out)
    assert answer["passed"] is False
    assert "duplicate_conflicting" in [finding["rule"] for finding in answer["findings"]]
    assert not (project / "data").exists(), "validating stores nothing"


def test_an_unknown_strategy_is_exit_code_2_with_the_known_names(tidegate: CommandLine, project: Path) -> None:
    write_strategy(project, bars())
    for command in ("validate", "ingest", "revisions", "history", "trials"):
        told = tidegate(command, "yours")
        assert told.code == 2
        assert "strategy 'yours' has no file" in told.err
        assert "known strategies: mine" in told.err
        told = tidegate(command, "yours", "--json")
        assert (told.code, told.err) == (2, "")
        error = one_value(told.out)["error"]
        assert (error["code"], error["next_step"]) == ("configuration", "known strategies: mine")


def test_a_missing_source_is_exit_code_3(tidegate: CommandLine, project: Path) -> None:
    write_strategy(project, "", source={"type": "file", "path": "nowhere.csv"})
    told = tidegate("validate", "mine")
    assert told.code == 3
    assert told.err.startswith("source: ")


@pytest.mark.slow
def test_ingest_and_the_snapshot_it_names(tidegate: CommandLine, project: Path) -> None:
    write_strategy(project, bars())
    as_of = ["--as-of", "2024-01-05T04:00:00Z"]
    (stored,) = one_value(tidegate("ingest", "mine", *as_of, "--json").out)
    assert (stored["symbol"], stored["bars"], stored["first"]) == ("BTC/USDT", 100, "2024-01-01T00:00:00Z")
    (again,) = one_value(tidegate("ingest", "mine", *as_of, "--json").out)
    assert again == stored, "doing it twice changes nothing"
    told = tidegate("ingest", "mine", *as_of)
    assert told.code == 0
    assert "BTC/USDT" in told.out

    out = project / "rebuilt.parquet"
    answer = one_value(tidegate("snapshot", "mine", stored["snapshot"], "--out", str(out), "--json").out)
    assert (answer["bars"], answer["hash"]) == (100, stored["snapshot"])
    assert out.exists()
    assert "rebuilt and verified" in tidegate("snapshot", "mine", stored["snapshot"]).out
    told = tidegate("snapshot", "mine", "0" * 64)
    assert told.code == 3
    assert "no open revisions" in tidegate("revisions", "mine").out
    assert one_value(tidegate("revisions", "mine", "--json").out) == []


def test_history_without_history(tidegate: CommandLine, project: Path) -> None:
    write_strategy(project, "")
    told = tidegate("history", "mine")
    assert told.code == 0
    assert "mine has no history; tidegate retrain mine makes some" in told.out
    assert one_value(tidegate("history", "mine", "--json").out) == []


def act(project: Path, strategy: str) -> None:
    ledger = Ledger(Database(f"sqlite:///{project}/data/ledger/ledger.db"))
    with ledger.writing() as writer:
        writer.append(Draft(strategy, "bar", None, 1, "ann", "odd"), "committed")


def test_history_of_a_strategy_with_a_model_for_each_symbol(tidegate: CommandLine, project: Path) -> None:
    write_strategy(project, "", symbols=["BTC/USDT", "ETH/USDT"], combine="separate")
    (project / "configs" / "strategies" / "broken.yaml").write_text("version: 7")
    act(project, "mine-ethusdt")
    told = tidegate("history", "mine")
    assert told.code == 0
    assert "mine-btcusdt" in told.out
    assert "mine-ethusdt" in told.out
    assert "tidegate history mine-btcusdt" in told.out
    (row,) = one_value(tidegate("history", "mine", "--json").out)
    assert row["strategy"] == "mine-ethusdt"
    assert "odd" in tidegate("history", "mine-ethusdt").out
    assert "mine-btcusdt has no history" in tidegate("history", "mine-btcusdt").out
    assert tidegate("history", "mine-xrpusdt").code == 2


def test_history_outlives_the_strategys_file(tidegate: CommandLine, project: Path) -> None:
    act(project, "gone")
    told = tidegate("history", "gone")
    assert told.code == 0
    assert "odd" in told.out


def test_trials_by_retrain_and_fold(tidegate: CommandLine, project: Path) -> None:
    write_strategy(project, "", symbols=["BTC/USDT", "ETH/USDT"], combine="separate")
    name, key = "mine-btcusdt", "mine-btcusdt/2024-02"
    returns = project / "returns.parquet"
    returns.write_bytes(b"r")
    ledger = TrialLedger(Database(f"sqlite:///{project}/data/ledger/ledger.db"))

    def window(start: str, end: str) -> Window:
        return Window(start_at=parse_time(start), end_at=parse_time(end))

    january, february = window("2024-01-01", "2024-02-01"), window("2024-02-01", "2024-03-01")
    for fold, test, scores in ((0, january, (0.5, 1.25, None)), (1, february, (None,))):
        windows = FoldWindows(train=window("2023-12-01", "2023-12-31"), test=test)
        for count, score in enumerate(scores):
            trial_id = f"{fold}-{count}"
            ledger.record(Trial(trial_id, name, key, fold, {}, 7, windows, score, 9, returns, sha256(b"r")))
        ledger.record_read(HoldoutRead(name, key, "run a", "a" * 64, test))
    ledger.record_read(HoldoutRead(name, key, "run b", "a" * 64, january))

    told = tidegate("trials", name)
    assert told.code == 0
    assert "mine-btcusdt: 4 trials" in told.out
    assert "2024-01-01 to 2024-02-01" in told.out, "a window of whole days stands on one line"
    (answer,) = one_value(tidegate("trials", name, "--json").out)
    assert (answer["strategy"], answer["trials"]) == (name, 4)
    found = [(fold["fold"], fold["trials"], fold["best_score"], fold["reads"]) for fold in answer["folds"]]
    assert found == [(0, 3, 1.25, 2), (1, 1, None, 1)]
    assert answer["folds"][0]["test"] == ["2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"]
    assert answer["looks"] == []
    assert "looks" not in told.out
    looks = LookLedger(ledger.database)
    for number, day in enumerate(("2024-03-01", "2024-04-01")):
        looks.reserve(name, f"{number:064x}", parse_time(day), yearly_error=0.05, looks_per_year=12)
    looks.record_outcome(name, f"{0:064x}", p_value=0.031, promote=False)
    (answer,) = one_value(tidegate("trials", name, "--json").out)
    spent = [(look["looked_at"], look["level"], look["p_value"], look["promote"]) for look in answer["looks"]]
    assert spent == [("2024-03-01T00:00:00Z", 0.05 / 12, 0.031, False), ("2024-04-01T00:00:00Z", 0.05 / 12, None, None)]
    told = tidegate("trials", name)
    assert "mine-btcusdt: 2 looks" in told.out
    assert "never got there" in told.out
    told = tidegate("trials", "mine")
    assert "mine-btcusdt: 4 trials" in told.out
    assert "mine-ethusdt has no trials" in told.out


def test_status_when_nothing_runs(tidegate: CommandLine) -> None:
    told = tidegate("status")
    assert told.code == 0
    assert "tidegate up does not run in this project; start it" in told.out
    answer = one_value(tidegate("status", "--json").out)
    assert (answer["pid"], answer["healthy"]) == (None, False)


def test_an_unforeseen_error_is_a_message_with_its_traceback_in_a_file(
    tidegate: CommandLine, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    def broken() -> None:
        raise KeyError("[bold]no such thing")

    monkeypatch.setattr(data_commands, "open_project", broken)
    monkeypatch.setattr("tempfile.tempdir", str(project))
    told = tidegate("validate", "mine", "--json")
    assert (told.code, told.err) == (1, "")
    error = one_value(told.out)["error"]
    assert error["message"] == "unexpected KeyError: '[bold]no such thing'"
    (log,) = project.glob("tidegate-*.log")
    assert str(log) in error["next_step"]
    assert "in broken" in log.read_text()
    assert "[bold]no such thing" in tidegate("validate", "mine").err


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "by a library"])
def test_a_full_disk_is_no_defect(tidegate: CommandLine, monkeypatch: pytest.MonkeyPatch, *, wrapped: bool) -> None:
    full_disk = OSError(errno.ENOSPC, "No space left on device", "runs/report.html")

    def full() -> None:
        if wrapped:
            raise ValueError("could not be stored") from full_disk
        raise full_disk

    monkeypatch.setattr(data_commands, "open_project", full)
    told = tidegate("validate", "mine", "--json")
    error = one_value(told.out)["error"]
    assert (told.code, error["code"]) == (7, "service")
    assert error["message"] == "the disk takes nothing more: No space left on device"
    assert error["actual"] == "runs/report.html"
    assert "defect" not in error["next_step"]


def test_an_error_whose_traceback_finds_no_place_is_told_all_the_same(
    tidegate: CommandLine, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    def broken() -> None:
        raise KeyError("no such thing")

    monkeypatch.setattr(data_commands, "open_project", broken)
    monkeypatch.setattr("tempfile.tempdir", str(project / "not there"))
    told = tidegate("validate", "mine", "--json")
    assert told.code == 1
    assert "no file, since none could be written" in one_value(told.out)["error"]["next_step"]


def test_a_library_that_is_not_installed_is_named_with_what_to_install(
    tidegate: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slim() -> None:
        raise ModuleNotFoundError("No module named 'mlflow.tracking'", name="mlflow.tracking")

    monkeypatch.setattr(data_commands, "open_project", slim)
    told = tidegate("validate", "mine")
    assert told.code == 2
    assert "mlflow is not installed" in told.err
    assert "pip install" in told.err


def test_numbers_that_json_does_not_know_become_null(capsys: pytest.CaptureFixture[str]) -> None:
    from tidegate.cli.output import print_json

    print_json({"a": [float("nan"), float("inf"), 1.5], 2: (None, Path("x"))})
    assert json.loads(capsys.readouterr().out) == {"a": [None, None, 1.5], "2": [None, "x"]}


OWN_FEATURES = """
def gap(window, length):
    return window.now(window.log_close) - window.now(window.log_open)
"""


@pytest.mark.slow
@pytest.mark.parametrize("command", ["validate", "ingest"])
def test_own_features_are_found_in_the_projects_folder(
    tidegate: CommandLine, project: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in {"", str(project)}])
    monkeypatch.delitem(sys.modules, "own_features", raising=False)
    (project / "own_features.py").write_text(OWN_FEATURES)
    write_strategy(project, bars(), features=[{"use": "own_features:gap", "lookback": 1}])
    told = tidegate(command, "mine", "--as-of", "2024-01-05T04:00:00Z")
    assert told.code == 0, told.err
    found = find_strategy("mine", project / "configs" / "strategies")
    assert [spec.use for spec in resolve(found.features).specs] == ["own_features:gap"]
    tidegate(command, "mine", "--as-of", "2024-01-05T04:00:00Z")
    assert sys.path.count(str(project)) == 1, "once"
