"""The bars that came after a retrain, with what a model makes of them: features and probabilities by month, each computed once."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

import numpy as np

from tidegate.bars.bars import Bars, Floats
from tidegate.bars.month import month_end_ms, month_start_ms
from tidegate.features.features import FeatureSet, from_specs, usable
from tidegate.model.bundle import Bundle
from tidegate.model.onnx_model import OnnxModel
from tidegate.replay.history import History, months_of
from tidegate.settings.settings import Validation
from tidegate.strategy.strategy import Strategy
from tidegate.validation.validate import judge

# Of bars and answers, a symbol: a position may reach back over them without anything being computed twice.
_MONTHS: Final = 24
_MONTHS_OF_ROWS: Final = 2  # of features, which take most of the memory

T = TypeVar("T")


class Market:
    """Bars of a replay as they came, cleaned by the rules of validation, and answers of models to them.

    A row that validation sets aside is a bar that nobody traded on. Whatever validation finds fatal is the next retrain's to refuse: a
    model in production goes on.

    Args:
        history: the raw bars.
        strategy: symbols and calendar.
        rules: of validation.
    """

    def __init__(self, history: History, strategy: Strategy, rules: Validation) -> None:
        self.history = history
        self.strategy = strategy
        self._rules = rules
        self._kept: dict[str, OrderedDict[Hashable, Any]] = {}

    def month(self, symbol: str, name: str) -> Bars:
        """Clean bars that opened in a month, ascending; none where there are none."""
        return self._once("bars", (symbol, name), lambda: self._clean(symbol, name))

    def span(self, symbol: str, start_ms: int, end_ms: int) -> Bars:
        """Clean bars with `start_ms <= opened_at < end_ms`, ascending."""
        parts = [self.month(symbol, name) for name in months_of(start_ms, end_ms)]
        bars = Bars.concatenate(parts) if parts else Bars.empty(symbol, self.strategy.bar)
        first, last = np.searchsorted(bars.opened_at, (start_ms, end_ms)).tolist()
        return bars.take(slice(first, max(first, last)))

    def before(self, symbol: str, start_ms: int, count: int) -> Bars:
        """The last `count` clean bars that opened before a time, fewer where history has no more."""
        have = sorted(name for name in self.history.months(symbol) if month_start_ms(name) < start_ms)
        parts: list[Bars] = []
        while have and sum(map(len, parts)) < count:
            name = have.pop()
            part = self.month(symbol, name)
            parts.insert(0, part.take(part.opened_at < start_ms) if month_end_ms(name) > start_ms else part)
        bars = Bars.concatenate(parts) if parts else Bars.empty(symbol, self.strategy.bar)
        return bars.take(slice(max(0, len(bars) - count), None))

    def probability(self, bundle: Bundle, symbol: str, start_ms: int, end_ms: int) -> Floats:
        """(n,) the model's answers at the closes of `span(symbol, start_ms, end_ms)`, NaN where a feature is not known."""
        parts = []
        for name in months_of(start_ms, end_ms):
            opened = self.month(symbol, name).opened_at
            first, last = np.searchsorted(opened, (start_ms, end_ms)).tolist()
            parts.append(self._answers(bundle, symbol, name)[first : max(first, last)])
        return np.concatenate(parts) if parts else np.empty(0)

    def _answers(self, bundle: Bundle, symbol: str, name: str) -> Floats:
        return self._once(
            "answers", (bundle.digest, symbol, name), lambda: self._ask(bundle, self._matrix(bundle, symbol, name))
        )

    def _ask(self, bundle: Bundle, matrix: Floats) -> Floats:
        probability = np.full(len(matrix), np.nan)
        known = usable(matrix)
        if known.any():
            model = self._once("models", bundle.digest, lambda: OnnxModel(bundle.onnx, matrix.shape[1]))
            probability[known] = model.probability(matrix[known])
        return probability

    def _matrix(self, bundle: Bundle, symbol: str, name: str) -> Floats:
        key = bundle.manifest.feature_hash
        features: FeatureSet = self._once("features", key, lambda: from_specs(bundle.manifest.features))
        return self._once("rows", (key, symbol, name), lambda: self._rows(features, symbol, name))

    def _rows(self, features: FeatureSet, symbol: str, name: str) -> Floats:
        bars = self.month(symbol, name)
        if not len(bars):
            return np.empty((0, len(features.names)))
        earlier = self.before(symbol, int(bars.opened_at[0]), features.lookback - 1)
        whole = Bars.concatenate([earlier, bars])
        if len(whole) < features.lookback:
            return np.full((len(bars), len(features.names)), np.nan)
        return features.matrix(whole)[len(earlier) :]

    def _clean(self, symbol: str, name: str) -> Bars:
        raw = self.history.month(symbol, name)
        if not len(raw):
            return raw
        at = int(raw.closed_at.max())
        return judge(raw, rules=self._rules, calendar=self.strategy.calendar, as_of_ms=at).bars

    def _once(self, kind: str, key: Hashable, make: Callable[[], T]) -> T:
        kept = self._kept.setdefault(kind, OrderedDict())
        if key in kept:
            kept.move_to_end(key)
        else:
            kept[key] = make()
            months = _MONTHS_OF_ROWS if kind == "rows" else _MONTHS
            while len(kept) > months * len(self.strategy.symbols):
                kept.popitem(last=False)
        found: T = kept[key]
        return found
