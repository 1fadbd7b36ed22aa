"""The predictor answers sound windows only, and does not start with a bundle that does not answer as it did when it was made."""
# ruff: noqa: ANN401  keyword arguments override fields of many types

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.model.small_model import (
    POLICY,
    golden_vector,
    small_bundle,
    small_dataset,
    small_files,
    small_fit,
    small_manifest,
    window_ending,
)

from tidegate.bars.bars import Bars
from tidegate.bars.interval import Interval
from tidegate.errors import BundleError, ConfigurationError, DataError, ModelError, NotEnoughHistory
from tidegate.features.features import feature_hash
from tidegate.features.window import Window
from tidegate.model.bundle import ONNX, sha256
from tidegate.model.export import to_onnx
from tidegate.model.manifest import Calibration, GoldenVector
from tidegate.model.onnx_model import OnnxModel
from tidegate.model.training import apply_calibration, margins
from tidegate.policy.policy import entry_side
from tidegate.serving.predictor import Predictor


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(small_bundle(tmp_path_factory.mktemp("bundle") / "b"))


def asked(predictor: Predictor, window: Bars) -> Any:
    return predictor.predict(window, int(window.closed_at[-1]))


@pytest.mark.parametrize("row", [1250, 1333, 1499])
def test_the_answer_is_that_of_the_batch_and_the_booster(predictor: Predictor, row: int) -> None:
    table, (fitted, _) = small_dataset().tables[0], small_fit()
    answer = asked(predictor, window_ending(row))
    assert (answer.features == table.features[row]).all()
    margin = margins(fitted.ubj, table.features[row : row + 1].astype(np.float32), 1)
    assert answer.probability == pytest.approx(apply_calibration(margin, fitted.calibration)[0], abs=1e-6)
    assert answer.signal == entry_side(answer.probability, POLICY)
    assert answer.closed_at == table.bars.closed_at[row]
    assert answer.symbol == "BTC/USDT"


def test_bars_older_than_the_lookback_are_not_looked_at(predictor: Predictor) -> None:
    whole = small_dataset().tables[0].bars
    spoiled = replace(whole, close=np.concatenate((np.full(1000, np.nan), whole.close[1000:])))
    assert asked(predictor, spoiled).probability == asked(predictor, window_ending(1499)).probability


def test_another_interval_is_refused(predictor: Predictor) -> None:
    window = replace(window_ending(1400), interval=Interval("1m"))
    with pytest.raises(DataError, match="window has another interval, expected 5m, was 1m"):
        asked(predictor, window)


def test_an_unknown_symbol_is_refused(predictor: Predictor) -> None:
    with pytest.raises(DataError, match="symbol DOGE/USDT is unknown to this model, expected BTC/USDT"):
        asked(predictor, window_ending(1400).with_symbol("DOGE/USDT"))


def test_a_window_one_bar_short_is_refused(predictor: Predictor) -> None:
    lookback = predictor.bundle.manifest.lookback
    with pytest.raises(NotEnoughHistory, match=f"expected {lookback} bars, was {lookback - 1}"):
        asked(predictor, window_ending(1400).take(slice(1, None)))
    with pytest.raises(NotEnoughHistory):
        predictor.predict(window_ending(1400).take(slice(0, 0)), 0)


def changed(column: str, row: int, value: Callable[[float], float]) -> Bars:
    window = window_ending(1400)
    values = getattr(window, column).copy()
    values[row] = value(values[row])
    return replace(window, **{column: values})


@pytest.mark.parametrize(
    ("window", "constraint"),
    [
        (changed("close", -1, lambda _: np.nan), "close_present"),
        (changed("volume", 3, lambda _: np.inf), "volume_finite"),
        (changed("low", -2, lambda _: 0.0), "low_positive"),
        (changed("volume", 0, lambda _: -1.0), "volume_not_negative"),
        (changed("high", 4, lambda high: high / 2), "high_over_open"),
        (changed("low", 4, lambda low: low * 2), "high_over_low"),
        (changed("opened_at", 5, lambda at: at + 1), "on_grid"),
        (changed("opened_at", 5, lambda at: at - 300_000), "ascending"),
        (window_ending(1400).take(np.arange(14, -1, -1)), "ascending"),
    ],
)
def test_bars_that_break_a_constraint_are_refused_by_its_name(
    predictor: Predictor, window: Bars, constraint: str
) -> None:
    with pytest.raises(DataError, match=f"window breaks {constraint}"):
        predictor.predict(window, int(window.closed_at.max()))


@pytest.mark.parametrize("early_ms", [1, 299_999, 300_000, 10**9])
def test_a_bar_that_has_not_closed_is_refused(predictor: Predictor, early_ms: int) -> None:
    window = window_ending(1400)
    name = "not_in_future" if early_ms > 300_000 else "finished"
    with pytest.raises(DataError, match=f"window breaks {name}"):
        predictor.predict(window, int(window.closed_at[-1]) - early_ms)


def broken_feature(window: Window, length: int) -> Any:
    """A function of the strategy's own that fails in one place."""
    del length
    return np.where(window.now(window.bars.close) > 1e5, np.nan, 0.5)


