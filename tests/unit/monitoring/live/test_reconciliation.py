import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.unit.monitoring.live import market
from tests.unit.monitoring.live.market import AS_OF, BARS, SYMBOL, TRAINED_UNTIL, answers, changed, figures, model

from tidegate.backtest.positions import decide
from tidegate.backtest.result import Trades
from tidegate.bars.bars import iso
from tidegate.errors import FiguresRefused
from tidegate.monitoring.fills import cost_bps, read_fills
from tidegate.monitoring.result import LiveFigures, Reconciliation
from tidegate.serving.log.record import Row

CAUSES = ("market", "skew", "missing", "positions", "costs")


def found(figures_: LiveFigures) -> tuple[Reconciliation, dict[str, float]]:
    """The reconciliation and its effects; whatever the fault, they sum up."""
    whole = figures_.reconciliation
    assert whole is not None
    effects = {cause.name: cause.effect for cause in whole.causes}
    assert tuple(effects) == CAUSES
    assert abs(whole.promised + math.fsum(effects.values()) - whole.live) <= 1e-12
    assert all(cause.reason for cause in whole.causes)
    return whole, effects


def only(effects: dict[str, float], name: str) -> None:
    """That beside the market one cause alone has an effect."""
    assert abs(effects[name]) > 1e-3
    assert [each for each in CAUSES[1:] if each != name and abs(effects[each]) > 1e-12] == []


def by_policy(rows: Sequence[Row], chances: np.ndarray) -> list[Row]:
    """Rows with other probabilities, and targets as the policy makes them of those."""
    bars = market.bars_of(SYMBOL).between(TRAINED_UNTIL, AS_OF)
    target = decide(chances, bars.close, bars.open, model().bundle.manifest.policy)
    return [
        changed(row, probability=float(chance), target_position=market.side(side))
        for row, chance, side in zip(rows, chances, target, strict=True)
    ]


def test_where_nothing_is_wrong_only_the_market_differs(tmp_path: Path) -> None:
    whole, effects = found(figures(tmp_path, answers()))
    assert [effects[name] for name in CAUSES[1:]] == [0.0] * 4
    manifest = model().bundle.manifest
    assert whole.promised == pytest.approx(manifest.out_of_sample["total_return"], rel=1e-9)  # as many bars
    assert whole.largest_probability_difference == 0.0
    assert math.isnan(whole.cost_bps_paid)
    assert whole.cost_bps_assumed == pytest.approx(model().strategy.costs.side_bps)
    assert whole.days == 30.0


def test_shifted_probabilities_are_skew(tmp_path: Path) -> None:
    chances = np.clip(np.array([row.probability for row in answers()], dtype=float) + 0.07, 0.0, 1.0)
    whole, effects = found(figures(tmp_path, by_policy(answers(), chances)))
    only(effects, "skew")
    assert whole.largest_probability_difference == pytest.approx(0.07)


@pytest.mark.parametrize("kind", ["rows", "abstentions"])
def test_half_the_bars_without_an_answer_are_missing(tmp_path: Path, kind: str) -> None:
    rows = list(answers())
    there = np.arange(BARS) % 2 == 0
    bars = market.bars_of(SYMBOL).between(TRAINED_UNTIL, AS_OF)
    chances = np.array([row.probability for row in rows], dtype=float)
    target = np.zeros(BARS, np.int8)
    for at in np.flatnonzero(there):  # each answer starts from flat: the bot left at the bar before
        target[at] = decide(
            chances[at : at + 1], bars.close[at : at + 1], bars.open[at : at + 1], model().bundle.manifest.policy
        )[0]
    answered = [changed(row, target_position=market.side(side)) for row, side in zip(rows, target, strict=True)]
    kept = [
        row if known else market.abstained(row)
        for row, known in zip(answered, there, strict=True)
        if known or kind == "abstentions"
    ]
    _, effects = found(figures(tmp_path, kept))
    only(effects, "missing")


def test_altered_targets_are_positions(tmp_path: Path) -> None:
    rows = [changed(row, target_position=market.side(np.int8(-(row.target_position or 0)))) for row in answers()]
    whole, effects = found(figures(tmp_path, rows))
    only(effects, "positions")
    assert whole.live < whole.promised


def fills(cost_bps_a_side: float, *, every: int = 1) -> Trades:
    """The bot's fills of what it was told, dearer or cheaper."""
    from tidegate.backtest.reference import run

    bars = market.bars_of(SYMBOL).between(TRAINED_UNTIL, AS_OF)
    costs = model().strategy.costs.model_copy(
        update={"fee_bps": cost_bps_a_side, "half_spread_bps": 0, "slippage_bps": 0}
    )
    made = run(bars, market.targets(answers()), costs, 10_000.0, np.zeros(BARS, np.int8))
    return made.trades.take(~made.trades.forced_exit).take(slice(0, None, every))  # type: ignore[arg-type]


