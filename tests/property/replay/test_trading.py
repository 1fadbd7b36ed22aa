"""Trading in parts, month by month, is trading at once."""

from itertools import pairwise
from typing import Any, cast

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.replay.scripted import HOUR, START, Model, Scripted, strategy, walk

from tidegate.policy.policy import PositionPolicy
from tidegate.replay.life import with_closing
from tidegate.replay.trading import Traded, close, enter, idle, join, trade
from tidegate.replay.watching import closed_before
from tidegate.strategy.strategy import Costs

COUNT = 240


def world(seed: int, *, symbols: int, impact: float, entries: float) -> tuple[Any, Any]:
    """A market and a model that enters and flips at random, or stays out at times."""
    rng = np.random.default_rng(seed)
    names = ("BTC/USDT", "ETH/USDT")[:symbols]
    bars = {name: walk(rng, name, COUNT, missing=0.05) for name in names}
    probability = {
        name: np.where(rng.random(len(each)) < entries, rng.random(len(each)), 0.5) for name, each in bars.items()
    }
    policy = PositionPolicy(
        long_at=0.6, short_at=0.4, take_profit=0.02, stop_loss=0.02, max_holding_bars=6, flip=bool(seed % 2)
    )
    return Scripted(bars, probability, strategy(names, impact_coefficient=impact)), Model(policy)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    symbols=st.integers(1, 2),
    impact=st.sampled_from([0.0, 0.5]),
    entries=st.sampled_from([0.1, 0.9]),
    cuts=st.lists(st.integers(0, COUNT), max_size=4),
)
def test_parts_add_up_to_the_whole(seed: int, symbols: int, impact: float, entries: float, cuts: list[int]) -> None:
    market, model = world(seed, symbols=symbols, impact=impact, entries=entries)
    begin = 100  # earlier bars are there for the impact of the first fills
    edges = [START + HOUR * at for at in sorted({begin, COUNT, *(cut for cut in cuts if begin < cut)})]
    stint = enter(1, edges[0], market.strategy)
    whole, done = trade(market, model, stint, edges[0], edges[-1], leaves=True)
    parts: list[Traded] = []
    for start, end in pairwise(edges):
        part, stint = trade(market, model, stint, start, end, leaves=end == edges[-1])
        parts.append(part)
    found = join(parts)
    assert found.closed_at.tolist() == whole.closed_at.tolist()
    np.testing.assert_allclose(found.net_return, whole.net_return, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.cost, whole.cost, rtol=0, atol=1e-12)
    assert found.position.tolist() == whole.position.tolist()
    assert found.trades.exit_at.tolist() == whole.trades.exit_at.tolist()
    np.testing.assert_allclose(found.trades.net_pnl, whole.trades.net_pnl, rtol=0, atol=1e-8)
    assert (stint.exit_at, stint.won) == (done.exit_at, done.won)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), cut=st.integers(110, COUNT - 1), impact=st.sampled_from([0.0, 0.5]))
def test_closing_at_a_month_s_first_moment_costs_what_leaving_there_does(seed: int, cut: int, impact: float) -> None:
    market, model = world(seed, symbols=2, impact=impact, entries=0.9)
    start, end = START + 100 * HOUR, START + cut * HOUR
    stint = enter(1, start, market.strategy)
    left, _ = trade(market, model, stint, start, end, leaves=True)
    stayed, moved = trade(market, model, stint, start, end, leaves=False)
    cost, ended = close(market, model, moved, end)
    assert stayed.total - cost == np.float64(left.total) or abs(stayed.total - cost - left.total) < 1e-12
    assert len(stayed.trades) + len(ended) == len(left.trades)
    assert sorted(ended.net_pnl.tolist()) == sorted(left.trades.net_pnl[left.trades.forced_exit].tolist())


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), cut=st.integers(110, COUNT - 1))
def test_what_a_rule_knows_of_at_a_moment_stays_as_it_is_when_the_version_leaves_then(seed: int, cut: int) -> None:
    market, model = world(seed, symbols=2, impact=0.0, entries=0.9)
    start, moment = START + 100 * HOUR, START + cut * HOUR
    _, moved = trade(market, model, enter(1, start, market.strategy), start, START + COUNT * HOUR, leaves=False)
    left, _ = trade(market, model, enter(1, start, market.strategy), start, moment, leaves=True)
    kept = left.trades.take(~left.trades.forced_exit)
    exits, won = closed_before(moved, moment)
    assert kept.exit_at.tolist() == exits.tolist()
    assert (kept.net_pnl > 0).tolist() == won.tolist()


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    cut=st.integers(150, COUNT - 30),
    free=st.booleans(),
    silent=st.sampled_from([("BTC/USDT",), ("BTC/USDT", "ETH/USDT")]),
)
def test_closing_is_paid_for_where_a_span_has_no_bars(seed: int, cut: int, free: bool, silent: tuple[str, ...]) -> None:
    """A version leaves in a hole of the market; at the moment before the hole it would have paid the same."""
    market, model = world(seed, symbols=2, impact=0.0, entries=0.9)
    if free:
        costs = Costs(fee_bps=0.0, half_spread_bps=0.0, slippage_bps=0.0)
        market.strategy = market.strategy.model_copy(update={"costs": costs})
    start, hole, end = (START + at * HOUR for at in (100, cut, cut + 10))
    for name in silent:
        inside = (market._bars[name].opened_at >= hole) & (market._bars[name].opened_at < end)
        market._bars[name] = market._bars[name].take(~inside)
        market._probability[name] = market._probability[name][~inside]
    _, stint = trade(market, model, enter(1, start, market.strategy), start, hole, leaves=False)
    cost, ended = close(market, model, stint, hole)
    after = idle(market, end, START + COUNT * HOUR)
    if len(silent) == 2:
        found, _ = trade(market, model, stint, hole, end, leaves=True)
        assert (len(found.closed_at), found.owed) == (0, cost)
        assert found.trades.net_pnl.tolist() == ended.take(np.argsort(ended.exit_at, kind="stable")).net_pnl.tolist()
        whole = join([found, after])
        assert (whole.owed, whole.total, whole.cost[0], whole.net_return[0]) == (0.0, -cost, cost, -cost)
        assert with_closing(idle(market, hole, end), cost, ended).owed == cost * bool(len(ended))
    else:
        held = trade(market, model, stint, hole, end, leaves=True)[0].trades
        mine, theirs = (each.take(each.symbol == silent[0]) for each in (held, ended))
        assert mine.net_pnl.tolist() == theirs.net_pnl.tolist()


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), cut=st.integers(110, COUNT - 1))
def test_what_comes_later_changes_nothing(seed: int, cut: int) -> None:
    market, model = world(seed, symbols=1, impact=0.5, entries=0.5)
    start, end = START + 100 * HOUR, START + cut * HOUR
    short, _ = trade(market, model, enter(1, start, market.strategy), start, end, leaves=False)
    other = cast("Any", world(seed, symbols=1, impact=0.5, entries=0.5)[0])
    later = {name: bars.opened_at >= end for name, bars in other._bars.items()}
    for name, mask in later.items():
        other._probability[name] = np.where(mask, 1.0 - other._probability[name], other._probability[name])
    again, _ = trade(other, model, enter(1, start, market.strategy), start, end, leaves=False)
    assert again.net_return.tobytes() == short.net_return.tobytes()
