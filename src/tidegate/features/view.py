"""How a feature looks at bars, told once for all rows and for one: windows that end at a row and never reach past it."""

import math
from abc import ABC, abstractmethod
from typing import Generic, Literal, TypeVar

import numpy as np

from tidegate.bars.bars import Floats
from tidegate.features.series import Series

# What one look gives: an array with a number a row, or the number itself.
V = TypeVar("V", Floats, float)


class View(Series, ABC, Generic[V]):
    """Series and their reductions, from which every built-in feature is made.

    `Window` gives (rows,) arrays, `NewestRow` gives floats. Both do the same operations in the same order, so their bits agree:
    sums come from `np.add.reduceat`, which begins with the oldest number and adds the pairwise sum of the others, an order that
    depends on the length alone; all else are single operations to which IEEE 754 leaves one result, or numpy's own of each number. Sums over a running total or BLAS products do not have this property and are not offered.
    """

    @abstractmethod
    def now(self, series: Floats) -> V:
        """The series at each row."""

    @abstractmethod
    def lag(self, series: Floats, bars: int) -> V:
        """The series `bars` before each row."""

    @abstractmethod
    def sum(self, series: Floats, length: int) -> V:
        """Sum over the last `length` bars."""

    @abstractmethod
    def mean(self, series: Floats, length: int) -> V:
        """Mean over the last `length` bars."""

    @abstractmethod
    def std(self, series: Floats, length: int) -> V:
        """Population standard deviation over the last `length` bars."""

    @abstractmethod
    def max(self, series: Floats, length: int) -> V:
        """Maximum over the last `length` bars."""

    @abstractmethod
    def min(self, series: Floats, length: int) -> V:
        """Minimum over the last `length` bars."""

    @abstractmethod
    def bars_since_max(self, series: Floats, length: int) -> V:
        """Bars since the newest maximum of the last `length` bars, 0..length-1."""

    @abstractmethod
    def bars_since_min(self, series: Floats, length: int) -> V:
        """Bars since the newest minimum of the last `length` bars, 0..length-1."""

    @abstractmethod
    def weighted(self, series: Floats, weights: Floats) -> V:
        """Sum of the last len(weights) bars times `weights`, the last weight on the newest bar."""

    @abstractmethod
    def moment(self, series: Floats, length: int, power: Literal[3, 4]) -> V:
        """Standardised central moment, the third or fourth, over the last `length` bars; 0 where the series is constant."""

    @abstractmethod
    def turn(self, span_ms: int) -> V:
        """How far each bar's close lies into spans of `span_ms` counted from 1970, in radians."""


def ratio(numerator: V, denominator: V, otherwise: float = 0.0) -> V:
    """Divide where the denominator is not zero; `otherwise` elsewhere, so that flat or empty bars give a number, not NaN."""
    if isinstance(denominator, float):
        return numerator / denominator if denominator != 0.0 else otherwise
    safe = denominator != 0.0
    return np.where(safe, numerator / np.where(safe, denominator, 1.0), otherwise)


def root(value: V) -> V:
    """Square root, correctly rounded."""
    if isinstance(value, float):
        return math.sqrt(value)
    return np.sqrt(value)


def larger(first: V, second: V) -> V:
    """The larger of two numbers that are not NaN."""
    if isinstance(first, float):
        return max(first, second)
    return np.maximum(first, second)


def sine(value: V) -> V:
    """Sine of radians, by numpy in both cases: `math.sin` may differ in the last bit."""
    if isinstance(value, float):
        return float(np.sin(value))
    return np.sin(value)


def cosine(value: V) -> V:
    """Cosine of radians, by numpy in both cases: `math.cos` may differ in the last bit."""
    if isinstance(value, float):
        return float(np.cos(value))
    return np.cos(value)
