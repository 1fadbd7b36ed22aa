"""Other lives on the small market: a halt and what ends it, several symbols, and the command."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.integration.replay.small_replay import CONTENT, market, small_plan, write_bars
from tests.unit.cli.run import CommandLine

from tidegate.bars.bars import parse_time
from tidegate.errors import ServiceError, ValidationFailed
from tidegate.registry.database import Database
from tidegate.registry.ledger import Ledger
from tidegate.replay.replay import replay
from tidegate.replay.result import ReplayResult
from tidegate.replay.trained import write_outcome
from tidegate.replay.training import read_inputs


def test_a_halt_ends_with_the_next_model_that_the_gates_let_through(tmp_path: Path) -> None:
    """The version before has expired when the rule fires, so there is none to go back to."""
    windows = CONTENT["windows"] | {"max_age_days": 42}
    gates = CONTENT["gates"] | {"sharpe": {"blocking": False}}
    plan = small_plan(tmp_path, "2025-08", windows=windows, gates=gates)
    found = replay(plan)
    deployed = found.paths[0]
    second, third = deployed.months[1:]
    assert [(act.kind, act.from_version, act.to_version) for act in second.acts] == [("halt", 2, None)]
    halted_at = second.acts[0].at_ms
    during = (deployed.closed_at > halted_at) & (deployed.closed_at <= second.live.end_ms)
    assert (deployed.net_return[during] == 0.0).all()
    assert (third.outcome, third.production_before, third.production_after) == ("promoted", None, 3)
    assert np.any(deployed.net_return[deployed.closed_at > third.as_of_ms] != 0.0)
    (kept,) = plan.folder.glob("paths/deployed-*/2025-08/ledger.db")
    rows = Ledger(Database(f"sqlite:///{kept}")).rows("small")
    acts = [(row.action, row.to_version) for row in rows if row.state == "committed"]
    assert acts == [("promote", 1), ("promote", 2), ("halt", None), ("bar", 2), ("clear", None), ("promote", 3)]


def test_a_month_that_a_worker_trained_by_other_code_is_refused(tmp_path: Path) -> None:
    plan = small_plan(tmp_path, "2025-06")

    def elsewhere(_function: Callable[[str], str], references: Sequence[str]) -> Iterator[str]:
        for reference in references:
            folder = Path(f"{reference}-0123456789abcdef")
            folder.mkdir(parents=True)
            write_outcome(folder, folder.name[:7], plan.start_ms, "nothing was trained")
            yield str(folder)

    with pytest.raises(ServiceError, match=r"month 2025-06 was trained by other code.* was 2025-06-0123456789abcdef"):
        replay(plan, elsewhere)


def test_a_month_of_which_validation_leaves_nothing_is_refused(tmp_path: Path) -> None:
    bars = market()
    june = (bars.opened_at >= parse_time("2025-06-01")) & (bars.opened_at < parse_time("2025-07-01"))
    plan = small_plan(tmp_path, "2025-06", replace(bars, low=np.where(june, bars.high * 2, bars.low)))

    def failing(_function: Callable[[str], str], references: Sequence[str]) -> Iterator[str]:
        for reference in references:
            folder = plan.folder / "months" / read_inputs(plan.folder, Path(reference).name).name
            folder.mkdir(parents=True)
            write_outcome(folder, folder.name[:7], plan.start_ms, "nothing was trained")
            yield str(folder)

    with pytest.raises(ValidationFailed, match="validation leaves no bar of BTC/USDT in 2025-06"):
        replay(plan, failing)


def test_several_symbols_are_one_portfolio(tmp_path: Path) -> None:
    bars = market()
    hole = bars.take((bars.opened_at < bars.opened_at[-1] - 100 * 86_400_000) | (np.arange(len(bars)) % 50 != 7))
    write_bars(tmp_path / "btcusdt.parquet", bars)
    write_bars(tmp_path / "ethusdt.parquet", hole)
    source = {"type": "file", "path": "{symbol}.parquet"}
    plan = small_plan(tmp_path, "2025-06", symbols=["BTC/USDT", "ETH/USDT"], source=source)
    found = replay(plan)
    month = bars.between(plan.start_ms, plan.end_ms)
    assert {path.closed_at.tobytes() for path in found.paths} == {month.closed_at.tobytes()}
    always, hold = found.path("always"), found.path("hold")
    assert always is not None
    assert hold is not None
    assert always.summary.trades > 20
    cost = plan.strategy.costs.side_bps / 10_000
    assert hold.summary.total_return == pytest.approx(month.close[-1] / month.open[0] - 1.0 - cost, abs=1e-9)


def test_the_command_says_what_came_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEGATE_ROOT", str(tmp_path))
    write_bars(tmp_path / "bars.parquet", market())
    (tmp_path / "configs" / "strategies").mkdir(parents=True)
    file = tmp_path / "configs" / "strategies" / "small.yaml"
    file.write_text(yaml.safe_dump(CONTENT | {"source": {"type": "file", "path": "bars.parquet"}}))
    tidegate = CommandLine(monkeypatch, capsys)
    words = (
        "replay",
        "small",
        "--from",
        "2025-06",
        "--to",
        "2025-06",
        "--workers",
        "1",
        "--out",
        str(tmp_path / "out"),
    )
    shown = tidegate(*words)
    assert shown.code == 0, shown.err
    assert "Deployed procedure" in shown.out
    assert "1 months trained" in shown.out
    told = tidegate(*words, "--json")
    (model,) = json.loads(told.out)
    assert model["training"]["reused"] == 1
    assert model["paths"][0]["months"][0]["outcome"] == "promoted"
    page = Path(model["page"])
    assert page.is_file()
    kept = ReplayResult.from_json(page.with_suffix(".json").read_text(encoding="utf-8"))
    assert kept.paths[0].summary.total_return == model["paths"][0]["total_return"]
    refused = tidegate("replay", "small", "--from", "2025-06", "--to", "2999-01", "--workers", "1")
    assert refused.code == 2
    assert "the last month of a replay is not over" in refused.err
