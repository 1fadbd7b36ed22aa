"""Live figures: what the answers of the log earned on the stored bars, a version and role, with where every row went."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tidegate.backtest.portfolio import combine
from tidegate.backtest.positions import decide
from tidegate.backtest.regimes import UNKNOWN, RegimeDefinition, classify
from tidegate.backtest.result import Backtest, Floats, Sides, Trades
from tidegate.backtest.vectorbt_engine import run
from tidegate.bars.bars import Bars, iso
from tidegate.errors import FiguresRefused
from tidegate.labels.labels import minimum_bars
from tidegate.model.bundle import Bundle
from tidegate.monitoring.balance import Standing, balance, first_answer, standings
from tidegate.monitoring.calibration import known_labels
from tidegate.monitoring.columns import distinct
from tidegate.monitoring.outcomes import NO_ROW, Timeline, bar_of, rows_by_bar, timeline
from tidegate.monitoring.predictions import NO_TARGET, NO_VERSION, Mask, Predictions
from tidegate.monitoring.reconciliation import reconcile
from tidegate.monitoring.result import LiveFigures, VersionFigures
from tidegate.monitoring.versions import Earned, check_bundle, closed_trades, version_figures
from tidegate.strategy.strategy import Strategy


def live_figures(
    predictions: Predictions,
    bars: Mapping[str, Bars],
    bundles: Mapping[int, Bundle],
    strategy: Strategy,
    *,
    window_start_at: int,
    as_of: int,
    fills: Trades | None = None,
) -> LiveFigures:
    """Figures of all versions that answered within a window, from the log and the bars alone: same arguments, same bits.

    Production earned what the logged target positions earn at the next open at the strategy's costs, from flat at the first answer; where
    no position was named `monitor.without_answer` says what the bot did. Which answer counts at a bar is in `monitoring.outcomes`. A
    trade belongs to the version whose answer opened it, a bar's return to the version that answered the bar before. A shadow earned what
    the position policy of its manifest makes of its probabilities; where it did not answer it enters nothing, and exits still apply.

    A position still held at the last bar is valued as if closed there, with costs, and left out wherever trades are counted: its
    outcome is not known yet. One that is held from before the window counts as entered at its first answer.

    Args:
        predictions: of this strategy and window.
        bars: by symbol, ascending and validated, with what features, regimes and labels look back on before the window; bars that
            closed after `as_of` are not looked at.
        bundles: by version, verified; a version without one has no regimes and no reconciliation, and as a shadow no figures but NaN.
        strategy: costs, labels, capital.
        window_start_at: UTC ms; bars that opened at it or later.
        as_of: UTC ms; bars that closed at it or earlier.
        fills: of the bot within the window, None where it writes none.

    Raises:
        FiguresRefused: rows do not add up, a symbol has no bars, the predictions are of another window or strategy, or a version
            answered with another bundle than the one given.
    """
    _check(predictions, bars, bundles, strategy, window_start_at, as_of)
    known = {symbol: bars[symbol].until(as_of) for symbol in strategy.symbols}
    window = {symbol: part.between(window_start_at, as_of) for symbol, part in known.items()}
    standing = standings(predictions, window)
    counted = standing == Standing.COUNTED
    won = _labels(predictions, known, window_start_at, strategy)
    lines = _timelines(predictions, window, strategy)
    backtests = {
        symbol: run(
            line.bars, line.target, strategy.costs, strategy.capital / len(lines), _regimes(known, line, bundles)
        )
        for symbol, line in lines.items()
    }
    production = _production(predictions, counted, won, lines, backtests, strategy)
    series = closed_trades(combine(backtests)) if any(line.answered.any() for line in lines.values()) else None
    newest = production[-1].version if production and series is not None else NO_VERSION
    return LiveFigures(
        strategy=strategy.name,
        as_of=as_of,
        window_start_at=window_start_at,
        window_end_at=as_of,
        balance=balance(predictions, window, standing),
        production=production,
        shadow=_shadows(predictions, counted, won, known, window, bundles, strategy),
        series=series,
        reconciliation=reconcile(newest, bundles[newest], known, lines, strategy, fills) if newest in bundles else None,
        snapshot={symbol: part.content_hash() for symbol, part in window.items()},
    )


def _check(
    predictions: Predictions,
    bars: Mapping[str, Bars],
    bundles: Mapping[int, Bundle],
    strategy: Strategy,
    window_start_at: int,
    as_of: int,
) -> None:
    asked = (strategy.name, window_start_at, as_of)
    given = (predictions.strategy, predictions.window_start_at, predictions.as_of)
    if asked != given:
        raise FiguresRefused("predictions are of another strategy or window", expected=asked, actual=given)
    missing = sorted(set(strategy.symbols) - set(bars))
    if missing:
        raise FiguresRefused(f"there are no bars of {', '.join(missing)}", expected="bars of every symbol")
    for version, bundle in bundles.items():
        check_bundle(predictions, version, bundle.digest)


def _labels(predictions: Predictions, known: Mapping[str, Bars], window_start_at: int, strategy: Strategy) -> Floats:
    """(N,) the label of each row's bar, NaN where it is not known."""
    won = np.full(len(predictions), np.nan)
    for at, symbol in enumerate(predictions.symbols):
        if symbol in known:
            mine, bars = predictions.symbol == at, known[symbol]
            first = int(np.searchsorted(bars.opened_at, window_start_at)) - minimum_bars(strategy.labels)
            won[mine] = known_labels(bars.take(slice(max(0, first), None)), predictions.closed_at[mine], strategy)
    return won


