"""The commands as people type them."""

import json
from pathlib import Path

import pytest
from tests.integration.backup.place import Place, make_place
from tests.unit.cli.run import CommandLine, Told

pytestmark = pytest.mark.slow

REPORT = "1/run/artifacts/report.html"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    made = make_place(tmp_path_factory.mktemp("commands"))
    made.configure()
    return made


@pytest.fixture
def tidegate(place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    monkeypatch.setenv("TIDEGATE_ROOT", str(place.root))
    monkeypatch.chdir(place.root)
    return CommandLine(monkeypatch, capsys)


def test_a_life_on_the_command_line(place: Place, tidegate: CommandLine, tmp_path: Path) -> None:
    assert "holds no whole backup" in tidegate("backups").out
    refused = tidegate("verify", "--json")
    assert refused.code == 7
    assert json.loads(refused.out)["findings"][0]["what"] == "it holds no whole backup"

    taken = json.loads(done(tidegate("backup", "--reason", "first", "--json")).out)
    assert taken["production"] == {"alpha": 1}
    (listed,) = json.loads(done(tidegate("backups", "--json")).out)
    assert (listed["id"], listed["holds"]) == (taken["id"], ["alpha/v1"])

    (place.artifacts / REPORT).unlink()
    damaged = tidegate("verify", "--live")
    assert damaged.code == 7
    assert f"tidegate restore --in-place --artifact {REPORT}" in damaged.err
    assert REPORT in done(tidegate("restore", "--in-place", "--artifact", REPORT)).out
    assert (place.artifacts / REPORT).is_file()
    assert "nothing is damaged" in done(tidegate("restore", "--in-place")).out
    assert "is whole" in done(tidegate("verify", "--live", "--read-data")).out

    into = tmp_path / "restored"
    told = done(tidegate("restore", "--to", str(into), "--only", "configuration", "--json"))
    assert json.loads(told.out)["places"] == {
        "configuration": str(into / "configs"),
        "strategies": str(into / "configs" / "strategies"),
    }
    assert tidegate("restore", "--to", str(into)).code == 7


@pytest.mark.parametrize(
    "words",
    [
        ("restore",),
        ("restore", "--to", "x", "--in-place"),
        ("restore", "--in-place", "--only", "models"),
        ("restore", "--to", "x", "--artifact", "y"),
        ("restore", "--to", "x", "--only", "everything"),
        ("restore", "--to", "x", "--database", "ledger"),
        ("restore-drill", "--database", "other=postgresql://x/y"),
    ],
)
def test_what_makes_no_sense_is_refused(tidegate: CommandLine, words: tuple[str, ...]) -> None:
    assert tidegate(*words).code == 2


def done(told: Told) -> Told:
    assert told.code == 0, told
    return told
