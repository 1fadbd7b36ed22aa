"""Reads the prediction log of one strategy into columns: one row for each symbol, bar, version and role."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegate.backtest.result import Floats, Times
from tidegate.errors import FiguresRefused
from tidegate.monitoring.columns import CHUNK_ROWS, Columns, Gathered, distinct
from tidegate.monitoring.result import Role
from tidegate.serving.log.reader import canonical, read
from tidegate.serving.log.record import Row
from tidegate.serving.log.scan import Damage

NO_VERSION: Final = -1
NO_TARGET: Final = -9
HALTED: Final = "halted"
_PRODUCTION: Final[Role] = "production"
_FIELDS: Final = (
    "symbol",
    "closed_at",
    "received_at",
    "version",
    "shadow",
    "probability",
    "target",
    "status",
    "reason",
    "digest",
    "out_of_distribution",
    "data_age_ms",
)

Codes = NDArray[np.int32]
Mask = NDArray[np.bool_]
Key = tuple[str, int, int, str]


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """n canonical rows, ascending by symbol, bar, version (none first) and role; see docs/contracts/prediction-log.md for which is canonical.

    Attributes:
        strategy: the strategy's name.
        window_start_at, as_of: UTC ms; rows of bars that closed after the first and not after the second.
        symbols, statuses, reasons, digests: what the codes of the columns stand for, each ascending; "" stands for none.
        symbol, status, reason, digest: (n,) int32 codes; reason is that of an abstention, digest that of the bundle.
        closed_at: (n,) int64 UTC ms, the bar's close.
        received_at: (n,) int64 UTC ms; with `serving.clock: bars` unrelated to `closed_at`.
        version: (n,) int64, `NO_VERSION` where none answered.
        shadow: (n,) bool, else production.
        probability, out_of_distribution: (n,) float64, NaN where there is none.
        target: (n,) int8, `NO_TARGET` where no position was named.
        data_age_ms: (n,) float64, NaN where there is none.
        features: by version, (m, F) float64 of its m rows in the order of the rows; rows without features are NaN.
        halted: by symbol, (k,) int64 ascending `received_at` of the answers of a halted strategy, which name no bar.
        rows: rows of the log within the window, those without a bar included.
        repeated: rows that a canonical one stands for.
        without_bar: rows that are about no bar, received between the first and the last row that is about a bar of the window.
        damaged: damages told while reading; how many rows each took cannot be known.
    """

    strategy: str
    window_start_at: int
    as_of: int
    symbols: tuple[str, ...]
    statuses: tuple[str, ...]
    reasons: tuple[str, ...]
    digests: tuple[str, ...]
    symbol: Codes
    closed_at: Times
    received_at: Times
    version: Times
    shadow: Mask
    probability: Floats
    target: NDArray[np.int8]
    status: Codes
    reason: Codes
    digest: Codes
    out_of_distribution: Floats
    data_age_ms: Floats
    features: Mapping[int, Floats]
    halted: Mapping[str, Times]
    rows: int
    repeated: int
    without_bar: int
    damaged: int

    def __len__(self) -> int:
        return len(self.closed_at)

    def of(self, version: int, role: Role = _PRODUCTION) -> Mask:
        """(n,) whether a row is of a version in a role."""
        return np.asarray((self.version == version) & (self.shadow == (role != _PRODUCTION)))

    def features_of(self, chosen: Mask) -> Floats:
        """(m, F) features of chosen rows of one version, in their order.

        Args:
            chosen: (n,) bool.
        Raises:
            FiguresRefused: rows of several versions, whose features do not compare.
        """
        versions = distinct(self.version[chosen])
        if len(versions) != 1:
            raise FiguresRefused("features of several versions do not compare", expected="one version", actual=versions)
        (version,) = versions
        if version not in self.features:
            return np.empty((int(chosen.sum()), 0))
        chosen_features: Floats = self.features[version][chosen[self.version == version]]
        return chosen_features

    def named(self, code: NDArray[np.int32], names: tuple[str, ...]) -> dict[str, int]:
        """How often each name stands in a column of codes; "" and names that do not are left out."""
        counts = np.bincount(code, minlength=len(names))
        return {name: int(count) for name, count in zip(names, counts, strict=True) if name and count}


def read_predictions(
    folder: Path,
    strategy: str,
    *,
    window_start_at: int,
    as_of: int,
    received_since_ms: int | None = None,
    bar_less_until_ms: int | None = None,
    on_corrupt: Callable[[Damage], None] | None = None,
) -> Predictions:
    """Read all instances' rows of one strategy whose bar closed within the window.

    Args:
        folder: of the whole log.
        strategy: its name.
        window_start_at: UTC ms; a bar that closed at it lies before the window.
        as_of: UTC ms; a bar that closed after it lies behind the window.
        received_since_ms: rows received before it are not looked at, and files that hold nothing later are passed over; None reads all.
        bar_less_until_ms: rows about no bar, such as what a halted strategy answers, that were received after it are not looked at: only
            their time tells whether they belong to the window; None, where it tells nothing, takes all.
        on_corrupt: told of each damage, and what is whole is read; None raises.

    Raises:
        LogDamaged: a file is not what was written, and nobody wants to be told.
        FiguresRefused: the window is none, or rows of one version differ in their number of features.
        ConfigurationError: there is no such folder.
    """
    if window_start_at >= as_of:
        raise FiguresRefused("the window is none", expected="window_start_at < as_of", actual=(window_start_at, as_of))
    damages: list[Damage] = []

    def tell(damage: Damage) -> None:
        damages.append(damage)
        if on_corrupt is not None:
            on_corrupt(damage)

    def rows(on_damage: Callable[[Damage], None]) -> Iterator[Row]:
        told = None if on_corrupt is None else on_damage
        return read(folder, strategy=strategy, since_ms=received_since_ms, on_corrupt=told)

    gathered, about_no_bar = _gather(rows(tell), window_start_at, as_of, bar_less_until_ms)
    total = len(gathered)
    span = gathered.received_span()
    best, unsettled = _canonical(gathered)
    if unsettled:
        gathered = _settled(gathered, unsettled, rows(lambda _told_before: None))
        best, _ = _canonical(gathered)
    columns = gathered.columns
    features = gathered.features_of(best)
    without_bar = sum(span[0] <= at <= span[1] for _, at, _ in about_no_bar)
    return Predictions(
        strategy=strategy,
        window_start_at=window_start_at,
        as_of=as_of,
        symbols=gathered.names["symbol"],
        statuses=gathered.names["status"],
        reasons=gathered.names["reason"],
        digests=gathered.names["digest"],
        **{name: columns[name][best] for name in _FIELDS},
        features=features,
        halted=_halted(about_no_bar),
        rows=total + without_bar,
        repeated=total - len(best),
        without_bar=without_bar,
        damaged=len(damages),
    )


NoBar = tuple[str, int, bool]
"""Symbol, `received_at`, and whether the strategy was halted."""


def _gather(
    rows: Iterable[Row], window_start_at: int, as_of: int, bar_less_until_ms: int | None
) -> tuple[Gathered, list[NoBar]]:
    columns, chunk, about_no_bar = Columns(), [], []
    for row in rows:
        at = row.bar_closed_at
        if at is None:
            if bar_less_until_ms is not None and row.received_at > bar_less_until_ms:
                continue
            about_no_bar.append((row.symbol, row.received_at, row.abstain_reason == HALTED))
        elif window_start_at < at <= as_of:
            chunk.append(row)
            if len(chunk) == CHUNK_ROWS:
                columns.add(chunk)
                chunk = []
    columns.add(chunk)
    return columns.gathered(), about_no_bar


def _canonical(gathered: Gathered) -> tuple[NDArray[np.intp], list[Key]]:
    """The canonical rows, ascending by symbol, bar, version, role; and keys of those that only their whole text could tell apart."""
    columns = gathered.columns
    key = [columns[name] for name in ("shadow", "version", "closed_at", "symbol")]
    rank = [columns["instance"], columns["received_at"], columns["target"] == NO_TARGET]
    order = np.lexsort((*rank, *key))
    same_key = _same(key, order)
    heads = np.flatnonzero(~same_key)
    best = order[heads]
    tied = same_key & _same(rank, order)
    unsettled = []
    for group in np.flatnonzero(tied[np.minimum(heads + 1, len(tied) - 1)] & (heads + 1 < len(tied))):
        first = heads[group]
        last = first + 1
        while last < len(tied) and tied[last]:
            last += 1
        rivals = sorted(order[first:last], key=lambda row: gathered.request_ids[row])
        best[group] = rivals[0]
        if gathered.request_ids[rivals[0]] == gathered.request_ids[rivals[1]]:
            unsettled.append(gathered.key(rivals[0]))
    return best, unsettled


def _same(columns: list[NDArray[np.generic]], order: NDArray[np.intp]) -> Mask:
    """(n,) whether a row, in an order, equals the one before it in all columns; the first does not."""
    same = np.ones(len(order), dtype=np.bool_)
    same[:1] = False
    for column in columns:
        ordered = column[order]
        same[1:] &= ordered[1:] == ordered[:-1]
    return same


def _settled(gathered: Gathered, unsettled: list[Key], rows: Iterator[Row]) -> Gathered:
    """Rows of the named keys replaced by the canonical one each, found by reading once more: whole rows are not kept for this rare case."""
    wanted = set(unsettled)
    chosen = canonical(
        row
        for row in rows
        if row.bar_closed_at is not None
        and (row.symbol, row.bar_closed_at, NO_VERSION if row.version is None else row.version, row.role) in wanted
    )
    return gathered.replaced(wanted, chosen)


def _halted(about_no_bar: Iterable[NoBar]) -> dict[str, Times]:
    times: dict[str, list[int]] = {}
    for symbol, at, halted in about_no_bar:
        if halted:
            times.setdefault(symbol, []).append(at)
    return {symbol: np.array(sorted(found), dtype=np.int64) for symbol, found in sorted(times.items())}
