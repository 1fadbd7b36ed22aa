"""What the backtest did is what the paper bot does: the same bars, a real service, the Rust client between them."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cargo import built
from tests.e2e.bot.paper_bot import HEADER, csv_line, json_lines, settings_of
from tests.e2e.bot.trained import NAME, SYMBOL, Trained
from tests.e2e.serving_process import Serving
from tests.servers import free_port

pytestmark = [pytest.mark.slow, pytest.mark.servers]

# Equal to the bit; what sums many products may differ in the last digits.
EXACT = ("side", "entry_at", "exit_at", "signal_at", "entry_price", "exit_price", "units", "bars_held", "forced_exit")
NEAR = ("gross_pnl", "cost", "net_pnl")
PATIENT: dict[str, Any] = {"deadline": {"decide_ms": 30_000, "attempt_ms": 10_000, "connect_ms": 5000}}


@pytest.fixture(scope="module")
def replay(market: Trained, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The paper bot over the whole test window, from a file; gives its output's lines and its folder."""
    program, folder = built("paper_bot"), tmp_path_factory.mktemp("replay")
    bars, rows = market.bars, market.rows
    (folder / "bars.csv").write_text("\n".join([HEADER, *(csv_line(bars, row) for row in range(len(bars)))]) + "\n")
    with Serving(folder, market.registry, free_port(), NAME) as serving:
        config = folder / "bot.toml"
        config.write_text(settings_of(f"http://127.0.0.1:{serving.port}", market.strategy, PATIENT))
        window = [
            "--start-at",
            str(int(bars.opened_at[rows.start])),
            "--end-at",
            str(int(bars.closed_at[rows.stop - 1])),
        ]
        command = [str(program), "--config", str(config), "--bars", str(folder / "bars.csv"), "--symbol", SYMBOL]
        command += [*window, "--out", str(folder / "out")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    *lines, last = [json.loads(line) for line in done.stdout.splitlines()]
    return {"decisions": lines, "result": last["result"], "out": folder / "out"}


def test_each_bar_is_decided_as_the_backtest_decided_it(market: Trained, replay: dict[str, Any]) -> None:
    tested, decisions = market.tested(1), replay["decisions"]
    assert [each["bar_closed_at"] for each in decisions] == tested.bars.closed_at.tolist()
    assert {each["source"] for each in decisions} == {"model"}
    assert {each["version"] for each in decisions} == {1}
    assert np.array([each["target"] for each in decisions], np.int8).tobytes() == tested.target.tobytes()
    probability = np.array([each["probability"] for each in decisions])
    assert probability.tobytes() == tested.probability.tobytes()
    assert list(json_lines(replay["out"] / "decisions.jsonl")) == decisions


def test_its_round_trips_are_those_of_the_backtest(market: Trained, replay: dict[str, Any]) -> None:
    expected, found = market.tested(1).backtest.trades, list(json_lines(replay["out"] / "fills.jsonl"))
    assert len(found) == len(expected) > 50
    assert {each["symbol"] for each in found} == {SYMBOL}
    for name in EXACT:
        column = np.array([each[name] for each in found], getattr(expected, name).dtype)
        assert column.tobytes() == getattr(expected, name).tobytes(), name
    for name in NEAR:
        column = np.array([each[name] for each in found])
        # Measured against the trade's cost: a profit may be all but zero.
        assert np.all(np.abs(column - getattr(expected, name)) <= 1e-12 * expected.cost), name
    net_return = np.array([each["net_return"] for each in found])
    assert np.all(np.abs(net_return - expected.net_return) <= 1e-12 * expected.cost / market.strategy.capital)


def test_its_result_is_the_backtests(market: Trained, replay: dict[str, Any]) -> None:
    backtest, result = market.tested(1).backtest, replay["result"]
    trades = backtest.trades
    assert result == json.loads(Path(replay["out"], "result.json").read_text())
    assert (result["bars"], result["trades"]) == (len(backtest), len(trades))
    assert result["gross"] == pytest.approx(float(trades.gross_pnl.sum()), rel=1e-9)
    assert result["cost"] == pytest.approx(float(trades.cost.sum()), rel=1e-9)
    assert result["net"] == pytest.approx(float(trades.net_pnl.sum()), rel=1e-9)
