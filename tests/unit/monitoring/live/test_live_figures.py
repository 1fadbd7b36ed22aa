from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from tests.unit.monitoring.live import market
from tests.unit.monitoring.live.market import AS_OF, BARS, OTHER, START, SYMBOL, answers, changed, figures, model

from tidegate.backtest import reference
from tidegate.backtest.metrics import METRICS
from tidegate.backtest.result import Backtest
from tidegate.bars.interval import DAY_MS
from tidegate.errors import FiguresRefused, LogDamaged
from tidegate.monitoring.live import live_figures
from tidegate.monitoring.predictions import read_predictions
from tidegate.monitoring.result import Balance, LiveFigures

BAR_MS = 15 * 60_000


def said(value: object) -> str:
    """All of some figures, to the last bit."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}{value.tobytes().hex()}"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{said(each)}" for key, each in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "(" + ",".join(map(said, value)) + ")"
    if hasattr(value, "__dataclass_fields__"):
        return "<" + ",".join(said(getattr(value, field.name)) for field in fields(value)) + ">"  # type: ignore[arg-type]
    return repr(value)


def earned(found: LiveFigures) -> str:
    """All but where the rows went."""
    return said(replace(found, balance=Balance(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)))


def oracle(targets: np.ndarray, *, count: int = BARS) -> Backtest:
    """The reference ledger on the same bars."""
    bars = market.bars_of(SYMBOL).between(START, AS_OF).take(slice(0, count))
    strategy = model().strategy
    return reference.run(bars, targets, strategy.costs, strategy.capital, np.zeros(count, np.int8))


def test_figures_are_those_of_the_reference_ledger_without_the_open_trade(tmp_path: Path) -> None:
    rows = list(answers())
    told = market.targets(rows)
    count = int(np.flatnonzero((told[:-1] != 0) & (told[:-1] == told[1:]))[-1]) + 2  # held at the last bar
    as_of = START + count * BAR_MS
    found = figures(tmp_path, rows, as_of=as_of)
    expected = oracle(told[:count], count=count)
    assert expected.trades.forced_exit.tolist()[-2:] == [False, True]
    assert found.series is not None
    np.testing.assert_allclose(found.series.net_return, expected.net_return, rtol=0, atol=1e-12)
    closed = expected.trades.take(~expected.trades.forced_exit)
    (version,) = found.production
    assert version.trade_exit_at.tolist() == closed.exit_at.tolist()
    assert version.trade_won.tolist() == (closed.net_pnl > 0).tolist()
    assert version.trade_won.dtype == np.bool_
    np.testing.assert_allclose(version.trade_net_return, closed.net_return, rtol=0, atol=1e-12)
    assert version.metrics["trades"] == len(closed) == len(found.series.trades)
    assert version.metrics["win_rate"] == np.mean(closed.net_pnl > 0)
    assert version.metrics["total_return"] == pytest.approx(expected.net_return.sum(), abs=1e-12)
    assert set(version.metrics) == {metric.name for metric in METRICS}
    regimes = sum(each["trades"] for each in version.regimes.values())
    assert regimes == len(closed)
    assert (version.first_bar_at, version.last_bar_at) == (START + BAR_MS, as_of)
    assert found.balance == Balance(count, 0, 0, 0, 0, 1, 0, count - 1, 0, 0)
    assert (version.bundle_digest, version.predictions) == (model().bundle.digest, count - 1)


def test_on_time_late_twice_and_with_a_second_replica_the_figures_are_the_same_bits(tmp_path: Path) -> None:
    rows = list(answers())
    half = START + 15 * DAY_MS
    on_time = [row for row in rows if (row.bar_closed_at or 0) <= half]
    first = figures(tmp_path / "on_time", on_time, as_of=half)
    assert said(figures(tmp_path / "twice", on_time, as_of=half)) == said(first)
    assert said(figures(tmp_path / "late", rows, as_of=half)) == said(first)
    replica = [changed(row, instance="b:8080", received_at=row.received_at + 3) for row in on_time]
    again = [
        changed(row, request_id=f"again-{row.request_id}", received_at=row.received_at + 9) for row in on_time[::3]
    ]
    mixed = figures(tmp_path / "replica", [*replica[::-1], *on_time, *again], as_of=half)
    assert earned(mixed) == earned(first)
    assert mixed.balance.repeated == len(replica) + len(again)
    assert mixed.balance.rows == first.balance.rows + mixed.balance.repeated
    assert mixed.balance.counted == first.balance.counted


def test_trades_and_bars_belong_to_their_versions(tmp_path: Path) -> None:
    rows = list(answers())
    swap = BARS // 2
    second = market.other(model().bundle, created_at=model().bundle.manifest.created_at + 1)
    mixed = rows[:swap] + [changed(row, version=2, bundle_digest=second.digest) for row in rows[swap:]]
    late = [
        changed(row, version=2, bundle_digest=second.digest, received_at=AS_OF + 7, target_position=0)
        for row in rows[:swap]
    ]
    found = figures(tmp_path, mixed + late, bundles={1: model().bundle, 2: second})
    alone = figures(tmp_path / "alone", rows)
    assert found.series is not None
    assert alone.series is not None
    assert said(found.series) == said(alone.series)
    assert [each.version for each in found.production] == [1, 2]
    expected = oracle(market.targets(rows))
    by_signal = expected.trades.signal_at <= START + swap * BAR_MS
    for each, mine in zip(found.production, (by_signal, ~by_signal), strict=True):
        closed = expected.trades.take(mine & ~expected.trades.forced_exit)
        assert each.trade_exit_at.tolist() == closed.exit_at.tolist()
    for each, part in zip(found.production, (slice(0, swap + 1), slice(swap + 1, None)), strict=True):
        assert each.metrics["total_return"] == pytest.approx(expected.net_return[part].sum(), abs=1e-12)
        assert each.metrics["exposure"] == np.mean(np.abs(expected.position[part]))
        days = len(expected.position[part]) / 96
        assert each.metrics["trades_per_day"] == pytest.approx(each.metrics["trades"] / days)
    assert found.balance.superseded == swap
    assert found.reconciliation is not None
    assert found.reconciliation.version == 2
    assert found.reconciliation.days == (BARS - swap) / 96


def test_going_back_puts_the_old_version_last(tmp_path: Path) -> None:
    rows = list(answers())
    second = market.other(model().bundle, created_at=model().bundle.manifest.created_at + 1)
    as_second = [changed(row, version=2, bundle_digest=second.digest) for row in rows]
    found = figures(tmp_path, rows[:900] + as_second[900:1800] + rows[1800:], bundles={1: model().bundle, 2: second})
    assert [each.version for each in found.production] == [2, 1]
    assert found.reconciliation is not None
    assert (found.reconciliation.version, found.reconciliation.days) == (1, (BARS - 1800) / 96)
    totals = [each.metrics["total_return"] for each in found.production]
    assert found.series is not None
    assert sum(totals) == pytest.approx(found.series.net_return.sum(), abs=1e-12)


def test_a_shadow_earns_what_the_policy_makes_of_its_probabilities(tmp_path: Path) -> None:
    rows = list(answers())
    second = market.other(model().bundle, created_at=model().bundle.manifest.created_at + 1)
    shadow = [
        changed(
            row,
            role="shadow",
            version=2,
            bundle_digest=second.digest,
            target_position=1,
            request_id=f"s{row.request_id}",
        )
        for row in rows
    ]
    found = figures(tmp_path, rows + shadow, bundles={1: model().bundle, 2: second})
    (production,), (challenger,) = found.production, found.shadow
    assert challenger.role == "shadow"
    assert challenger.metrics == production.metrics
    assert challenger.calibration.error == production.calibration.error
    assert challenger.estimated_win_rate == production.estimated_win_rate
    unknown = figures(tmp_path / "unknown", rows + shadow)
    assert np.isnan(list(unknown.shadow[0].metrics.values())).all()
    assert unknown.shadow[0].predictions == BARS - 1


def test_a_bot_that_is_not_answered_is_flat_or_holds(tmp_path: Path) -> None:
    rows = list(answers())
    kept = [row if at % 3 else market.abstained(row) for at, row in enumerate(rows) if at % 4]
    told, target = market.targets(rows), np.zeros(BARS, np.int8)
    held = np.zeros(BARS, np.int8)
    for at in range(BARS):
        answered = at % 4 and at % 3
        target[at] = told[at] if answered else 0
        held[at] = told[at] if answered else held[at - 1]
    for name, wanted in (("flat", target), ("hold", held)):
        found = figures(tmp_path / name, kept, without_answer=name)
        assert found.series is not None
        np.testing.assert_allclose(found.series.net_return, _from(wanted), rtol=0, atol=1e-12)
        assert found.balance.abstained == sum(1 for at in range(BARS) if at % 4 and not at % 3)
        assert found.balance.bars_without_answer == sum(1 for at in range(1, BARS) if not at % 4)
        assert found.production[0].abstentions == {"stale_data": found.balance.abstained}


def _from(wanted: np.ndarray) -> np.ndarray:
    """Net returns of targets from the second bar on, where the first answer is."""
    bars = market.bars_of(SYMBOL).between(START, AS_OF).take(slice(1, None))
    strategy = model().strategy
    return reference.run(bars, wanted[1:], strategy.costs, strategy.capital, np.zeros(len(bars), np.int8)).net_return


def test_symbols_share_the_capital(tmp_path: Path) -> None:
    both = (SYMBOL, OTHER)
    rows = list(answers(both))
    found = figures(tmp_path, rows, symbols=both)
    strategy = model(both).strategy
    total = 0.0
    for symbol in both:
        bars = market.bars_of(symbol).between(START, AS_OF)
        mine = market.targets(row for row in rows if row.symbol == symbol)
        total += (
            reference.run(bars, mine, strategy.costs, strategy.capital / 2, np.zeros(BARS, np.int8)).net_return.sum()
            / 2
        )
    assert found.production[0].metrics["total_return"] == pytest.approx(total, abs=1e-12)
    assert found.reconciliation is not None
    assert found.reconciliation.live == pytest.approx(total, abs=1e-12)
    assert found.balance.counted == 2 * (BARS - 1)
    assert set(found.snapshot) == set(both)
    assert found.series is not None
    assert found.series.capital == strategy.capital


def test_what_another_version_earns_on_another_symbol_at_the_same_bars_is_not_its_own(tmp_path: Path) -> None:
    both, swap = (SYMBOL, OTHER), START + 15 * DAY_MS
    bundle = model(both).bundle
    second = market.other(bundle, created_at=bundle.manifest.created_at + 1)
    rows = [
        changed(row, version=2, bundle_digest=second.digest)
        if row.symbol == SYMBOL and (row.bar_closed_at or 0) > swap
        else row
        for row in answers(both)
    ]
    found = figures(tmp_path, rows, bundles={1: bundle, 2: second}, symbols=both)
    figures_of = {each.version: each for each in found.production}
    mine = oracle(market.targets(row for row in rows if row.symbol == SYMBOL))
    bars = slice(15 * 96 + 1, None)
    assert figures_of[2].metrics["total_return"] == pytest.approx(mine.net_return[bars].sum() / 2, abs=1e-12)
    assert figures_of[2].metrics["exposure"] == pytest.approx(np.mean(np.abs(mine.position[bars])) / 2)
    assert figures_of[2].metrics["total_cost"] == pytest.approx(mine.cost[bars].sum() / 2)
    totals = sum(each.metrics["total_return"] for each in found.production)
    assert found.series is not None
    assert totals == pytest.approx(found.series.net_return.sum(), abs=1e-12)
    assert found.reconciliation is None, "there are no bars that one version answers for alone"


def test_bars_behind_as_of_change_nothing(tmp_path: Path) -> None:
    rows = list(answers())
    half = START + 15 * DAY_MS
    full = market.bars_of(SYMBOL)
    cut = full.until(half)
    assert len(cut) < len(full)
    assert said(figures(tmp_path, rows, as_of=half)) == said(
        figures(tmp_path / "cut", rows, as_of=half, bars={SYMBOL: cut})
    )


def test_probabilities_are_calibrated_against_labels_known_at_as_of_only(tmp_path: Path) -> None:
    rows = list(answers())
    found = figures(tmp_path, rows).production[0]
    horizon = model().strategy.labels.horizon_bars
    assert BARS - horizon - 1 <= found.calibration.count.sum() < BARS
    assert 0.0 < found.calibration.error < 0.2
    turned = [changed(row, probability=1.0 - (row.probability or 0.0)) for row in rows]
    assert figures(tmp_path / "turned", turned).production[0].calibration.error > 2 * found.calibration.error


def test_an_empty_log_has_no_figures(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    strategy = model().strategy
    read = read_predictions(tmp_path / "log", strategy.name, window_start_at=START, as_of=AS_OF)
    found = live_figures(read, {SYMBOL: market.bars_of(SYMBOL)}, {}, strategy, window_start_at=START, as_of=AS_OF)
    assert (found.production, found.shadow, found.series, found.reconciliation) == ((), (), None, None)
    assert found.balance == Balance(0, 0, 0, 0, 0, 0, 0, 0, BARS, 0)


def test_only_abstentions_earn_nothing_and_prove_nothing(tmp_path: Path) -> None:
    found = figures(tmp_path, [market.abstained(row, "model_expired") for row in answers()])
    assert found.series is None
    assert found.reconciliation is None
    (version,) = found.production
    assert version.abstentions == {"model_expired": BARS}
    assert all(np.isnan(version.metrics[name]) for name in ("sharpe", "win_rate", "max_drawdown"))
    assert np.isnan(version.estimated_win_rate)
    assert np.isnan(version.calibration.error)


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    rows = list(answers())[:50]
    other = market.other(model().bundle, seed=8)
    assert "another bundle" in str(market.refusal(lambda: figures(tmp_path / "1", rows, bundles={1: other})))
    assert "no bars of" in str(market.refusal(lambda: figures(tmp_path / "2", rows, bars={})))
    late = market.bars_of(SYMBOL).until(START)
    read = market.predictions(tmp_path / "3", rows)
    strategy = model().strategy.model_copy(update={"symbols": (SYMBOL, OTHER)})
    both = {SYMBOL: market.bars_of(SYMBOL), OTHER: late}
    with pytest.raises(FiguresRefused, match=f"no bars of {OTHER}"):
        live_figures(read, both, {}, strategy, window_start_at=START, as_of=AS_OF)
    with pytest.raises(FiguresRefused, match="another strategy or window"):
        live_figures(read, both, {}, strategy, window_start_at=START, as_of=AS_OF - 1)


def test_rows_of_one_version_with_other_features_are_refused(tmp_path: Path) -> None:
    rows = [changed(row, features=[1.0] * (at + 1)) for at, row in enumerate(answers()[:2])]
    with pytest.raises(FiguresRefused, match="number of features"):
        market.predictions(tmp_path, rows)


def test_damage_is_refused_or_told_and_counted(tmp_path: Path) -> None:
    folder = market.write(tmp_path, list(answers())[:50])
    (path,) = folder.rglob("*.log")
    content = bytearray(path.read_bytes())
    at = content.index(b'"probability":0.') + len(b'"probability":0.')
    content[at] = ord("1") if content[at] != ord("1") else ord("2")
    path.chmod(0o644)
    path.write_bytes(content)
    name = model().strategy.name
    with pytest.raises(LogDamaged):
        read_predictions(folder, name, window_start_at=START, as_of=AS_OF)
    told: list[object] = []
    read = read_predictions(folder, name, window_start_at=START, as_of=AS_OF, on_corrupt=told.append)
    assert len(read) == 49
    assert read.damaged == len(told) >= 1


def test_rows_received_before_a_time_are_passed_over(tmp_path: Path) -> None:
    rows = list(answers())[:50]
    folder = market.write(tmp_path, rows)
    read = read_predictions(
        folder, model().strategy.name, window_start_at=START, as_of=AS_OF, received_since_ms=rows[20].received_at
    )
    assert len(read) == 30
    assert read.features_of(read.of(1)).tolist() == [row.features for row in rows[20:]]


def test_features_of_two_versions_are_refused(tmp_path: Path) -> None:
    rows = [changed(row, version=1 + at % 2) for at, row in enumerate(answers()[:4])]
    read = market.predictions(tmp_path, rows)
    assert read.features_of(read.of(2)).tolist() == [row.features for row in rows[1::2]]
    with pytest.raises(FiguresRefused, match="several versions"):
        read.features_of(~read.shadow)
