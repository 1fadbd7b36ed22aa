"""The prediction path, whole: window of bars -> constraints -> features -> model -> signal. The gates time and check this very code."""

from dataclasses import dataclass

import numpy as np

from tidegate.bars.bars import COLUMNS, Bars, Floats
from tidegate.bars.interval import Interval
from tidegate.errors import BundleError, DataError, ModelError, NotEnoughHistory, TidegateError
from tidegate.features.features import feature_hash, from_specs
from tidegate.model.bundle import Bundle
from tidegate.model.manifest import GoldenVector
from tidegate.model.onnx_model import OnnxModel
from tidegate.policy.policy import Side, entry_side
from tidegate.validation.constraints import all_hold, violations


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The answer for one window.

    Attributes:
        symbol: of the window.
        closed_at: UTC ms of the newest bar's close.
        features: (F,) float64.
        probability: calibrated probability that a long entry would win.
        signal: 1 long, -1 short, 0 neither: what a flat book should do at the next open.
    """

    symbol: str
    closed_at: int
    features: Floats
    probability: float
    signal: Side


class Predictor:
    """A verified bundle, ready to answer.

    Raises:
        BundleError: the graph cannot be loaded, the features are not those the model was trained on, or a golden vector is answered
            wrongly or not at all.
        ConfigurationError: a feature function of the strategy's own cannot be imported here.
    """

    def __init__(self, bundle: Bundle) -> None:
        manifest = bundle.manifest
        self.bundle = bundle
        self.features = from_specs(manifest.features)
        actual = feature_hash(self.features.specs)
        if actual != manifest.feature_hash:
            raise BundleError("feature hash differs from the manifest's", expected=manifest.feature_hash, actual=actual)
        if self.features.lookback > manifest.lookback:
            raise BundleError(
                "lookback is too short", expected=f">= {self.features.lookback}", actual=manifest.lookback
            )
        self._model = OnnxModel(bundle.onnx, len(self.features.names))
        self._interval = Interval(manifest.interval)
        for at, vector in enumerate(bundle.golden):
            self._check_golden(at, vector)

    def predict(self, window: Bars, as_of_ms: int) -> Prediction:
        """Answer for the newest bar of a window.

        Args:
            window: at least `manifest.lookback` bars, ascending; only the newest ones are looked at.
            as_of_ms: the time of asking; bars that close later are refused.
        Raises:
            DataError: another interval, an unknown symbol, bars that break a constraint, or features that are not finite.
            NotEnoughHistory: fewer bars than the manifest's lookback.
            ModelError: the graph answers with something that is not a probability.
        """
        manifest = self.bundle.manifest
        if window.interval != self._interval:
            raise DataError("window has another interval", expected=manifest.interval, actual=str(window.interval))
        if window.symbol not in manifest.symbols:
            raise DataError(f"symbol {window.symbol} is unknown to this model", expected=", ".join(manifest.symbols))
        if len(window) < manifest.lookback:
            raise NotEnoughHistory("window is too short", expected=f"{manifest.lookback} bars", actual=len(window))
        newest = window.take(slice(len(window) - manifest.lookback, None))
        if not all_hold(newest, as_of_ms):
            first = violations(newest, as_of_ms)[0]
            raise DataError(
                f"window breaks {first.constraint.name}: {first.constraint.description}",
                actual=f"rows {list(first.rows[:5])}",
            )
        return self.answer(newest)

    def answer(self, window: Bars) -> Prediction:
        """Answer for the newest bar of a window that holds all constraints already.

        Args:
            window: at least `manifest.lookback` bars of the model's interval and of one of its symbols.
        Raises:
            DataError: features that are not finite.
            ModelError: the graph answers with something that is not a probability.
        """
        try:
            features = self.features.newest(window)
        except TidegateError:
            raise
        except Exception as error:
            # A strategy's own feature function may raise anything, and the model before this one may do better.
            raise ModelError(f"a feature failed: {type(error).__name__}: {error}") from error
        if not np.isfinite(features).all():
            wrong = [
                name for name, value in zip(self.features.names, features[0], strict=True) if not np.isfinite(value)
            ]
            raise DataError("features are not finite", actual=", ".join(wrong))
        probability = float(self._model.probability(features)[0])
        if not 0.0 <= probability <= 1.0:
            raise ModelError("model's answer is not a probability", expected="a number in [0, 1]", actual=probability)
        signal = entry_side(probability, self.bundle.manifest.policy)
        return Prediction(window.symbol, int(window.closed_at[-1]), features[0], probability, signal)

    def _check_golden(self, at: int, vector: GoldenVector) -> None:
        answer = self._golden_answer(at, vector)
        # Processors may differ in the last bits of log and exp; a wrong model differs by far more.
        close = abs(answer.probability - vector.probability) <= 1e-6
        if not (
            close
            and len(vector.features) == len(answer.features)
            and np.allclose(answer.features, vector.features, rtol=1e-9, atol=1e-12)
            and answer.signal == vector.signal
        ):
            raise BundleError(
                f"golden vector {at} is answered wrongly", expected=vector.probability, actual=answer.probability
            )

    def _golden_answer(self, at: int, vector: GoldenVector) -> Prediction:
        if set(vector.bars) != set(COLUMNS) or not all(vector.bars.values()):
            raise BundleError(f"golden vector {at} holds no window", expected=", ".join(COLUMNS))
        columns = {name: np.asarray(values) for name, values in vector.bars.items()}
        try:
            window = Bars.of(vector.symbol, self._interval, **columns)
            return self.predict(window, int(window.closed_at[-1]))
        except TidegateError as error:
            raise BundleError(f"golden vector {at} is not answered at all: {error.what}") from error
