"""Drift: features, probabilities and the label rate of a current window against a reference, such as the training rows.

How far: the population stability index over ten bins of the reference. How sure: the same index of windows drawn from the reference in
blocks (`monitoring.blocks`). Drifted is what is both far and sure, over all items at once (`monitoring.multiple`).
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from tidegate.backtest.result import Floats, Times
from tidegate.errors import FiguresRefused
from tidegate.monitoring.blocks import block_length, drawn_counts
from tidegate.monitoring.multiple import q_values
from tidegate.monitoring.result import Drift, DriftItem

BINS: Final = 10
MOST_TIMES: Final = 20_000  # of the reference; above, every k-th bar time of both sides is taken
LEAST_TIMES: Final = 50  # of the current window
LEAST_WINDOWS: Final = (
    8  # lengths of the current window in the reference; with four, one stationary window in ten alarmed
)
LABEL_SHARE: Final = 0.25  # of the bound on the index, as the bound on a difference of label rates
_WINDOWS: Final = 999  # drawn at least
_SMOOTHING: Final = 0.5  # rows added to each bin, so that an empty one has a finite index

Codes = NDArray[np.int64]
Kind = Literal["feature", "prediction", "label"]


@dataclass(frozen=True, slots=True, eq=False)
class DriftSample:
    """Rows of one window; several symbols may share a time.

    Attributes:
        names: of the f features.
        features: (n, f) float64; values that are not finite count as a bin of their own.
        probability: (n,) float64, likewise.
        label: (n,) 0 or 1, NaN where not known.
        closed_at: (n,) int64 UTC ms of each row's bar, in any order.
    Raises:
        FiguresRefused: the shapes do not fit, or a label is something else.
    """

    names: tuple[str, ...]
    features: Floats
    probability: Floats
    label: Floats
    closed_at: Times

    def __post_init__(self) -> None:
        n = len(self.closed_at)
        shapes = (self.features.shape, self.probability.shape, self.label.shape)
        if shapes != ((n, len(self.names)), (n,), (n,)):
            raise FiguresRefused(
                "rows for the drift tests", expected=f"{n} rows, {len(self.names)} names", actual=shapes
            )
        if not np.isin(self.label[~np.isnan(self.label)], (0.0, 1.0)).all():
            raise FiguresRefused("labels for the drift tests", expected="0, 1 or NaN")

    def take(self, rows: NDArray[np.intp]) -> "DriftSample":
        """Some of the rows."""
        return DriftSample(
            self.names, self.features[rows], self.probability[rows], self.label[rows], self.closed_at[rows]
        )


@dataclass(frozen=True, slots=True)
class _Column:
    """One item to compare: values of the reference and of the current window, with their times."""

    name: str
    kind: Kind
    reference: Floats
    reference_at: Times
    current: Floats
    current_at: Times


def drift(
    version: int,
    reference: DriftSample,
    current: DriftSample,
    *,
    false_discovery_rate: float,
    effect: float,
    seed: int,
) -> Drift:
    """Compare a current window with a reference, item by item.

    Args:
        version: whose rows they are.
        reference: such as its training rows; at least eight times as many bar times as the current window.
        current: the window.
        false_discovery_rate: of what is called drifted, over all items, within (0, 1).
        effect: least population stability index; a quarter of it is the least difference of label rates.
        seed: of the draws. Same arguments, same bits.
    Returns:
        every feature in order, `probability` and `label_rate`; or none, with the reason. An item that cannot be compared (too few
        labels known) has NaN for effect, p and q, and is not drifted: its reader must not take that for good.
    Raises:
        FiguresRefused: the two sides name different features, or a bound is no number in its range.
    """
    if reference.names != current.names:
        raise FiguresRefused("features of the two windows", expected=reference.names, actual=current.names)
    if not (0 < false_discovery_rate < 1 and effect > 0):
        raise FiguresRefused(
            "bounds of drift", expected="0 < rate < 1, effect > 0", actual=(false_discovery_rate, effect)
        )
    span = (int(current.closed_at.min()), int(current.closed_at.max())) if len(current.closed_at) else (0, 0)
    reason = _too_few(reference.closed_at, current.closed_at)
    if reason:
        return Drift(version, (), *span, reason)
    step = -(-len(np.unique(reference.closed_at)) // MOST_TIMES)
    columns = _columns(_thinned(reference, step), _thinned(current, step))
    windows = max(_WINDOWS, int(4 * len(columns) / false_discovery_rate) - 1)
    found = [_compare(column, windows, seed) for column in columns]
    q = q_values(np.array([p for _, p in found]))
    counts = {"label": int(np.isfinite(current.label).sum())}
    items = tuple(
        DriftItem(
            name=column.name,
            kind=column.kind,
            effect=size,
            p_value=p,
            q_value=float(q_value),
            drifted=bool(
                q_value <= false_discovery_rate and size >= effect * (LABEL_SHARE if column.kind == "label" else 1)
            ),
            n=counts.get(column.kind, len(current.closed_at)),
            reference_mean=_mean(column.reference),
            current_mean=_mean(column.current),
        )
        for column, (size, p), q_value in zip(columns, found, q, strict=True)
    )
    return Drift(version, items, *span)


def population_stability(current: NDArray[np.int64], reference: NDArray[np.int64]) -> Floats:
    """Sum over the bins of (p - q) ln(p / q), with half a row added to each bin.

    Args:
        current: (..., b) rows in each bin.
        reference: (b,).
    Returns:
        (...) 0 for the same shares; up to 0.1 is usually called small, above 0.2 large.
    """
    bins = reference.shape[-1]
    p = (current + _SMOOTHING) / (current.sum(axis=-1, keepdims=True) + _SMOOTHING * bins)
    q = (reference + _SMOOTHING) / (reference.sum() + _SMOOTHING * bins)
    return np.asarray(np.sum((p - q) * np.log(p / q), axis=-1), np.float64)


def bin_codes(reference: Floats, values: Sequence[Floats]) -> tuple[int, list[Codes]]:
    """Bins of a reference, and which one each value falls into.

    A reference of at most ten different values has one for each of them, and one below and one above; else its deciles are the edges.
    The last bin holds what is not finite.

    Args:
        reference: (n,).
        values: arrays to sort into its bins.
    Returns:
        the number of bins, and the codes of each array.
    """
    finite = reference[np.isfinite(reference)]
    different = np.unique(finite)
    if len(different) > BINS:
        edges = np.unique(np.quantile(finite, np.linspace(0, 1, BINS + 1)[1:-1]))
    else:
        edges = np.concatenate((np.nextafter(different[:1], -np.inf), different))
    last = len(edges) + 1
    return last + 1, [np.where(np.isfinite(x), np.searchsorted(edges, x), last) for x in values]


def error_rate_words(false_discovery_rate: float) -> str:
    """What the rate means, for `Finding.error_rate`."""
    return (
        f"of what is called drifted, {false_discovery_rate:.0%} at most by chance (Benjamini-Hochberg over all items, p-values from the "
        "reference drawn in blocks); a change slower than the reference is not told from its memory"
    )


def _compare(column: _Column, windows: int, seed: int) -> tuple[float, float]:
    """Effect and p-value of one item; NaN, NaN where there is too little."""
    if _too_few(column.reference_at, column.current_at):
        return float("nan"), float("nan")
    if column.kind == "label":
        bins, (was, now) = 2, [side.astype(np.int64) for side in (column.reference, column.current)]
    else:
        bins, (was, now) = bin_codes(column.reference, (column.reference, column.current))
    times, at = np.unique(column.reference_at, return_inverse=True)
    counts = np.bincount(at * bins + was, minlength=len(times) * bins).reshape(len(times), bins)
    total, seen = counts.sum(axis=0), np.bincount(now, minlength=bins)
    steps = len(np.unique(column.current_at))
    # The reference is a sample as well: a shorter window varies as much as the difference of both does.
    steps = max(1, round(steps * len(times) / (steps + len(times))))
    length = min(steps, int(np.ceil(_memory(column.reference, at, len(times)))))
    generator = np.random.default_rng([seed, zlib.crc32(column.name.encode())])
    drawn = drawn_counts(counts, steps, length, windows, generator)
    # So few blocks know their own spread only roughly, as Student's t has it against the normal distribution.
    blocks = len(times) / length - 1
    spread = blocks / generator.chisquare(blocks, windows)
    if column.kind == "label":
        observed, null = _rate_difference(seen, total), _rate_difference(drawn, total) * np.sqrt(spread)
    else:
        observed, null = population_stability(seen, total), population_stability(drawn, total) * spread
    return float(observed), float((1 + np.sum(null >= observed)) / (1 + windows))


def _memory(values: Floats, at: NDArray[np.intp], times: int) -> float:
    """Block length of a column: the longer of its level's and of its distance from the middle, which is what volatility moves."""
    order = np.argsort(np.where(np.isfinite(values), values, np.inf), kind="stable")
    rank = np.empty(len(values))
    rank[order] = (np.arange(len(values)) + 0.5) / len(values)
    _, tied = np.unique(values, return_inverse=True)
    rank = (np.bincount(tied, rank) / np.bincount(tied))[tied]
    rows = np.bincount(at, minlength=times)
    return max(block_length(np.bincount(at, level, minlength=times) / rows) for level in (rank, np.abs(rank - 0.5)))


