"""Where the registry refuses what the gates let through, and what may not depend on the machine."""

from pathlib import Path
from typing import Any

import pytest
from tests.registry_factories import NOW, REAL, decision, write_bundle

from tidegate.bars.interval import Interval
from tidegate.replay.history import History
from tidegate.replay.judged import Judged, without_latency
from tidegate.replay.market import Market
from tidegate.replay.plan import make_plan
from tidegate.settings.settings import Settings
from tidegate.strategy.gates import Gates
from tidegate.strategy.strategy import Strategy

CONTENT: dict[str, Any] = {
    "version": 1,
    "name": REAL,
    "kind": "real",
    "symbols": ["EUR/USD"],
    "interval": "1h",
    "source": {"type": "file", "path": "bars.parquet"},
}


@pytest.fixture
def path(tmp_path: Path) -> Judged:
    strategy = Strategy.model_validate(CONTENT)
    plan = make_plan(strategy, Settings(), tmp_path, "2018-01", "2018-02", out=tmp_path)
    market = Market(History(tmp_path, Interval("1h")), strategy, plan.settings.validation)
    found = Judged("deployed", "Deployed procedure", strategy, plan, market, tmp_path / "work")
    found._now = NOW
    for version in (1, 2):
        write_bundle(tmp_path / str(version), f"model {version}".encode())
        found._shelf.put(version, tmp_path / str(version))
    return found


def promote(path: Judged, version: int, champion: int | None) -> str:
    judged = decision(path._shelf.verified_manifest(REAL, version))
    path._shelf.keep_decision(version, judged)
    return path._promote(version, judged, champion)


def test_what_the_registry_refuses_is_told_and_a_halt_goes_on(path: Judged) -> None:
    assert promote(path, 1, None) == ""
    path._promoter.bar(REAL, 2, actor="test", reason="test")
    path._promoter.halt(REAL, actor="test", reason="something is wrong")
    assert "v2 was barred" in promote(path, 2, 1)
    state = path._promoter.ledger.state(REAL)
    assert state.current == 1
    assert state.halt is not None
    assert state.halt.reason == "something is wrong"


def test_a_halt_ends_with_what_the_registry_takes(path: Judged) -> None:
    assert promote(path, 1, None) == ""
    path._promoter.halt(REAL, actor="test", reason="something is wrong")
    assert promote(path, 2, 1) == ""
    state = path._promoter.ledger.state(REAL)
    assert (state.current, state.halt) == (2, None)


def test_the_state_of_a_path_comes_back(path: Judged) -> None:
    promote(path, 1, None)
    saved = path.save()
    path.load(saved)
    assert path.save() == saved


def test_latency_blocks_under_no_policy() -> None:
    for name in ("checklist", "balanced", "strict"):
        gates = Gates.model_validate({"policy": name})
        assert gates.latency_p95_ms.blocking
        open_ = without_latency(gates)
        assert not open_.latency_p95_ms.blocking
        assert open_.model_copy(update={"latency_p95_ms": gates.latency_p95_ms}) == gates