def _timelines(predictions: Predictions, window: Mapping[str, Bars], strategy: Strategy) -> dict[str, Timeline]:
    """What production answered by symbol, from the first answer on; none where there is none."""
    start = first_answer(predictions, window)
    if start is None:
        return {}
    hold = strategy.monitor.without_answer == "hold"
    lines = {}
    for symbol, bars in window.items():
        part = bars.take(slice(int(np.searchsorted(bars.closed_at, start)), None))
        if not len(part):
            raise FiguresRefused(
                f"the store holds no bars of {symbol} since the first answer, for the bar until {iso(start)}",
                next_step="bring the bars of all symbols up to date with `tidegate ingest`",
            )
        lines[symbol] = timeline(predictions, part, hold=hold)
    return lines


def _regimes(known: Mapping[str, Bars], line: Timeline, bundles: Mapping[int, Bundle]) -> Sides:
    """(n,) each bar's regime, as the version that answered there defines it; before the first answer as the first one does."""
    first = line.version[int(np.argmax(line.version != NO_VERSION))]
    version = np.where(line.version == NO_VERSION, first, line.version)
    found = np.full(len(version), UNKNOWN, dtype=np.int8)
    for each in distinct(version):
        mine = version == each
        found[mine] = regimes(known[line.bars.symbol], line.bars, bundles.get(each))[mine]
    return found


def regimes(known: Bars, part: Bars, bundle: Bundle | None) -> Sides:
    """(n,) the regime known at the close of each of n bars, by a bundle's definition; unknown where there is none.

    Args:
        known: the same bars and those before.
        part: n of them in a row.
        bundle: of a version.
    """
    definition = None if bundle is None else bundle.manifest.regimes.get(known.symbol)
    if definition is None:
        return np.full(len(part), UNKNOWN, dtype=np.int8)
    rule = RegimeDefinition.model_validate(definition)
    first = int(np.searchsorted(known.opened_at, part.opened_at[0]))
    lead = min(first, rule.lookback - 1)
    return classify(known.take(slice(first - lead, first + len(part))), rule)[lead:]


def _production(
    predictions: Predictions,
    counted: Mask,
    won: Floats,
    lines: Mapping[str, Timeline],
    backtests: Mapping[str, Backtest],
    strategy: Strategy,
) -> tuple[VersionFigures, ...]:
    last: dict[int, int] = {}
    for line in lines.values():
        there = line.row != NO_ROW
        for version in distinct(line.version[there]):
            at = int(line.bars.closed_at[there & (line.version == version)][-1])
            last[version] = max(at, last.get(version, at))
    found = []
    for version in sorted(last, key=lambda each: (last[each], each)):
        earned = {symbol: _earned(version, line, backtests[symbol]) for symbol, line in lines.items()}
        found.append(version_figures(version, "production", predictions, counted, won, earned, strategy))
    return tuple(found)


def _earned(version: int, line: Timeline, backtest: Backtest) -> Earned:
    at, _ = bar_of(line.bars, backtest.trades.signal_at)
    mine = line.version[at] == version
    return Earned(
        replace(backtest, trades=backtest.trades.take(mine)),
        line.owner() == version,
        line.probability[at[mine]],
    )


def _shadows(
    predictions: Predictions,
    counted: Mask,
    won: Floats,
    known: Mapping[str, Bars],
    window: Mapping[str, Bars],
    bundles: Mapping[int, Bundle],
    strategy: Strategy,
) -> tuple[VersionFigures, ...]:
    found = []
    answered = predictions.shadow & (predictions.version != NO_VERSION)
    for version in distinct(predictions.version[answered]):
        bundle, mine = bundles.get(version), predictions.of(version, "shadow")
        earned = {} if bundle is None else _shadow(predictions, mine, known, window, bundle, strategy)
        found.append(version_figures(version, "shadow", predictions, counted & mine, won, earned, strategy))
    return tuple(sorted(found, key=lambda each: (each.last_bar_at, each.version)))


def _shadow(
    predictions: Predictions,
    mine: Mask,
    known: Mapping[str, Bars],
    window: Mapping[str, Bars],
    bundle: Bundle,
    strategy: Strategy,
) -> dict[str, Earned]:
    """By symbol, over the bars from its first answer to the one after its last; empty where no symbol has any."""
    closes = predictions.closed_at[mine & (predictions.target != NO_TARGET)]
    if not len(closes):
        return {}
    earned = {}
    for symbol, bars in window.items():
        first = int(np.searchsorted(bars.closed_at, closes.min()))
        last = int(np.searchsorted(bars.closed_at, closes.max(), side="right"))
        part = bars.take(slice(first, last + 1))
        if not len(part):
            return {}
        row = rows_by_bar(predictions, part, mine & (predictions.target != NO_TARGET))
        probability = np.full(len(part), np.nan)
        probability[row != NO_ROW] = predictions.probability[row[row != NO_ROW]]
        target = decide(probability, part.close, part.open, bundle.manifest.policy)
        regime = regimes(known[symbol], part, bundle)
        backtest = run(part, target, strategy.costs, strategy.capital / len(window), regime)
        at, _ = bar_of(part, backtest.trades.signal_at)
        earned[symbol] = Earned(backtest, np.ones(len(part), dtype=np.bool_), probability[at])
    return earned