def _rate_difference(current: NDArray[np.int64], reference: NDArray[np.int64]) -> Floats:
    """Absolute difference of the share of ones, from numbers of zeros and ones: (..., 2) against (2,)."""
    return np.asarray(np.abs(current[..., 1] / current.sum(axis=-1) - reference[1] / reference.sum()), np.float64)


def _columns(reference: DriftSample, current: DriftSample) -> list[_Column]:
    def column(name: str, kind: Kind, was: Floats, now: Floats) -> _Column:
        return _Column(name, kind, was, reference.closed_at, now, current.closed_at)

    features = [
        column(name, "feature", reference.features[:, index], current.features[:, index])
        for index, name in enumerate(reference.names)
    ]
    known, known_now = (np.isfinite(sample.label) for sample in (reference, current))
    label = _Column(
        "label_rate",
        "label",
        reference.label[known],
        reference.closed_at[known],
        current.label[known_now],
        current.closed_at[known_now],
    )
    return [*features, column("probability", "prediction", reference.probability, current.probability), label]


def _thinned(sample: DriftSample, step: int) -> DriftSample:
    """Rows of every `step`-th time, in order of time: of all symbols or of none."""
    _, at = np.unique(sample.closed_at, return_inverse=True)
    order = np.argsort(sample.closed_at, kind="stable")
    return sample.take(order[at[order] % step == 0])


def _too_few(reference_at: Times, current_at: Times) -> str:
    was, now = len(np.unique(reference_at)), len(np.unique(current_at))
    if now < LEAST_TIMES:
        return f"{now} bars in the current window, at least {LEAST_TIMES} are needed"
    if was < LEAST_WINDOWS * now:
        return f"{was} bars in the reference, at least {LEAST_WINDOWS} times the current window's {now} are needed"
    return ""


def _mean(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")
