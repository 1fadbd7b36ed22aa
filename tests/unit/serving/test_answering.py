"""Answers, and the rules that abstain."""

from dataclasses import replace

import pytest
from tests.unit.model.small_model import POLICY, small_bundle, small_dataset, window_ending

from tidegate.model.manifest import FeatureReference, Manifest
from tidegate.policy.policy import PositionState, target_position
from tidegate.serving.answering import Answerer, halted_answer
from tidegate.serving.messages import Answer, Position
from tidegate.serving.predictor import Predictor
from tidegate.serving.served import ServedModel

FIVE_MS = 300_000
ROW = 1400


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    predictor = Predictor(small_bundle(tmp_path_factory.mktemp("bundle") / "b"))
    return ServedModel("small", 7, predictor.bundle.digest, predictor, 0, 2**60, "key", "registry")


def answer(
    model: ServedModel,
    row: int = ROW,
    position: Position | None = None,
    *,
    late_ms: int = 0,
    abstain_above: float | None = None,
) -> Answer:
    window = window_ending(row)
    answered = Answerer(model, abstain_above).answer(
        window, window.content_hash(), position, int(window.closed_at[-1]) + late_ms
    )
    assert answered.status == ("ok" if answered.message.abstain is None else "abstain")
    return answered.message


def test_the_answer_tells_the_predictors_figures_and_names_model_and_times(model: ServedModel) -> None:
    window = window_ending(ROW)
    expected = model.predictor.predict(window, int(window.closed_at[-1]))
    found = answer(model, late_ms=250)
    assert found.probability == expected.probability
    assert found.signal == {1: "long", -1: "short", 0: "flat"}[expected.signal]
    assert found.target_position == expected.signal
    assert (found.version, found.bundle_digest) == (7, model.digest)
    assert found.bar_closed_at == int(window.closed_at[-1])
    assert found.valid_until == int(window.closed_at[-1]) + FIVE_MS
    assert found.data_age_ms == 250
    assert found.input_digest == window.content_hash()


@pytest.mark.parametrize("row", range(1250, 1290))
def test_targets_are_those_of_the_policy_for_every_position(model: ServedModel, row: int) -> None:
    close = float(small_dataset().tables[0].bars.close[row])
    for side in (-1, 0, 1):
        for entry, held in ((close, 1), (0.98 * close, 3), (1.02 * close, 3), (close, 9)):
            found = answer(model, row, Position(side, entry, held))
            assert found.probability is not None
            state = PositionState(side=side, entry_price=entry, bars_held=held)
            assert found.target_position == target_position(found.probability, close, state, POLICY)


@pytest.mark.parametrize(
    ("late_ms", "reason"), [(0, None), (FIVE_MS, None), (FIVE_MS + 1, "stale_data"), (10 * FIVE_MS, "stale_data")]
)
def test_data_are_stale_once_the_next_bar_is_due(model: ServedModel, late_ms: int, reason: str | None) -> None:
    found = answer(model, late_ms=late_ms)
    assert (None if found.abstain is None else found.abstain.reason) == reason
    assert (found.signal is None) == (found.target_position is None) == (reason is not None)
    assert found.probability is not None


@pytest.mark.parametrize(("left_ms", "reason"), [(1, None), (0, "model_expired"), (-1, "model_expired")])
def test_an_expired_model_gives_no_signal(model: ServedModel, left_ms: int, reason: str | None) -> None:
    closed_at = int(window_ending(ROW).closed_at[-1])
    found = answer(replace(model, expires_at=closed_at + left_ms))
    assert (None if found.abstain is None else found.abstain.reason) == reason


def test_features_outside_the_training_range_are_told_and_abstained_from_where_the_settings_say_so(
    model: ServedModel,
) -> None:
    bundle = model.predictor.bundle
    names = [spec.name for spec in bundle.manifest.features]
    far = FeatureReference(probabilities=(0.0, 1.0), values=(50.0, 60.0))
    manifest = bundle.manifest.model_copy(update={"reference": {names[0]: far}})
    strange = replace(model, predictor=_with_manifest(model, manifest))
    share = 1 / len(names)
    assert answer(model).out_of_distribution == 0.0
    assert answer(strange).out_of_distribution == pytest.approx(share)
    assert answer(strange).abstain is None
    assert answer(strange, abstain_above=share).abstain is None
    abstained = answer(strange, abstain_above=share / 2)
    assert abstained.abstain is not None
    assert abstained.abstain.reason == "out_of_distribution"
    assert abstained.signal is None
    assert abstained.probability is not None


def _with_manifest(model: ServedModel, manifest: Manifest) -> Predictor:
    predictor = Predictor(model.predictor.bundle)
    predictor.bundle = replace(predictor.bundle, manifest=manifest)
    return predictor


def test_a_halted_strategy_is_told_to_hold_nothing() -> None:
    found = halted_answer("X/Y", "exchange is down")
    assert found.abstain is not None
    assert (found.abstain.reason, found.abstain.detail) == ("halted", "exchange is down")
    assert (found.signal, found.target_position, found.probability) == ("flat", 0, None)