def test_features_that_are_not_finite_are_refused_by_name(tmp_path: Path) -> None:
    use = f"{__name__}:broken_feature"
    specs = (*small_dataset().features.specs[:3], small_dataset().features.specs[3].model_copy(update={"use": use}))
    features = (*golden_vector(1400).features[:3], 0.5)
    probability = float(OnnxModel(small_fit()[1], 4).probability(np.array([features]))[0])
    calm = golden_vector(1400, features=features, probability=probability, signal=entry_side(probability, POLICY))
    started = Predictor(small_bundle(tmp_path / "b", golden=(calm,), features=specs, feature_hash=feature_hash(specs)))
    window = window_ending(1400)
    dear = replace(window, **{name: getattr(window, name) * 1e4 for name in ("open", "high", "low", "close")})
    with pytest.raises(DataError, match="features are not finite, was body"):
        asked(started, dear)


def wrong_features(vector: GoldenVector) -> GoldenVector:
    return vector.model_copy(update={"features": (vector.features[0] + 1e-8, *vector.features[1:])})


def without_close(vector: GoldenVector) -> GoldenVector:
    return vector.model_copy(update={"bars": {name: values for name, values in vector.bars.items() if name != "close"}})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda v: v.model_copy(update={"probability": v.probability + 2e-6}), "golden vector 1 is answered wrongly"),
        (lambda v: v.model_copy(update={"signal": 1 if v.signal != 1 else -1}), "golden vector 1 is answered wrongly"),
        (wrong_features, "golden vector 1 is answered wrongly"),
        (lambda v: v.model_copy(update={"features": v.features[:1]}), "golden vector 1 is answered wrongly"),
        (lambda v: v.model_copy(update={"symbol": "ETH/USDT"}), "golden vector 1 is not answered at all"),
        (without_close, "golden vector 1 holds no window"),
        (lambda v: v.model_copy(update={"bars": {}}), "golden vector 1 holds no window"),
        (lambda v: v.model_copy(update={"bars": dict.fromkeys(v.bars, ())}), "golden vector 1 holds no window"),
        (lambda v: v.model_copy(update={"bars": v.bars | {"low": v.bars["low"][1:]}}), "not answered at all"),
        (lambda v: v.model_copy(update={"bars": {k: x[1:] for k, x in v.bars.items()}}), "not answered at all"),
    ],
)
def test_a_golden_vector_that_is_not_met_keeps_the_predictor_from_starting(
    tmp_path: Path, change: Callable[[GoldenVector], GoldenVector], told: str
) -> None:
    bundle = small_bundle(tmp_path / "b", golden=(golden_vector(1300), change(golden_vector(1400))))
    with pytest.raises(BundleError, match=told):
        Predictor(bundle)


def test_another_models_graph_under_honest_digests_is_refused(tmp_path: Path) -> None:
    fitted, _ = small_fit()
    other = to_onnx(fitted.ubj, Calibration(slope=fitted.calibration.slope, intercept=0.3), 4)
    made = small_bundle(tmp_path / "b")
    files = small_files() | {ONNX: other}
    assert sha256(other) != made.manifest.files[ONNX]
    with pytest.raises(BundleError, match="golden vector 0 is answered wrongly"):
        Predictor(replace(made, onnx=other, manifest=small_manifest(files)))


def test_a_wrong_feature_hash_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="feature hash differs"):
        Predictor(small_bundle(tmp_path / "b", feature_hash="0" * 64))


def test_features_in_another_order_have_another_hash(tmp_path: Path) -> None:
    specs = small_dataset().features.specs[::-1]
    with pytest.raises(BundleError, match="feature hash differs"):
        Predictor(small_bundle(tmp_path / "b", features=specs))


def test_fewer_features_than_the_graph_takes_are_refused(tmp_path: Path) -> None:
    specs = small_dataset().features.specs[:-1]
    with pytest.raises(BundleError, match=r"expected features \(N, 3\)"):
        Predictor(small_bundle(tmp_path / "b", features=specs, feature_hash=feature_hash(specs)))


def test_a_lookback_under_that_of_the_features_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="lookback is too short, expected >= 13, was 12"):
        Predictor(small_bundle(tmp_path / "b", lookback=12))


def test_a_feature_function_that_is_not_installed_is_refused_with_the_next_step(tmp_path: Path) -> None:
    specs = (*small_dataset().features.specs[:3], small_dataset().features.specs[3].model_copy(update={"use": "no:x"}))
    with pytest.raises(ConfigurationError, match="importable where the model is trained, monitored and served"):
        Predictor(small_bundle(tmp_path / "b", features=specs, feature_hash=feature_hash(specs)))


@pytest.mark.parametrize("answer", [np.nan, np.inf, -0.1, 1.1])
def test_an_answer_that_is_no_probability_is_refused(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch, answer: float
) -> None:
    monkeypatch.setattr(predictor._model, "probability", lambda _features: np.array([answer]))
    with pytest.raises(ModelError, match="is not a probability"):
        asked(predictor, window_ending(1400))
