"""The paper bot's ledger against the backtest's reference ledger, and what it does with bars that are none."""

import json
import resource
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cargo import built
from tests.integration.client.scripted import Scripted
from tests.unit.client.records import LOOKBACK, bars

from tidegate.backtest import reference
from tidegate.backtest.ratios import max_drawdown, win_rate
from tidegate.backtest.result import Backtest, Sides, Trades
from tidegate.bars.bars import COLUMNS, Bars
from tidegate.monitoring.fills import read_fills
from tidegate.strategy.strategy import Costs

MINUTE = 60_000
SYMBOL = "A/USD"
CAPITAL = 10_000.0
FREE_OF_IMPACT = Costs(fee_bps=5.3, half_spread_bps=0.7, slippage_bps=0.1)
DEAR = FREE_OF_IMPACT.model_copy(update={"impact_coefficient": 0.8})
Options = Mapping[str, object]
EXACT = ("side", "entry_at", "exit_at", "signal_at", "entry_price", "exit_price", "units", "gross_pnl", "bars_held")


@dataclass(frozen=True)
class Run:
    """What a run of the bot left."""

    code: int
    said: str
    lines: list[dict[str, Any]]
    out: Path

    @property
    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = self.lines[-1]["result"]
        return result


def random_bars(seed: int, n: int, *, volume: float) -> Bars:
    """Bars whose opens jump, with gaps in time and bars without volume."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.004, n)))
    open_ = np.concatenate(([100.0], close[:-1])) * np.exp(rng.normal(0.0, 0.002, n))
    high = np.maximum(open_, close) * np.exp(rng.exponential(0.001, n))
    low = np.minimum(open_, close) * np.exp(-rng.exponential(0.001, n))
    volumes = rng.exponential(volume, n) * (rng.random(n) > 0.1)
    opened_at = 1_700_000_000_000 + MINUTE * np.cumsum(1 + rng.integers(1, 50, n) * (rng.random(n) < 0.02))
    return Bars.of(SYMBOL, "1m", opened_at=opened_at, open=open_, high=high, low=low, close=close, volume=volumes)


def random_targets(seed: int, n: int) -> Sides:
    """Targets that often stay and often flip."""
    rng = np.random.default_rng(seed)
    changes = rng.random(n) < 0.3
    target = rng.integers(-1, 2, n)
    latest = np.maximum.accumulate(np.where(changes, np.arange(n), 0))
    return target[latest].astype(np.int8)


def csv(bars: Bars) -> str:
    rows = zip(*(getattr(bars, name).tolist() for name in COLUMNS), strict=True)
    return "".join([",".join(COLUMNS) + "\n", *(",".join(map(repr, row)) + "\n" for row in rows)])


def command(folder: Path, costs: Costs, bars: str, options: Options, *, dry_run: bool = False) -> list[str]:
    """The bot's command line, with its settings and bars in the folder."""
    client = (
        f'url = "http://127.0.0.1:9"\nstrategy = "s"\ninterval = "1m"\nbot = "b"\ndry_run = {str(dry_run).lower()}\n'
    )
    client += "[retry]\nattempts = 1\n[heartbeat]\nevery_ms = 0\n[health]\npoll_ms = 0\n"
    paper = f"[paper]\ncapital = {CAPITAL!r}\n" + "".join(f"{name} = {value!r}\n" for name, value in costs)
    (folder / "bot.toml").write_text('clock = "bars"\n' + client + paper)
    (folder / "bars.csv").write_text(bars)
    given: dict[str, object] = {
        "--config": folder / "bot.toml",
        "--symbol": SYMBOL,
        "--out": folder / "out",
        "--bars": folder / "bars.csv",
    }
    given |= options
    return [str(built("paper_bot")), *(str(word) for pair in given.items() for word in pair)]


def run(folder: Path, costs: Costs, bars: str, options: Options, *, dry_run: bool = False, said: str = "") -> Run:
    """Run the bot over bars, with `said` on its standard input."""
    words = command(folder, costs, bars, options, dry_run=dry_run)
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60, input=said)
    return Run(done.returncode, done.stderr, [*map(json.loads, done.stdout.splitlines())], folder / "out")


