"""Resolves a strategy's features and computes them, in a batch or for the newest bar alone."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tidegate.bars.bars import Bars, Floats
from tidegate.bars.interval import Interval
from tidegate.errors import ConfigurationError, NotEnoughHistory
from tidegate.features.builtin import FAMILIES, Family
from tidegate.features.newest import NewestRow, Plan
from tidegate.features.spec import FeatureSpec
from tidegate.features.window import Window
from tidegate.strategy.own import own_function
from tidegate.strategy.strategy import FeatureUse

FeatureFunction = Callable[[Window, int], Floats]
RowFunction = Callable[[NewestRow, int], float]


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature, ready to compute.

    Attributes:
        spec: what it is.
        function: `(window, length) -> (rows,)`, for any rows.
        on_newest: the same for the newest row alone; None for functions of the strategy's own, which know windows only.
    """

    spec: FeatureSpec
    function: FeatureFunction
    on_newest: RowFunction | None

    @property
    def length(self) -> int:
        """Its length, 0 for families without one."""
        return self.spec.length or 0

    def column(self, window: Window) -> Floats:
        """(rows,) the feature at each row of a window.

        Raises:
            ConfigurationError: the function gives another shape.
        """
        column = self.function(window, self.length)
        if column.shape != (window.rows,):
            raise ConfigurationError(
                f"feature {self.spec.name} ({self.spec.use}) gives shape {column.shape}", expected=(window.rows,)
            )
        return column

    def of_window(self, row: NewestRow, _length: int) -> float:
        """The feature at the newest row by way of a window of one row, for functions that know windows only."""
        return float(self.column(row.window)[0])


@dataclass(frozen=True)
class FeatureSet:
    """An ordered list of features.

    Attributes:
        features: in the order of the model's inputs.
        lookback: bars that the newest row needs, itself included.
    """

    features: tuple[Feature, ...]
    lookback: int

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(feature.spec.name for feature in self.features)

    @property
    def specs(self) -> tuple[FeatureSpec, ...]:
        """Specifications in order, for the manifest."""
        return tuple(feature.spec for feature in self.features)

    def digest(self) -> str:
        """SHA-256 of the ordered specifications."""
        return feature_hash(self.specs)

    def matrix(self, bars: Bars) -> Floats:
        """Features of all bars.

        Args:
            bars: n bars, ascending, validated.
        Returns:
            (n, F) float64; the first `lookback - 1` rows are NaN, as their windows are incomplete.
        """
        values = np.full((len(bars), len(self.features)), np.nan)
        rows = len(bars) - self.lookback + 1
        if rows > 0:
            window = Window(bars, rows)
            for at, feature in enumerate(self.features):
                values[self.lookback - 1 :, at] = feature.column(window)
        return values

    def newest(self, bars: Bars) -> Floats:
        """Features of the newest bar alone, bit for bit the last row of `matrix`.

        Args:
            bars: at least `lookback` bars; older ones are not looked at.
        Returns:
            (1, F) float64.
        Raises:
            NotEnoughHistory: fewer than `lookback` bars.
        """
        if len(bars) < self.lookback:
            raise NotEnoughHistory(
                f"window of {bars.symbol} is too short", expected=f"{self.lookback} bars", actual=len(bars)
            )
        newest = bars.take(slice(len(bars) - self.lookback, None))
        row = NewestRow(newest, self._plan)
        values = np.empty((1, len(self.features)))
        values[0] = [function(row, length) for function, length in self._calls]
        return values

    @cached_property
    def _calls(self) -> tuple[tuple[RowFunction, int], ...]:
        return tuple((feature.on_newest or feature.of_window, feature.length) for feature in self.features)

    @cached_property
    def _plan(self) -> Plan:
        """What the built-in features ask of any row, noted while they look at bars of no interest."""
        ones = np.ones(self.lookback)
        row = NewestRow(Bars("", Interval("1d"), np.arange(self.lookback), ones, ones, ones, ones, ones))
        for feature in self.features:
            if feature.on_newest is not None:
                feature.on_newest(row, feature.length)
        return row.plan()


def feature_hash(specs: Sequence[FeatureSpec]) -> str:
    """SHA-256 over the ordered feature specifications."""
    content = json.dumps([spec.model_dump() for spec in specs], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()


def standard_set() -> tuple[FeatureUse, ...]:
    """Every built-in family with its standard lengths."""
    return tuple(
        FeatureUse(use=family.name, lengths=() if family.lengths == (0,) else family.lengths)
        for family in FAMILIES.values()
    )


def resolve(uses: Sequence[FeatureUse]) -> FeatureSet:
    """The features that a strategy names; none named means the standard set.

    Raises:
        ConfigurationError: an unknown family or function, a length missing or not wanted, or a name twice.
    """
    specs = [
        FeatureSpec(name=_name(use.use, length), use=use.use, length=length, lookback=_lookback(use, length))
        for use in (uses or standard_set())
        for length in (use.lengths or (None,))
    ]
    return from_specs(specs)


def from_specs(specs: Sequence[FeatureSpec]) -> FeatureSet:
    """The features that a manifest lists.

    Raises:
        ConfigurationError: a family or function cannot be found, or a name stands twice.
    """
    names = [spec.name for spec in specs]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ConfigurationError(f"features are named twice: {', '.join(twice)}")
    return FeatureSet(tuple(map(_feature, specs)), max(spec.lookback for spec in specs))


def usable(values: Floats) -> NDArray[np.bool_]:
    """(n,) whether every feature of a row is finite."""
    return np.asarray(np.isfinite(values).all(axis=1))


def _name(use: str, length: int | None) -> str:
    base = use.rpartition(":")[2]
    return base if length is None else f"{base}_{length}"


def _lookback(use: FeatureUse, length: int | None) -> int:
    if ":" in use.use:
        if use.lookback is None:
            raise ConfigurationError(
                f"feature {use.use} does not say how far it looks back",
                expected="a number of bars",
                setting="features.lookback",
            )
        return use.lookback
    family = _builtin(use.use)
    wants_length = family.lengths != (0,)
    if wants_length != (length is not None):
        raise ConfigurationError(
            f"feature {use.use}", expected="lengths" if wants_length else "no lengths", setting="features.lengths"
        )
    return family.lookback(length or 0)


def _builtin(name: str) -> Family:
    if name not in FAMILIES:
        raise ConfigurationError(
            f"feature {name!r} is unknown", expected=f"one of {', '.join(FAMILIES)}, or module:function"
        )
    return FAMILIES[name]


def _feature(spec: FeatureSpec) -> Feature:
    if ":" not in spec.use:
        function = _builtin(spec.use).function
        return Feature(spec, function, function)
    own: FeatureFunction = own_function(spec.use, "feature function", "features")
    return Feature(spec, own, None)
