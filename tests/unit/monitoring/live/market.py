"""A small trained model, its bars after training, and rows as the service would write them."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from tests.integration.pipeline.small_market import strategy as small
from tests.registry_factories import manifest

from tidegate.backtest.metrics import summarise
from tidegate.backtest.positions import decide
from tidegate.backtest.result import Sides, Trades
from tidegate.bars.bars import Bars, parse_time
from tidegate.bars.interval import DAY_MS
from tidegate.bars.simulated import simulate
from tidegate.dataset.dataset import assemble
from tidegate.dataset.folds import walk_forward
from tidegate.errors import TidegateError
from tidegate.features.features import resolve
from tidegate.model.bundle import Bundle
from tidegate.model.onnx_model import OnnxModel
from tidegate.monitoring.live import live_figures
from tidegate.monitoring.predictions import Predictions, read_predictions
from tidegate.monitoring.result import LiveFigures
from tidegate.pipeline.fold import run_fold
from tidegate.serving.log.record import Row
from tidegate.serving.log.writer import PredictionLog
from tidegate.strategy.strategy import SimulatedSource, Strategy

TRAINED_UNTIL = parse_time("2025-04-20T00:00:00Z")
START = TRAINED_UNTIL
AS_OF = START + 30 * DAY_MS
BARS = 30 * 96
SYMBOL, OTHER = "SIM/USD", "SIM2/USD"


@dataclass(frozen=True)
class Model:
    """A strategy and its trained bundle."""

    strategy: Strategy
    bundle: Bundle


@cache
def bars_of(symbol: str, *, edge_ends_at: str | None = None) -> Bars:
    """The market from its opening to a day after `AS_OF`."""
    source = SimulatedSource(
        type="simulated", seed=12, edge=1.0, starts_at="2025-01-01T00:00:00Z", days=160, edge_ends_at=edge_ends_at
    )
    return simulate(symbol, small().bar, source, AS_OF + DAY_MS)


@cache
def model(symbols: tuple[str, ...] = (SYMBOL,)) -> Model:
    """Trained on the 65 days before the last 30 before `START`, tested on those 30."""
    strategy = small(symbols=symbols, windows={"max_folds": 1})
    dataset = assemble(
        [bars_of(symbol).until(TRAINED_UNTIL) for symbol in symbols], resolve(strategy.features), strategy
    )
    windows = walk_forward(dataset.first_usable_at, dataset.end_at, strategy.windows, strategy.bar)[-1]
    fold = run_fold(dataset, windows, strategy, threads=1)
    metrics = summarise(fold.portfolio, strategy.periods_per_year)
    made = manifest(
        strategy=strategy.name,
        kind="simulated",
        symbols=strategy.symbols,
        interval=strategy.interval,
        calendar="24/7",
        features=dataset.features.specs,
        lookback=dataset.features.lookback,
        policy=fold.policy,
        calibration=fold.fitted.calibration,
        out_of_sample={name: value if math.isfinite(value) else None for name, value in metrics.items()},
        regimes={symbol: regimes.model_dump(mode="json") for symbol, regimes in fold.regimes.items()},
    )
    return Model(strategy, Bundle(made, made.digest(), fold.onnx, fold.fitted.ubj, ()))


def other(bundle: Bundle, **changes: Any) -> Bundle:  # noqa: ANN401  any field of the manifest
    """The same model under another manifest."""
    made = bundle.manifest.model_copy(update=changes)
    return replace(bundle, manifest=made, digest=made.digest())


@cache
def answers(symbols: tuple[str, ...] = (SYMBOL,)) -> tuple[Row, ...]:
    """What version 1 answers a bot that asks at every bar and does as told, in the order of asking."""
    trained = model(symbols)
    rows = [row for symbol in symbols for row in _answers(trained, bars_of(symbol))]
    return tuple(sorted(rows, key=lambda row: row.received_at))


def answers_on(bars: Bars) -> tuple[Row, ...]:
    """The same on other bars of the one symbol."""
    return tuple(_answers(model(), bars))


def _answers(trained: Model, bars: Bars) -> Iterable[Row]:
    features, symbol = resolve(trained.strategy.features), bars.symbol
    known = bars.until(AS_OF)
    first = int(np.searchsorted(known.opened_at, START))
    part = known.take(slice(first, None))
    matrix = features.matrix(known)[first:]
    probability = OnnxModel(trained.bundle.onnx, len(features.names)).probability(matrix)
    target = decide(probability, part.close, part.open, trained.bundle.manifest.policy)
    for at, closed_at in enumerate(part.closed_at.tolist()):
        yield Row(
            request_id=f"{symbol}-{at}", instance="a:8080", strategy=trained.strategy.name, symbol=symbol,
            bar_closed_at=closed_at, received_at=closed_at + 100, answered_at=closed_at + 101, version=1,
            bundle_digest=trained.bundle.digest, role="production", features=matrix[at].tolist(),
            input_digest="cd" * 32, probability=float(probability[at]), target_position=side(target[at]),
            abstain_reason=None, out_of_distribution=0.0, data_age_ms=100, status="ok",
        )  # fmt: skip


def side(target: np.int8) -> Any:  # noqa: ANN401  a literal -1, 0 or 1
    """A position as the log keeps it."""
    return int(target)


def changed(row: Row, **changes: Any) -> Row:  # noqa: ANN401  any field
    """A row with other fields."""
    return msgspec.structs.replace(row, **changes)


def abstained(row: Row, reason: str = "stale_data") -> Row:
    """The same, abstaining."""
    return changed(row, target_position=None, abstain_reason=reason, status="abstain")


def halted(row: Row) -> Row:
    """What a halted strategy answers at that time."""
    nothing = dict.fromkeys(
        ("bar_closed_at", "version", "bundle_digest", "features", "input_digest", "probability", "data_age_ms")
    )
    return changed(row, **nothing, target_position=0, abstain_reason="halted", status="abstain")


def write(folder: Path, rows: Iterable[Row]) -> Path:
    """Write rows with the service's own writer, each into the folder of its instance."""
    logs: dict[str, PredictionLog] = {}
    for row in rows:
        if row.instance not in logs:
            logs[row.instance] = PredictionLog(
                folder, row.instance, segment_bytes=1 << 20, max_bytes=1 << 30, keep_days=40_000, sync=False,
                now_ms=lambda: AS_OF,
            )  # fmt: skip
        logs[row.instance].append([row])
        logs[row.instance].commit()
    for log in logs.values():
        log.close()
    return folder