def targets_of(folder: Path, target: Sequence[int] | Sides) -> Path:
    path = folder / "targets.txt"
    path.write_text("".join(f"{int(side)}\n" for side in target))
    return path


def trades_of(out: Path) -> Trades:
    """All round trips of fills.jsonl, those closed by the end too."""
    rows = [json.loads(line) for line in (out / "fills.jsonl").read_text().splitlines()]
    assert all(tuple(row) == Trades.names() for row in rows)
    return Trades.of(**{name: [row[name] for row in rows] for name in Trades.names()})


def same(done: Run, tested: Backtest, costs: Costs) -> None:
    """That the bot's trades and sums are the backtest's."""
    assert (done.code, done.result["error"]) == (0, None), done.said
    ours, theirs = trades_of(done.out), tested.trades
    assert len(ours) == len(theirs)
    for name in EXACT:
        assert getattr(ours, name).tobytes() == getattr(theirs, name).tobytes(), name
    assert ours.forced_exit.tolist() == theirs.forced_exit.tolist()
    if costs.impact_coefficient:
        assert np.abs(ours.cost / theirs.cost - 1.0).max() <= 1e-12
        assert ours.net_pnl == pytest.approx(theirs.net_pnl, rel=1e-12, abs=1e-12 * CAPITAL)
    else:
        assert ours.cost.tobytes() == theirs.cost.tobytes()
        assert ours.net_pnl.tobytes() == theirs.net_pnl.tobytes()
        assert ours.net_return.tobytes() == theirs.net_return.tobytes()
    assert done.result["trades"] == len(theirs)
    assert done.result["win_rate"] == win_rate(theirs.net_pnl)
    assert done.result["net"] == pytest.approx(tested.equity[-1] - CAPITAL, rel=1e-9, abs=1e-9)
    assert done.result["return"] == pytest.approx(tested.net_return.sum(), rel=1e-9, abs=1e-12)
    worst = max_drawdown(tested.equity, tested.equity_low, CAPITAL)
    assert done.result["worst_equity_fall"] == pytest.approx(worst, rel=1e-12)


@pytest.mark.parametrize("costs", [FREE_OF_IMPACT, DEAR], ids=["free of impact", "with impact"])
@pytest.mark.parametrize(("seed", "volume"), [(1, 1e6), (2, 3000.0), (3, 40.0)])
def test_trades_are_the_reference_ledgers(tmp_path: Path, seed: int, volume: float, costs: Costs) -> None:
    n = 700
    bars, target = random_bars(seed, n, volume=volume), random_targets(seed + 100, n)
    tested = reference.run(bars, target, costs, CAPITAL, np.full(n, -1, np.int8))
    assert len(tested.trades) > 50
    same(run(tmp_path, costs, csv(bars), {"--targets": targets_of(tmp_path, target)}), tested, costs)


@pytest.mark.parametrize("last", [1, 0, -1])
def test_bars_before_the_start_are_no_part_of_the_ledger(tmp_path: Path, last: int) -> None:
    """Impact reads bars since the start only, as in the backtest, and bars that close after the end are not seen."""
    bars, target = random_bars(5, 300, volume=500.0), random_targets(7, 200)
    target[-2] = last
    within = bars.take(slice(50, 250))
    tested = reference.run(within, target, DEAR, CAPITAL, np.full(200, -1, np.int8))
    limits = {"--start-at": within.opened_at[0], "--end-at": within.closed_at[-1]}
    done = run(tmp_path, DEAR, csv(bars), {"--targets": targets_of(tmp_path, target)} | limits)
    same(done, tested, DEAR)
    assert done.result["bars"] == 200
    assert done.result["end_position"]["side"] == last


