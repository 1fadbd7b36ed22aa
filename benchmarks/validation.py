"""Validation of a year of one-minute bars against plain numpy checks: `python -m benchmarks.validation [--bars FILE]`.

Without `--bars` the bars are simulated ones, with faults planted: values that are not finite, prices of zero, bars whose high is under their low, times off
the grid, and bars that are missing. Both sides must leave the same bars and find as many missing.

The plain side is what somebody would write who only wants sound bars: masks and one pass over the times. Ours also judges jumps, runs, mixed-up units,
staleness and the calendar, keeps every row's reason, and (the second line) asks Great Expectations for a second opinion of the same rows.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.tables import arguments, interleaved, keep, require, show
from numpy.typing import NDArray

from tidegate.bars.bars import COLUMNS, Bars, parse_time
from tidegate.bars.interval import Interval
from tidegate.bars.simulated import simulate
from tidegate.bars.sources.source import open_source
from tidegate.settings.settings import Validation
from tidegate.strategy.strategy import FileSource, SimulatedSource
from tidegate.validation.validate import judge, validate

FAULTS = 40


def load(path: Path | None) -> Bars:
    """A year of one-minute bars."""
    if path is None:
        source = SimulatedSource(type="simulated", seed=1, days=365)
        return with_faults(simulate("SIM/USD", Interval("1m"), source, parse_time("2026-11-01")))
    return (
        open_source(FileSource(type="file", path=str(path)), Path.cwd())
        .fetch("BTC/USDT", Interval("1m"), None, None, 0)
        .bars
    )


def with_faults(bars: Bars) -> Bars:
    """Some rows made unsound, and some taken out."""
    rng = np.random.default_rng(3)
    chosen = rng.permutation(np.arange(1, len(bars) - 1))[: 6 * FAULTS].reshape(6, FAULTS)
    columns = {name: getattr(bars, name).copy() for name in COLUMNS}
    columns["close"][chosen[0]] = np.nan
    columns["volume"][chosen[1]] = np.inf
    columns["low"][chosen[2]] = 0.0
    columns["high"][chosen[3]] = columns["low"][chosen[3]] * 0.999
    columns["opened_at"][chosen[4]] += 7
    there = np.ones(len(bars), bool)
    there[chosen[5]] = False
    return Bars(bars.symbol, bars.interval, *(columns[name][there] for name in COLUMNS))


def plain(bars: Bars) -> tuple[NDArray[np.int64], int]:
    """Times of the sound bars, in order and each once, and how many are missing between them."""
    opened, high, low, close, volume = bars.open, bars.high, bars.low, bars.close, bars.volume
    # Whatever is not finite makes one of the comparisons false.
    sound = (low > 0) & (low <= opened) & (low <= close) & (high >= opened) & (high >= close)
    sound &= (high < np.inf) & (volume >= 0) & (volume < np.inf)
    sound &= bars.opened_at % bars.interval.milliseconds == 0
    times = bars.opened_at[sound]
    if (np.diff(times) <= 0).any():
        times = np.unique(times)
    missing = (np.diff(times) // bars.interval.milliseconds - 1).sum()
    return times, int(missing)


def main() -> None:
    """Print medians and ratios."""
    parser = arguments(main.__doc__, rounds=5)
    parser.add_argument("--bars", type=Path)
    chosen = parser.parse_args()
    bars = load(chosen.bars)
    how: Any = {"rules": Validation(), "calendar": "24/7", "as_of_ms": int(bars.closed_at.max())}
    times, missing = plain(bars)
    judged = judge(bars, **how)
    require(np.array_equal(judged.bars.opened_at, times), "the bars that are left")
    require(judged.missing_bars == missing, f"missing bars, {judged.missing_bars} and {missing}")
    with tempfile.TemporaryDirectory() as folder:
        numbers = iter(range(chosen.rounds + 1))
        works: dict[str, Callable[[], object]] = {
            "plain numpy checks": partial(plain, bars),
            "rules alone": partial(judge, bars, **how),
            "rules and Great Expectations": partial(validate, bars, **how),
            "with data docs": lambda: validate(bars, docs_folder=Path(folder) / str(next(numbers)), **how),
        }
        seconds = interleaved(works, chosen.rounds)
    bare = seconds["plain numpy checks"]
    show(
        f"{len(bars):,} bars, {len(judged.quarantined)} set aside, {missing} missing, passed: {judged.passed}",
        ("side", "ms", "x plain"),
        [(name, f"{spent * 1e3:.0f}", f"{spent / bare:.1f}") for name, spent in seconds.items()],
    )
    keep(chosen.json, {"bars": len(bars), "seconds": seconds})


if __name__ == "__main__":
    main()