def predictions(folder: Path, rows: Iterable[Row], *, as_of: int = AS_OF) -> Predictions:
    """The rows as read back from a log."""
    return read_predictions(
        write(folder, rows), model().strategy.name, window_start_at=START, as_of=as_of, received_since_ms=None
    )


def figures(
    folder: Path,
    rows: Sequence[Row],
    *,
    bundles: Mapping[int, Bundle] | None = None,
    bars: Mapping[str, Bars] | None = None,
    as_of: int = AS_OF,
    fills: Trades | None = None,
    symbols: tuple[str, ...] = (SYMBOL,),
    without_answer: str = "flat",
    windows: Callable[[str], Bars] = bars_of,
) -> LiveFigures:
    """Live figures of rows in a log."""
    trained = model(symbols)
    strategy = trained.strategy
    monitor = strategy.monitor.model_copy(update={"without_answer": without_answer})
    return live_figures(
        predictions(folder, rows, as_of=as_of),
        {symbol: windows(symbol) for symbol in symbols} if bars is None else bars,
        {1: trained.bundle} if bundles is None else bundles,
        strategy.model_copy(update={"monitor": monitor}),
        window_start_at=START,
        as_of=as_of,
        fills=fills,
    )


def targets(rows: Iterable[Row]) -> Sides:
    """The rows' target positions."""
    return np.array([row.target_position for row in rows], dtype=np.int8)


def refusal(call: Callable[[], object]) -> TidegateError:
    """The error that a call raises."""
    try:
        call()
    except TidegateError as error:
        return error
    raise AssertionError("nothing was refused")