def test_a_dry_run_fills_nothing(tmp_path: Path) -> None:
    bars, target = random_bars(1, 60, volume=1e6), random_targets(1, 60)
    done = run(tmp_path, DEAR, csv(bars), {"--targets": targets_of(tmp_path, target)}, dry_run=True)
    assert (done.code, done.result["bars"], done.result["trades"], done.result["dry_run"]) == (0, 60, 0, True)
    assert (tmp_path / "out" / "fills.jsonl").read_bytes() == b""


def test_without_a_service_each_bar_has_its_decision(tmp_path: Path) -> None:
    bars = random_bars(2, 40, volume=1e6)
    done = run(tmp_path, DEAR, csv(bars), {"--start-at": bars.opened_at[10]})
    assert done.code == 0, done.said
    decisions = done.lines[:-1]
    assert [decision["bar_closed_at"] for decision in decisions] == bars.closed_at[10:].tolist()
    assert {(decision["source"], decision["target"]) for decision in decisions} == {("fallback", 0)}
    assert done.result["decisions"] == {"fallback": 30}
    assert sum(done.result["reasons"].values()) == 30
    assert done.result == json.loads((done.out / "result.json").read_text())
    assert decisions == [json.loads(line) for line in (done.out / "decisions.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{at},1,2,0.5,1.5\n", "six values"),
        ("{at},1,2,0.5,nan,3\n", 'close: a number above 0 is expected, was "nan"'),
        ("{back},1,2,0.5,1.5,3\n", "opened_at: {at} or later is expected"),
        ("{at},1,2,0.5,1.5,3", "it has no end"),
    ],
)
def test_what_was_traded_before_a_malformed_line_is_kept(tmp_path: Path, line: str, expected: str) -> None:
    bars, target = random_bars(3, 50, volume=1e6), random_targets(4, 60)
    times = {"at": int(bars.closed_at[-1]), "back": int(bars.opened_at[-1])}
    done = run(
        tmp_path,
        FREE_OF_IMPACT,
        "",
        {"--targets": targets_of(tmp_path, target), "--bars": "-"},
        said=csv(bars) + line.format(**times),
    )
    assert done.code == 2
    message = f"bars, line 52: {expected.format(**times)}"
    assert message in done.said
    assert done.result["error"].startswith(message)
    tested = reference.run(bars, target[:50], FREE_OF_IMPACT, CAPITAL, np.full(50, -1, np.int8))
    assert trades_of(done.out).net_pnl.tobytes() == tested.trades.net_pnl.tobytes()


def test_settings_and_files_that_are_not_usable_end_it_before_it_begins(tmp_path: Path) -> None:
    bars = csv(random_bars(3, 5, volume=1e6))
    cases: list[tuple[Options, str]] = [
        ({"--speed": "fast"}, "--speed"),
        ({"--config": tmp_path / "none.toml"}, "none.toml cannot be read"),
        ({"--bars": tmp_path / "none.csv"}, "--bars"),
        ({"--out": tmp_path / "bars.csv" / "x"}, "--out"),
    ]
    for options, said in cases:
        done = run(tmp_path, DEAR, bars, options)
        assert (done.code, done.lines) == (2, []), done.said
        assert said in done.said
    few = run(tmp_path, DEAR, bars, {"--targets": targets_of(tmp_path, [0, 1])})
    assert (few.code, few.result["bars"]) == (2, 3)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_the_bot_ends_as_the_bars_do_when_it_is_told_to(tmp_path: Path, kind: signal.Signals) -> None:
    bars, target = random_bars(6, 30, volume=1e6), random_targets(6, 31)
    target[27:29] = 1, -1  # a round trip ends at the last bar's open, so it has been seen when that is written
    words = command(tmp_path, FREE_OF_IMPACT, "", {"--targets": targets_of(tmp_path, target), "--bars": "-"})
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as bot:
        assert bot.stdin is not None
        assert bot.stdout is not None
        bot.stdin.write(csv(bars).encode())
        bot.stdin.flush()
        tested = reference.run(bars, target[:30], FREE_OF_IMPACT, CAPITAL, np.full(30, -1, np.int8))
        closed = int(np.sum(~tested.trades.forced_exit))
        _wait_for_lines(tmp_path / "out" / "fills.jsonl", closed)
        bot.send_signal(kind)
        result = json.loads(bot.stdout.read())["result"]
        assert bot.wait(20) == 0
    assert result["trades"] == closed + 1
    assert trades_of(tmp_path / "out").net_pnl.tobytes() == tested.trades.net_pnl.tobytes()


