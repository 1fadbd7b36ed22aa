"""The ONNX graph gives what XGBoost and the calibration give, the same bits alone and in a batch, and refuses what it is not."""

import numpy as np
import pytest
from tests.unit.model.small_model import SMALL, drawn_rows

from tidegate.bars.bars import Floats
from tidegate.errors import BundleError, ModelError
from tidegate.model.export import to_onnx
from tidegate.model.manifest import Calibration
from tidegate.model.onnx_model import OnnxModel
from tidegate.model.training import Matrix, apply_calibration, booster_parameters, fit_booster, margins

CALIBRATION = Calibration(slope=0.8, intercept=-0.1)
SIZES = [(2, 5), (4, 100), (6, 300)]


def trained(depth: int, rounds: int, **changes: object) -> bytes:
    rows = drawn_rows(2, 4000, features=10)
    parameters = booster_parameters(SMALL.model_copy(update={"max_depth": depth}), 1) | changes
    return bytes(fit_booster(rows.x, rows.y, rows.weight, parameters, rounds).save_raw("ubj"))


def questions(m: int = 3000) -> Matrix:
    """Rows like those trained on, with some far outside."""
    rng = np.random.default_rng(9)
    rows: Matrix = (rng.standard_normal((m, 10)) * rng.choice([1, 50], (m, 1))).astype(np.float32)
    return rows


@pytest.mark.parametrize(("depth", "rounds"), SIZES)
def test_onnx_equals_xgboost_on_random_rows(depth: int, rounds: int) -> None:
    ubj = trained(depth, rounds)
    rows = questions()
    expected = apply_calibration(margins(ubj, rows, 1), CALIBRATION)
    found = OnnxModel(to_onnx(ubj, CALIBRATION, 10), 10).probability(rows.astype(np.float64))
    assert np.abs(found - expected).max() <= 1e-6
    assert found.std() > 0.05, "the answers differ enough for the comparison to mean something"


@pytest.mark.parametrize(("depth", "rounds"), SIZES)
def test_a_row_alone_has_the_bits_of_the_batch(depth: int, rounds: int) -> None:
    model = OnnxModel(to_onnx(trained(depth, rounds), CALIBRATION, 10), 10)
    rows: Floats = questions(400).astype(np.float64)
    batch = model.probability(rows)
    alone = np.array([model.probability(rows[at : at + 1])[0] for at in range(len(rows))])
    assert np.array_equal(batch, alone)


def test_exporting_twice_gives_the_same_bytes() -> None:
    ubj = trained(3, 10)
    assert to_onnx(ubj, CALIBRATION, 10) == to_onnx(ubj, CALIBRATION, 10)


def test_the_calibration_is_part_of_the_graph() -> None:
    ubj = trained(3, 10)
    flat = OnnxModel(to_onnx(ubj, Calibration(slope=0.0, intercept=np.log(3.0)), 10), 10)
    assert flat.probability(questions(5).astype(np.float64)) == pytest.approx([0.75] * 5)


@pytest.mark.parametrize("count", [9, 11])
def test_another_number_of_features_is_refused(count: int) -> None:
    content = to_onnx(trained(2, 3), CALIBRATION, 10)
    with pytest.raises(BundleError, match=rf"expected features \(N, {count}\)"):
        OnnxModel(content, count)


@pytest.mark.parametrize("content", [b"", b"model", b"\x00" * 100])
def test_what_is_not_a_graph_is_refused(content: bytes) -> None:
    with pytest.raises(BundleError, match=r"model\.onnx cannot be loaded"):
        OnnxModel(content, 10)


def graph(inputs: list[tuple[str, str, list[int | None]]], output: tuple[str, list[int | None]]) -> bytes:
    """A graph that copies its first input, whatever its name, type and shape."""
    from onnx import TensorProto, helper

    described = [helper.make_tensor_value_info(name, getattr(TensorProto, kind), shape) for name, kind, shape in inputs]
    answer = helper.make_tensor_value_info(output[0], getattr(TensorProto, inputs[0][1]), output[1])
    nodes = [helper.make_node("Identity", [inputs[0][0]], [output[0]])]
    model = helper.make_model(
        helper.make_graph(nodes, "other", described, [answer]),
        opset_imports=[helper.make_opsetid("", 15)],
        ir_version=8,
    )
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("inputs", "output"),
    [
        ([("rows", "FLOAT", [None, 1])], ("probability", [None, 1])),
        ([("features", "FLOAT", [None, 1])], ("label", [None, 1])),
        ([("features", "DOUBLE", [None, 1])], ("probability", [None, 1])),
        ([("features", "FLOAT", [None])], ("probability", [None])),
        ([("features", "FLOAT", [])], ("probability", [])),
        ([("features", "FLOAT", [None, 1]), ("more", "FLOAT", [None, 1])], ("probability", [None, 1])),
    ],
)
def test_other_inputs_and_outputs_are_refused(
    inputs: list[tuple[str, str, list[int | None]]], output: tuple[str, list[int | None]]
) -> None:
    with pytest.raises(BundleError, match=r"model\.onnx has the wrong shape"):
        OnnxModel(graph(inputs, output), 1)


def test_a_graph_of_the_right_shape_is_taken() -> None:
    model = OnnxModel(graph([("features", "FLOAT", [None, 1])], ("probability", [None, 1])), 1)
    assert model.probability(np.array([[0.25], [0.5]])).tolist() == [0.25, 0.5]


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": "reg:squarederror"},
        {"objective": "binary:logitraw"},
        {"objective": "binary:hinge"},
        {"base_score": 0.4},
    ],
)
def test_a_booster_that_is_not_a_plain_sum_of_log_odds_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="booster cannot be exported, expected binary:logistic"):
        to_onnx(trained(2, 3, **changes), CALIBRATION, 10)
