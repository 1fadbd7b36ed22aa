"""Features and labels of all symbols as one table of rows, and the rows of a fold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidegate.bars.bars import Bars, Floats, Times
from tidegate.dataset.folds import MINIMUM_TRAIN_DAYS
from tidegate.dataset.spill import IN_MEMORY, Spill, blocks, release
from tidegate.dataset.windows import Window
from tidegate.errors import NotEnoughHistory
from tidegate.features.features import FeatureSet, usable
from tidegate.labels.labels import Labels, label, uniqueness
from tidegate.strategy.strategy import Strategy

# Under this no fit makes sense at all. Whether a window holds what its calendar offers is judged by the gates, which know the calendar.
_LEAST_ROWS = 200


@dataclass(frozen=True, slots=True, eq=False)
class SymbolTable:
    """One symbol's bars with their features and labels, row by row.

    Attributes:
        bars: n bars.
        features: (n, F) float64, NaN rows while windows are incomplete.
        labels: outcomes of entries after each bar.
        usable: (n,) whether all features are finite.
    """

    bars: Bars
    features: Floats
    labels: Labels
    usable: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRows:
    """m training rows of all symbols, in time order.

    Attributes:
        x: (m, F) float32 features.
        y: (m,) float32, 1 the long entry won, 0 it did not.
        weight: (m,) float32, uniqueness of overlapping outcomes, mean 1.
        known_at, ends_at: (m,) int64 UTC ms, when the signal and when the outcome was known.
        symbol: (m,) int, index into the dataset's tables.
        row: (m,) int, row in that symbol's table.
        width: (m,) float64, barrier distances.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    weight: NDArray[np.float32]
    known_at: Times
    ends_at: Times
    symbol: NDArray[np.intp]
    row: NDArray[np.intp]
    width: Floats

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """All symbols' tables.

    Attributes:
        tables: one a symbol.
        features: what was computed.
        spill: which training rows lie in a file instead of in memory; changes no number.
    """

    tables: tuple[SymbolTable, ...]
    features: FeatureSet
    spill: Spill = IN_MEMORY

    @property
    def first_usable_at(self) -> int:
        """UTC ms: the latest, over symbols, of the first bar's open that has all its features."""
        return max(int(table.bars.opened_at[int(np.argmax(table.usable))]) for table in self.tables)

    @property
    def end_at(self) -> int:
        """UTC ms: the earliest, over symbols, of the newest bar's close."""
        return min(int(table.bars.closed_at[-1]) for table in self.tables)

    def training_rows(self, window: Window) -> TrainingRows:
        """Rows whose signal lies in the window and whose outcome was known before it ended.

        This purges: a row whose trade was still running at the window's end is left out, and the window ends an embargo before the
        test.

        Raises:
            NotEnoughHistory: too few rows to train on.
            DataError: the disk has no room for rows that do not fit into memory.
        """
        columns = _in_time_order([self._columns_of(at, window) for at in range(len(self.tables))])
        rows = len(columns["row"])
        if rows < _LEAST_ROWS:
            raise NotEnoughHistory(
                "a training window holds too few rows",
                expected=f"{_LEAST_ROWS} (and {MINIMUM_TRAIN_DAYS} days)",
                actual=rows,
                setting="windows.train_days",
            )
        return TrainingRows(x=self._features_of(columns["symbol"], columns["row"]), **columns)

    def rows_within(self, at: int, window: Window) -> slice:
        """Rows of symbol `at` whose bars lie wholly inside the window."""
        bars = self.tables[at].bars
        first = int(np.searchsorted(bars.opened_at, window.start_at, side="left"))
        last = int(np.searchsorted(bars.closed_at, window.end_at, side="right"))
        return slice(first, max(first, last))

    def _features_of(self, symbol: NDArray[np.intp], row: NDArray[np.intp]) -> NDArray[np.float32]:
        """(m, F) float32 features of rows, block by block into their place: there is never a second table of them."""
        x = self.spill.table(len(row), len(self.features.names), np.float32)
        for at, table in enumerate(self.tables):
            mine = np.flatnonzero(symbol == at)
            for block in blocks(len(mine)):
                x[mine[block]] = table.features[row[mine[block]]]
                release(x)
                release(table.features)
        return x

    def _columns_of(self, at: int, window: Window) -> dict[str, Any]:
        table = self.tables[at]
        closed_at, labels = table.bars.closed_at, table.labels
        chosen = (
            table.usable
            & labels.known()
            & (closed_at > window.start_at)
            & (closed_at <= window.end_at)
            & (labels.ends_at <= window.end_at)
        )
        row = np.flatnonzero(chosen)
        weight = uniqueness(row + 1, np.maximum(labels.end_row[row], row + 1))
        return {
            "y": labels.won[row].astype(np.float32),
            "weight": weight.astype(np.float32),
            "known_at": closed_at[row],
            "ends_at": labels.ends_at[row],
            "symbol": np.full(len(row), at, dtype=np.intp),
            "row": row,
            "width": labels.width[row],
        }


def assemble(bars: Sequence[Bars], features: FeatureSet, strategy: Strategy, spill: Spill = IN_MEMORY) -> Dataset:
    """Compute features and labels of each symbol.

    Args:
        bars: one series a symbol, ascending, validated.
        features: what to compute.
        strategy: for its label rule and costs.
        spill: which tables lie in a file instead of in memory; changes no number.
    Raises:
        NotEnoughHistory: a symbol has fewer bars than one feature row or one label needs.
        DataError: the disk has no room for a table that does not fit into memory.
    """
    tables = []
    for series in bars:
        if len(series) < features.lookback:
            raise NotEnoughHistory(f"{series.symbol} has too few bars", expected=features.lookback, actual=len(series))
        matrix = features.matrix(series)
        finite = usable(matrix)
        tables.append(SymbolTable(series, spill.keep(matrix), label(series, strategy.labels, strategy.costs), finite))
        del matrix
    for table in tables:
        if not table.usable.any():
            raise NotEnoughHistory(f"{table.bars.symbol}: no bar has all its features finite")
    return Dataset(tuple(tables), features, spill)


def _in_time_order(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if len(parts) > 1:
        order = np.lexsort((joined["symbol"], joined["known_at"]))
        joined = {name: column[order] for name, column in joined.items()}
    mean = joined["weight"].mean() if len(joined["weight"]) else 1.0
    joined["weight"] = joined["weight"] / mean
    return joined
