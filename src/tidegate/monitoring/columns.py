"""Rows of the prediction log as growing columns, in chunks: an array costs an eighth of what the rows' objects do."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tidegate.backtest.result import Floats
from tidegate.errors import FiguresRefused
from tidegate.serving.log.record import Row

CHUNK_ROWS: Final = 8192
_NONE: Final = -1
_NO_TARGET: Final = -9
_NUMBERS: Final[dict[str, tuple[type[np.generic], Callable[[Row], Any]]]] = {
    "closed_at": (np.int64, lambda row: row.bar_closed_at),
    "received_at": (np.int64, lambda row: row.received_at),
    "version": (np.int64, lambda row: _NONE if row.version is None else row.version),
    "shadow": (np.bool_, lambda row: row.role == "shadow"),
    # None becomes NaN.
    "probability": (np.float64, lambda row: row.probability),
    "target": (np.int8, lambda row: _NO_TARGET if row.target_position is None else row.target_position),
    "out_of_distribution": (np.float64, lambda row: row.out_of_distribution),
    "data_age_ms": (np.float64, lambda row: row.data_age_ms),
}
_TEXTS: Final[dict[str, Callable[[Row], str | None]]] = {
    "symbol": lambda row: row.symbol,
    "instance": lambda row: row.instance,
    "status": lambda row: row.status,
    "reason": lambda row: row.abstain_reason,
    "digest": lambda row: row.bundle_digest,
}


@dataclass(slots=True, eq=False)
class _Part:
    """Features of rows of one version: their numbers, and (m, F)."""

    version: int
    rows: NDArray[np.intp]
    features: Floats


@dataclass(slots=True, eq=False)
class Gathered:
    """N rows as columns, in the order of reading.

    Attributes:
        columns: by name, (N,) each; texts are codes in the order of the texts.
        names: for each column of texts, what the codes stand for, ascending.
        request_ids: N of them.
        parts: the features, in chunks.
    """

    columns: Mapping[str, NDArray[Any]]
    names: Mapping[str, tuple[str, ...]]
    request_ids: list[str]
    parts: list[_Part]

    def __len__(self) -> int:
        return len(self.request_ids)

    def received_span(self) -> tuple[int, int]:
        """First and last `received_at`; a span that holds nothing where there are no rows."""
        received = self.columns["received_at"]
        return (int(received.min()), int(received.max())) if len(received) else (1, 0)

    def key(self, row: np.intp) -> tuple[str, int, int, str]:
        """Symbol, bar, version and role of a row."""
        columns = self.columns
        return (
            self.names["symbol"][columns["symbol"][row]],
            int(columns["closed_at"][row]),
            int(columns["version"][row]),
            "shadow" if columns["shadow"][row] else "production",
        )

    def features_of(self, chosen: NDArray[np.intp]) -> dict[int, Floats]:
        """Features of chosen rows by version, each in the order of the choice; the chunks are given up on the way.

        Raises:
            FiguresRefused: rows of one version differ in their number of features.
        """
        place = np.full(len(self), _NONE, dtype=np.intp)
        versions = self.columns["version"][chosen]
        counts = {}
        for version in distinct(versions):
            mine = chosen[versions == version]
            place[mine] = np.arange(len(mine))
            counts[version] = len(mine)
        found: dict[int, Floats] = {}
        self.parts.reverse()
        while self.parts:
            part = self.parts.pop()
            at = place[part.rows]
            kept = at != _NONE
            if not kept.any():
                continue
            width = part.features.shape[1]
            if part.version not in found:
                found[part.version] = np.full((counts[part.version], width), np.nan)
            matrix = found[part.version]
            if matrix.shape[1] != width:
                raise _lengths(part.version, {width, matrix.shape[1]})
            matrix[at[kept]] = part.features[kept]
        return found

    def replaced(self, keys: Collection[tuple[str, int, int, str]], rows: Sequence[Row]) -> "Gathered":
        """The same with all rows of some keys taken out and others put in."""
        columns = Columns()
        columns.add(rows)
        fresh = columns.gathered()
        kept = np.array([row for row in range(len(self)) if self.key(np.intp(row)) not in keys], dtype=np.intp)
        return _joined(self, kept, fresh)


class Columns:
    """Takes rows chunk by chunk."""

    def __init__(self) -> None:
        self._numbers: dict[str, list[NDArray[Any]]] = {name: [] for name in _NUMBERS}
        self._codes: dict[str, list[NDArray[np.int32]]] = {name: [] for name in _TEXTS}
        self._known: dict[str, dict[str, int]] = {name: {} for name in _TEXTS}
        self._request_ids: list[str] = []
        self._parts: list[_Part] = []

    def add(self, rows: Sequence[Row]) -> None:
        """Take some rows, whose objects are not kept.

        Raises:
            FiguresRefused: rows of one version differ in their number of features.
        """
        if not rows:
            return
        for name, (kind, value) in _NUMBERS.items():
            self._numbers[name].append(np.array([value(row) for row in rows], dtype=kind))
        for name, text in _TEXTS.items():
            known = self._known[name]
            codes = [known.setdefault(text(row) or "", len(known)) for row in rows]
            self._codes[name].append(np.array(codes, dtype=np.int32))
        self._add_features(rows)
        self._request_ids += [row.request_id for row in rows]

    def _add_features(self, rows: Sequence[Row]) -> None:
        versions = self._numbers["version"][-1]
        has = np.array([row.features is not None for row in rows])
        for version in distinct(versions[has]):
            mine = np.flatnonzero(has & (versions == version))
            values = [rows[at].features or () for at in mine.tolist()]
            lengths = {len(each) for each in values}
            if len(lengths) > 1:
                raise _lengths(version, lengths)
            self._parts.append(_Part(version, mine + len(self._request_ids), np.array(values, dtype=np.float64)))

    def gathered(self) -> Gathered:
        """All that was taken."""
        columns: dict[str, NDArray[Any]] = {
            name: np.concatenate([np.empty(0, dtype=_NUMBERS[name][0]), *chunks])
            for name, chunks in self._numbers.items()
        }
        names: dict[str, tuple[str, ...]] = {}
        for name, known in self._known.items():
            names[name] = tuple(sorted(known))
            rank = {text: at for at, text in enumerate(names[name])}
            order = np.array([rank[text] for text in known], dtype=np.int32)
            codes = np.concatenate([np.empty(0, dtype=np.int32), *self._codes[name]])
            columns[name] = order[codes] if len(codes) else codes
        return Gathered(columns, names, self._request_ids, self._parts)


def distinct(values: NDArray[Any]) -> list[int]:
    """The values that occur, ascending; at once where there is only one, as is usual for versions."""
    if not len(values):
        return []
    low, high = int(values.min()), int(values.max())
    return [low] if low == high else [int(value) for value in np.unique(values)]


def _joined(old: Gathered, kept: NDArray[np.intp], new: Gathered) -> Gathered:
    names: dict[str, tuple[str, ...]] = {}
    columns: dict[str, NDArray[Any]] = {}
    for name in old.columns:
        sides = [old.columns[name][kept], new.columns[name]]
        if name in old.names:
            names[name] = tuple(sorted({*old.names[name], *new.names[name]}))
            sides = [
                _recoded(side, before.names[name], names[name]) for side, before in zip(sides, (old, new), strict=True)
            ]
        columns[name] = np.concatenate(sides)
    place = np.full(len(old), _NONE, dtype=np.intp)
    place[kept] = np.arange(len(kept))
    parts = []
    for part in old.parts:
        at = place[part.rows]
        parts.append(_Part(part.version, at[at != _NONE], part.features[at != _NONE]))
    parts += [_Part(part.version, part.rows + len(kept), part.features) for part in new.parts]
    return Gathered(columns, names, [old.request_ids[row] for row in kept] + new.request_ids, parts)


def _recoded(codes: NDArray[Any], before: Sequence[str], after: Sequence[str]) -> NDArray[Any]:
    rank = {text: at for at, text in enumerate(after)}
    return np.array([rank[text] for text in before], dtype=np.int32)[codes] if len(codes) else codes


def _lengths(version: int, lengths: Collection[int]) -> FiguresRefused:
    return FiguresRefused(
        f"rows of v{version} differ in their number of features",
        expected="as many as its manifest names",
        actual=sorted(lengths),
        next_step="look for two models that were registered under one version",
    )
