"""Incidents and maintenance windows on the command line, with a ledger of their own."""

import json
import re
from pathlib import Path

import pytest
from tests.unit.cli.run import CommandLine

from tidegate.bars.bars import iso
from tidegate.cli.incident_commands import tell_report
from tidegate.errors import NotVerified
from tidegate.registry.events import EventLedger
from tidegate.rollback.incidents import open_incident
from tidegate.rollback.maintenance import active
from tidegate.rollback.procedure import ActReport
from tidegate.rollback.verification import Followed, Verification
from tidegate.settings.settings import Paths, Settings

CONTENT = {
    "act": "rollback",
    "automatic": True,
    "from_version": 3,
    "to_version": 2,
    "rule": "latency",
    "reason": "latency: p95 25 ms",
    "ledger_row": 7,
    "acted_at": 1_780_000_000_000,
    "finding": {"observed": 25.0, "unit": "ms", "threshold": 20.0, "n": 60, "error_rate": "never"},
    "verification": None,
    "logs": ["runs/watch"],
    "watch_until": 1_780_001_800_000,
}


@pytest.fixture
def tidegate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIDEGATE_ROOT", str(tmp_path))
    strategies = tmp_path / "configs" / "strategies"
    strategies.mkdir(parents=True)
    for name, symbols in (("eurusd", "[EUR/USD]"), ("both", "[BTC/USDT, ETH/USDT]\ncombine: separate")):
        content = f"version: 1\nname: {name}\nkind: real\nsymbols: {symbols}\ninterval: 5m\nsource: {{type: file, path: b.csv}}\n"
        (strategies / f"{name}.yaml").write_text(content)
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def events(tidegate: CommandLine, tmp_path: Path) -> EventLedger:
    del tidegate
    return EventLedger.from_settings(Settings(paths=Paths(data=tmp_path / "data")))


def test_an_incident_from_its_opening_to_its_end(tidegate: CommandLine, events: EventLedger) -> None:
    assert tidegate("incidents").out == "no open incident\n"
    open_incident(events, "eurusd", 7, actor="tidegate watch", content=CONTENT)
    listed = tidegate("incidents", "eurusd").out
    for part in ("eurusd/7", "rollback v3 > v2", "latency", "open"):
        assert part in listed
    assert json.loads(tidegate("incidents", "other", "--json").out) == []

    shown = re.sub(r"\s+", " ", tidegate("incident", "show", "eurusd/7").out)
    for part in ("rolled back from v3 to v2 by rule latency", "Observed 25.0 ms, bound 20.0", "log: runs/watch"):
        assert part in shown

    assert tidegate("incident", "note", "eurusd/7", "--note", " ").code == 2
    assert "noted" in tidegate("incident", "note", "eurusd/7", "--note", "the feed was slow").out
    closed = json.loads(tidegate("incident", "close", "eurusd/7", "--note", "feed replaced", "--json").out)
    assert (closed["open"], closed["closing_note"]) == (False, "feed replaced")
    assert "the feed was slow" in tidegate("incident", "show", "eurusd/7").out
    assert tidegate("incidents").out == "no open incident\n"
    assert "closed by" in tidegate("incidents", "--all").out
    again = tidegate("incident", "close", "eurusd/7", "--note", "again")
    assert (again.code, "closed already" in again.err) == (2, True)
    assert tidegate("incident", "show", "eurusd/8").code == 2


def test_a_maintenance_window_from_its_start_to_its_end(tidegate: CommandLine, events: EventLedger) -> None:
    assert "no maintenance window" in tidegate("maintenance", "status").out
    window = json.loads(
        tidegate("maintenance", "start", "eurusd", "--minutes", "60", "--reason", "disks", "--json").out
    )
    assert window["until_at"] == iso(window["until"])
    assert abs(window["until"] - window["started_at"] - 3_600_000) < 5_000
    assert (window["strategy"], window["silence"], window["warnings"]) == ("eurusd", None, [])
    assert window["id"] in tidegate("maintenance", "status").out
    assert tidegate("maintenance", "end", window["id"], "--reason", "done").code == 0
    assert json.loads(tidegate("maintenance", "status", "--json").out) == []
    assert tidegate("maintenance", "end", window["id"], "--reason", "done").code == 2
    assert [row.kind for row in events.rows()] == ["maintenance_started", "maintenance_ended"]


def test_a_window_covers_all_models_of_a_strategy_and_no_unknown_name(
    tidegate: CommandLine, events: EventLedger
) -> None:
    unknown = tidegate("maintenance", "start", "eurusdd", "--minutes", "60", "--reason", "disks")
    assert (unknown.code, "known strategies: both, eurusd" in unknown.err) == (2, True)
    assert events.rows() == []
    started = tidegate("maintenance", "start", "both", "--minutes", "60", "--reason", "disks", "--json")
    assert json.loads(started.out)["models"] == ["both-btcusdt", "both-ethusdt"]
    one = tidegate("maintenance", "start", "both-btcusdt", "--minutes", "60", "--reason", "disks", "--json")
    assert (json.loads(one.out)["strategy"], json.loads(one.out)["models"]) == ("both-btcusdt", [])
    now = events.database.clock()
    assert [bool(active(events, name, now)) for name in ("both-ethusdt", "eurusd")] == [True, False]


def test_an_alertmanager_that_is_away_is_a_warning(
    tidegate: CommandLine, events: EventLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_NOTIFY__ALERTMANAGER_URL", "http://127.0.0.1:1")
    told = tidegate("maintenance", "start", "--minutes", "60", "--reason", "disks")
    assert (told.code, "WARNING alerts are not silenced" in told.err) == (0, True)
    assert len(events.rows()) == 1


def report(state: str) -> ActReport:
    one = Followed("one", "http://127.0.0.1:1", state, None, "v3 answers")  # type: ignore[arg-type]
    found = Verification("eurusd", 2, "d" * 64, 1, 30.0, (one,))
    return ActReport("roll_back", True, "eurusd is back on v2", verification=found, incident="eurusd/7")


def test_a_process_that_does_not_follow_ends_with_7(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NotVerified, match=r"not on v2 within 30\.0 s: one"):
        tell_report(report("behind"), None, as_json=False)
    shown = capsys.readouterr().out
    assert "eurusd is back on v2" in shown
    assert "behind" in shown
    assert NotVerified.exit_code == 7


def test_a_process_that_is_silent_is_shown_and_does_not_fail(capsys: pytest.CaptureFixture[str]) -> None:
    tell_report(report("silent"), None, as_json=False)
    assert "silent" in capsys.readouterr().out
