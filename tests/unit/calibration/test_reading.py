"""Figures are read from what a run left, and what is named stands on top."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.calibration_worlds import FIGURES, strategy
from tests.registry_factories import manifest

from tidegate.backtest.metrics import summarise
from tidegate.backtest.result import Backtest, Trades
from tidegate.calibration.draws import draw_alone, draw_together
from tidegate.calibration.figures import Figures, true_sharpe
from tidegate.calibration.reading import from_metrics, from_run, given, newest_run
from tidegate.calibration.single import CAPITAL, as_backtest
from tidegate.calibration.source import Named, find_figures
from tidegate.errors import FiguresRefused
from tidegate.model.manifest import Manifest
from tidegate.pipeline.files import write_out_of_sample

DAYS = 720


def nobody() -> tuple[int, Manifest] | None:
    return None


def unasked() -> tuple[int, Manifest] | None:
    raise AssertionError("production was asked for nothing")


def backtest(figures: Figures = FIGURES, seed: int = 1, days: int = DAYS) -> Backtest:
    rng = np.random.default_rng(seed)
    return as_backtest(rng, draw_alone(rng, figures, 1, days), 0, figures)


def written(runs: Path, name: str = "2026-11-20261130T190319-933", figures: Figures = FIGURES, seed: int = 1) -> Path:
    folder = runs / "simulated-demo" / name
    write_out_of_sample(folder / "out_of_sample", {"challenger": backtest(figures, seed)})
    return folder


def test_a_runs_figures_are_those_that_made_it(tmp_path: Path) -> None:
    found = from_run(written(tmp_path), strategy())
    trades = FIGURES.trades_per_day * DAYS
    assert found.trades_per_day == pytest.approx(FIGURES.trades_per_day, abs=4 * np.sqrt(trades) / DAYS)
    assert found.win_rate == pytest.approx(FIGURES.win_rate, abs=4 * np.sqrt(0.24 / trades))
    for name in ("gain", "loss", "gain_spread", "loss_spread"):
        assert getattr(found, name) == pytest.approx(getattr(FIGURES, name), rel=0.1)
    assert found.cost == pytest.approx(FIGURES.cost)
    assert found.count_dispersion == pytest.approx(1.0, abs=0.2)
    assert found.regimes == pytest.approx((1 / 3,) * 3, abs=0.06)
    assert (found.clustering, found.drawdown_factor, found.days) == (0.0, 1.0, DAYS)
    assert found.measured_sharpe == pytest.approx(summarise(backtest(), 365.0)["sharpe"], abs=1e-6)
    assert found.assumed == ("correlation",)
    assert "20261130T190319" in found.source


def test_the_amounts_are_shares_of_the_runs_capital_not_of_the_files(tmp_path: Path) -> None:
    folder = written(tmp_path)
    other = strategy().model_copy(update={"capital": 77.0})
    assert from_run(folder, other).gain == from_run(folder, strategy()).gain


def test_the_correlation_is_that_of_the_contest(tmp_path: Path) -> None:
    folder = written(tmp_path)
    rng = np.random.default_rng(2)
    paths = draw_together(rng, (replace(FIGURES, correlation=0.8),) * 2, 1, 400)
    sides = {name: as_backtest(rng, days, 0, FIGURES) for name, days in zip(("challenger", "champion"), paths, strict=True)}  # fmt: skip
    write_out_of_sample(folder / "contest", sides)
    found = from_run(folder, strategy())
    assert found.correlation == pytest.approx(0.8, abs=0.06)
    assert found.assumed == ()


def test_drawdowns_inside_bars_are_deeper(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    plain = backtest()
    deeper = replace(plain, equity_low=plain.equity - 0.01 * CAPITAL)
    write_out_of_sample(folder / "out_of_sample", {"challenger": deeper})
    found = from_run(folder, strategy())
    whole, days = (summarise(side, 365.0)["max_drawdown"] for side in (deeper, plain))
    assert found.drawdown_factor == pytest.approx(whole / days)
    assert found.drawdown_factor > 1.05


def test_several_symbols_win_together(tmp_path: Path) -> None:
    folder = written(tmp_path, figures=replace(FIGURES, trades_per_day=8.0, clustering=0.2))
    many = strategy().model_copy(update={"symbols": ("SIM/USD", "SIM/EUR")})
    assert from_run(folder, many).clustering == pytest.approx(0.2, abs=0.05)
    assert from_run(folder, strategy()).clustering == 0.0


def test_the_newest_run_is_the_one_that_started_last(tmp_path: Path) -> None:
    assert newest_run(tmp_path, "simulated-demo") is None
    names = ("2026-11-20261130T190319-933", "2026-12-20261130T180000-000", "2026-10-20261130T190319-934")
    for name in names:
        written(tmp_path, name)
    (tmp_path / "simulated-demo" / "2027-01-20270101T000000-000").mkdir()  # a run that died before it wrote
    newest = newest_run(tmp_path, "simulated-demo")
    assert newest is not None
    assert newest.name == names[2]


@pytest.mark.parametrize("kept", [0, 5])
def test_too_few_trades_tell_nothing(tmp_path: Path, kept: int) -> None:
    side = backtest()
    few = replace(side, trades=side.trades.take(np.arange(kept)))
    write_out_of_sample(tmp_path / "out_of_sample", {"challenger": few})
    with pytest.raises(FiguresRefused, match=f"{kept} trades"):
        from_run(tmp_path, strategy())


def test_trades_that_all_win_tell_nothing(tmp_path: Path) -> None:
    side = backtest()
    won = side.trades.take(side.trades.net_pnl > 0)
    write_out_of_sample(tmp_path / "out_of_sample", {"challenger": replace(side, trades=won)})
    with pytest.raises(FiguresRefused, match="winners and losers"):
        from_run(tmp_path, strategy())


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path)
    (folder / "out_of_sample" / "trades.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(FiguresRefused, match=r"trades\.parquet"):
        from_run(folder, strategy())


def test_a_run_without_bars_is_refused(tmp_path: Path) -> None:
    side = backtest()
    empty = replace(side, **{name: getattr(side, name)[:0] for name in Backtest.__slots__ if name not in {"capital", "trades"}})  # fmt: skip
    write_out_of_sample(tmp_path / "out_of_sample", {"challenger": replace(empty, trades=Trades.empty())})
    with pytest.raises(FiguresRefused, match="no bars"):
        from_run(tmp_path, strategy())


def test_a_manifests_metrics_give_nearly_the_same_figures() -> None:
    side = backtest()
    found = from_metrics(summarise(side, 365.0), strategy(), "a manifest")
    assert found is not None
    assert found.loss == pytest.approx(FIGURES.loss, rel=0.15)
    assert found.payoff == pytest.approx(FIGURES.payoff, rel=0.1)
    assert true_sharpe(found) == pytest.approx(summarise(side, 365.0)["sharpe"], rel=0.1)
    assert "gain_spread" in found.assumed


@pytest.mark.parametrize("name", ["win_rate", "payoff_ratio", "trades_per_day", "annual_return", "sharpe"])
@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -1.0])
def test_metrics_that_do_not_tell_enough_give_none(name: str, value: float | None) -> None:
    metrics: dict[str, float | None] = dict(summarise(backtest(), 365.0))
    metrics[name] = value
    if name in {"win_rate", "trades_per_day"} and value == -1.0:
        with pytest.raises((FiguresRefused, ValueError)):
            from_metrics(metrics, strategy(), "a manifest")
    else:
        assert from_metrics(metrics, strategy(), "a manifest") is None


def test_four_figures_are_enough(tmp_path: Path) -> None:
    named = Named(trades_per_day=3.0, win_rate=0.55, payoff=1.0, loss=0.004)
    written(tmp_path)
    found = find_figures(strategy(), tmp_path, named, unasked)
    assert (found.trades_per_day, found.win_rate, found.gain, found.loss) == (3.0, 0.55, 0.004, 0.004)
    assert found.cost == pytest.approx(2 * 6.0e-4)
    assert found.source == "the command line"
    assert "correlation" in found.assumed


def test_what_is_named_stands_on_top_of_a_run(tmp_path: Path) -> None:
    folder = written(tmp_path)
    plain = from_run(folder, strategy())
    found = find_figures(strategy(), tmp_path, Named(payoff=2.0, correlation=0.9, cost=0.0), unasked)
    assert found.gain == pytest.approx(2.0 * plain.loss)
    assert found.gain_spread / found.gain == pytest.approx(plain.gain_spread / plain.gain)
    assert (found.loss, found.correlation, found.cost) == (plain.loss, 0.9, 0.0)
    assert found.assumed == ()
    assert found.source.endswith("with correlation, cost, payoff as named")


def test_without_a_run_the_options_are_told(tmp_path: Path) -> None:
    with pytest.raises(FiguresRefused, match="--win-rate, --payoff, --loss") as raised:
        find_figures(strategy(), tmp_path, Named(trades_per_day=3.0), nobody)
    assert "--trades-per-day" not in str(raised.value.next_step)
    assert "tidegate retrain simulated-demo" in str(raised.value)


def test_named_figures_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FiguresRefused, match="win_rate"):
        find_figures(strategy(), tmp_path, Named(trades_per_day=3.0, win_rate=1.2, payoff=1.0, loss=0.004), nobody)


def test_a_fx_year_has_260_days() -> None:
    fx = strategy().model_copy(update={"calendar": "fx"})
    assert given(fx, trades_per_day=1.0, win_rate=0.5, payoff=1.0, loss=0.01).days_per_year == 260.0


def test_the_manifest_in_production_is_the_second_source(tmp_path: Path) -> None:
    made = manifest(out_of_sample={name: value for name, value in summarise(backtest(), 365.0).items() if np.isfinite(value)})  # fmt: skip
    found = find_figures(strategy(), tmp_path, Named(), lambda: (3, made))
    assert found.source == "manifest of v3, in production"
    poor = manifest(out_of_sample={"sharpe": 1.8, "win_rate": None})
    with pytest.raises(FiguresRefused, match="no usable model"):
        find_figures(strategy(), tmp_path, Named(), lambda: (3, poor))