def test_dearer_fills_are_costs(tmp_path: Path) -> None:
    whole, effects = found(figures(tmp_path, answers(), fills=fills(9.0)))
    only(effects, "costs")
    assert whole.cost_bps_paid == pytest.approx(9.0)
    (version,) = figures(tmp_path / "again", answers()).production
    turnover = version.metrics["turnover_per_day"] * 30
    assert effects["costs"] == pytest.approx(-3.0e-4 * turnover)
    assert found(figures(tmp_path / "cheap", answers(), fills=fills(4.0)))[1]["costs"] > 0
    assert found(figures(tmp_path / "none", answers(), fills=Trades.empty()))[1]["costs"] == 0.0


def test_fills_of_the_version_before_say_nothing_of_this_one(tmp_path: Path) -> None:
    second = market.other(model().bundle, created_at=model().bundle.manifest.created_at + 1)
    rows = list(answers())
    rows = rows[:1000] + [changed(row, version=2, bundle_digest=second.digest) for row in rows[1000:]]
    swapped_at = rows[1000].bar_closed_at
    assert swapped_at is not None
    early, late = fills(9.0), fills(4.0)
    both = Trades.concatenate([early.take(early.entry_at < swapped_at), late.take(late.entry_at >= swapped_at)])
    whole, _ = found(figures(tmp_path, rows, bundles={1: model().bundle, 2: second}, fills=both))
    assert whole.cost_bps_paid == pytest.approx(4.0)


def test_an_edge_that_is_gone_is_the_market(tmp_path: Path) -> None:
    """The model goes on answering as it must, and its promise does not hold."""
    ended = market.bars_of(SYMBOL, edge_ends_at=iso(TRAINED_UNTIL))
    before = market.bars_of(SYMBOL)
    assert ended.until(TRAINED_UNTIL).equals(before.until(TRAINED_UNTIL))
    rows = market.answers_on(ended)
    whole, effects = found(figures(tmp_path, rows, bars={SYMBOL: ended}))
    only({**effects, "positions": effects["market"], "market": 0.0}, "positions")
    assert whole.live < 0 < whole.promised
    assert effects["market"] == pytest.approx(whole.live - whole.promised, abs=1e-12)
    assert "earns less" in whole.causes[0].reason


def test_without_a_promise_or_a_bundle_there_is_none(tmp_path: Path) -> None:
    bare = market.other(model().bundle, out_of_sample={"annual_return": None})
    rows = [changed(row, bundle_digest=bare.digest) for row in answers()]
    assert figures(tmp_path / "bare", rows, bundles={1: bare}).reconciliation is None
    assert figures(tmp_path / "none", answers(), bundles={}).reconciliation is None


def parquet(path: Path, trades: Trades, **columns: object) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = {name: getattr(trades, name) for name in Trades.names()} | columns
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({name: value for name, value in content.items() if value is not None}), path)


def test_fills_are_read_once_each_within_the_window(tmp_path: Path) -> None:
    made = fills(8.0)
    parquet(tmp_path / "f" / "a.parquet", made)
    parquet(tmp_path / "f" / "b.parquet", made.take(np.arange(5)), role=["bot"] * 5)
    read = read_fills(tmp_path / "f", [SYMBOL], window_start_at=TRAINED_UNTIL, as_of=AS_OF)
    assert read.exit_at.tolist() == made.exit_at.tolist()
    assert cost_bps(read) == pytest.approx(8.0)
    until = int(made.exit_at[9])
    since = int(made.entry_at[3])
    part = read_fills(tmp_path / "f", [SYMBOL], window_start_at=since, as_of=until)
    assert part.entry_at.tolist() == made.entry_at[3:10].tolist()
    assert len(read_fills(tmp_path / "f", ["B/USD"], window_start_at=0, as_of=AS_OF)) == 0


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ({"cost": None}, "lack columns"),
        ({"cost": [1.0, math.nan]}, "cannot be"),
        ({"units": [1.0, 0.0]}, "cannot be"),
        ({"cost": [1.0, None]}, "nulls"),
        ({"exit_at": [0, 0]}, "cannot be"),
        ({"side": [1, 0]}, "cannot be"),
        ({"side": ["long", "short"]}, "cannot be read"),
    ],
)
def test_fills_that_cannot_be_are_refused(tmp_path: Path, columns: dict[str, object], what: str) -> None:
    parquet(tmp_path / "f" / "a.parquet", fills(8.0).take(np.arange(2)), **columns)
    with pytest.raises(FiguresRefused, match=what):
        read_fills(tmp_path / "f", [SYMBOL], window_start_at=0, as_of=AS_OF)
    (tmp_path / "f" / "a.parquet").write_bytes(b"nothing")
    with pytest.raises(FiguresRefused, match="cannot be read"):
        read_fills(tmp_path / "f", [SYMBOL], window_start_at=0, as_of=AS_OF)
    with pytest.raises(FiguresRefused, match="no folder"):
        read_fills(tmp_path / "none", [SYMBOL], window_start_at=0, as_of=AS_OF)
