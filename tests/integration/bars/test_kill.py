"""SIGKILL at every point that touches the disk: what is found afterwards is all old or all new."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.bars import kill_points
from tests.integration.bars.kill_points import HOUR, OPERATIONS, prepare

from tidegate.bars.snapshot import rebuild
from tidegate.bars.store import BarStore

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Outcome:
    name: str
    folder: Path
    killed: bool
    done: bool


def kill_everywhere(operation: str, tmp_path: Path) -> tuple[BarStore, BarStore, list[Outcome]]:
    """The store before, the store after an undisturbed run, and what each kill left."""
    base = tmp_path / "base"
    prepare(BarStore(base))
    command = [sys.executable, kill_points.__file__, operation, str(base), str(tmp_path / "work")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    outcomes = [
        Outcome(line["name"], Path(line["folder"]), line["killed"], line["done"])
        for line in map(json.loads, done.stdout.splitlines())
    ]
    return BarStore(base), BarStore(tmp_path / "work" / "whole" / "store"), outcomes


def state(store: BarStore, symbol: str = "BTC/USDT") -> tuple[str, tuple[object, ...]]:
    return store.load(symbol, HOUR).content_hash(), store.revisions(symbol, HOUR)


@pytest.mark.parametrize(
    ("operation", "symbol", "least"),
    [("ingest", "BTC/USDT", 40), ("first ingest", "ETH/USDT", 30), ("accept", "BTC/USDT", 30)],
)
def test_a_killed_change_of_the_store_is_whole_or_not_there(
    tmp_path: Path, operation: str, symbol: str, least: int
) -> None:
    before, after, outcomes = kill_everywhere(operation, tmp_path)
    old, new = state(before, symbol), state(after, symbol)
    assert old != new
    assert len(outcomes) >= least
    assert all(outcome.killed and not outcome.done for outcome in outcomes), "each kill came before completion"
    found = []
    for outcome in outcomes:
        store = BarStore(outcome.folder / "store", lock_timeout_s=1)
        found.append(state(store, symbol))
        assert found[-1] in (old, new), outcome.name
        OPERATIONS[operation](store)
        assert state(store, symbol) == new, f"again after a kill {outcome.name}"
        assert not list(store.root.rglob("*.tmp")) + list(store.root.rglob("commit.json")), outcome.name
    committed = next(row for row, outcome in enumerate(outcomes) if outcome.name == "after moving commit.json")
    assert [item == new for item in found] == [row >= committed for row in range(len(outcomes))]


def test_a_killed_snapshot_is_whole_or_not_there(tmp_path: Path) -> None:
    before, after, outcomes = kill_everywhere("snapshot", tmp_path)
    held = before.load("BTC/USDT", HOUR)
    assert len(outcomes) >= 9
    assert rebuild(after, held.content_hash()).equals(held)
    for outcome in outcomes:
        assert outcome.killed
        assert not outcome.done
        store = BarStore(outcome.folder / "store")
        there = list((store.root / "snapshots").glob("*.json"))
        assert bool(there) == (
            outcome.name.startswith(("after moving", "before syncing snap", "after syncing snap"))
        ), outcome.name
        OPERATIONS["snapshot"](store)
        assert rebuild(store, held.content_hash()).equals(held)