def test_round_trips_of_a_bot_that_was_killed_are_read_by_monitoring(tmp_path: Path) -> None:
    bars, target = random_bars(8, 200, volume=1e6), random_targets(8, 200)
    path = targets_of(tmp_path, target)
    done = run(tmp_path, FREE_OF_IMPACT, csv(bars), {"--targets": path})
    (done.out / "decisions.jsonl").write_text('{"target": 1}\n')
    fills = done.out / "fills.jsonl"
    fills.write_bytes(fills.read_bytes() + fills.read_bytes()[:70])
    window = {"window_start_at": 0, "as_of": int(bars.closed_at[-1])}
    tested = reference.run(bars, target, FREE_OF_IMPACT, CAPITAL, np.full(200, -1, np.int8)).trades
    tested = tested.take(~tested.forced_exit)
    assert read_fills(done.out, [SYMBOL], **window).cost.tobytes() == tested.cost.tobytes()
    again = run(tmp_path, FREE_OF_IMPACT, csv(bars), {"--targets": path})
    assert again.code == 0
    assert "half a line" in again.said
    assert read_fills(again.out, [SYMBOL], **window).cost.tobytes() == tested.cost.tobytes()


def _wait_for_lines(path: Path, count: int) -> None:
    deadline = time.monotonic() + 20
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def of_the_service(service: Scripted, folder: Path, count: int) -> list[str]:
    """A bot that decides by a service on so many bars, for which the service always says long."""
    settings = f'url = "{service.url}"\nstrategy = "sim"\ninterval = "1h"\nbot = "b"\nclock = "bars"\ndry_run = false\n'
    (folder / "bot.toml").write_text(settings + "[health]\npoll_ms = 0\n[heartbeat]\nevery_ms = 0\n")
    (folder / "bars.csv").write_text(csv(Bars.of("SIM/USD", "1h", **bars(count))))
    words = {"--config": "bot.toml", "--bars": "bars.csv", "--out": "out"}
    paths = [str(word) for name, file in words.items() for word in (name, folder / file)]
    return [str(built("paper_bot")), *paths, "--symbol", "SIM/USD", "--keep", "50"]


def decided(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / "decisions.jsonl").read_text().splitlines()]


# More than a pipe holds that nobody reads.
MANY = 250


@pytest.mark.parametrize("leaves", [False, True], ids=["reads nothing", "leaves"])
def test_who_reads_what_is_printed_holds_no_trade_up(service: Scripted, tmp_path: Path, leaves: bool) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(of_the_service(service, tmp_path, MANY), stdout=pipe, stderr=pipe) as bot:
        assert bot.stdout is not None
        if leaves:
            bot.stdout.readline()
            bot.stdout.close()
        assert bot.wait(60) == 0
    found = decided(tmp_path)
    assert len(found) == MANY
    assert {one["source"] for one in found[LOOKBACK:]} == {"model"}
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert (result["bars"], result["error"]) == (MANY, None)


def test_a_ledger_that_cannot_be_written_ends_the_bot(service: Scripted, tmp_path: Path) -> None:
    def full() -> None:
        # A file that must not grow any further is a disk that is full.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = subprocess.run(
        of_the_service(service, tmp_path, MANY),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=full,
    )
    assert done.returncode == 3
    assert "decisions.jsonl cannot be written" in done.stderr
    result = json.loads(done.stdout.splitlines()[-1])["result"]
    assert "nothing more is acted on" in result["error"]
    # It ended at once, and what it held was closed and is in the sums.
    assert 10 < result["bars"] < 100
    assert (result["trades"], result["end_position"]["side"]) == (1, 1)
    assert len(service.of("/v1/predict")) <= result["bars"]
