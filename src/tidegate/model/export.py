"""Turns a booster and its calibration into one ONNX graph: features in, calibrated probability out."""

import json
import warnings
from typing import Final

from tidegate.errors import ModelError
from tidegate.model.manifest import Calibration

INPUT: Final = "features"
OUTPUT: Final = "probability"
OPSET: Final = 15


def to_onnx(ubj: bytes, calibration: Calibration, feature_count: int) -> bytes:
    """Export to ONNX.

    The trees give log odds (the booster is read as a plain sum of trees, which the log odds are), on which the calibration follows as
    three nodes: multiply, add, sigmoid.

    Args:
        ubj: an XGBoost booster with objective `binary:logistic` and base score one half.
        calibration: Platt scaling.
        feature_count: F.
    Returns:
        a serialised model: `features` (N, F) float32 to `probability` (N, 1) float32.
    Raises:
        ModelError: the booster cannot be converted.
    """
    import onnx
    import xgboost
    from onnx import TensorProto, helper
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    regressor = xgboost.XGBRegressor()
    regressor.load_model(bytearray(_as_sum_of_trees(ubj)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter warns of its own deprecated calls
        model = convert_xgboost(
            regressor, initial_types=[(INPUT, FloatTensorType([None, feature_count]))], target_opset=OPSET
        )
    graph = model.graph
    margin = graph.output[0].name
    for name, value in (("slope", calibration.slope), ("intercept", calibration.intercept)):
        graph.initializer.append(helper.make_tensor(name, TensorProto.FLOAT, [1], [value]))
    graph.node.extend(
        [
            helper.make_node("Mul", [margin, "slope"], ["scaled"], name="scale"),
            helper.make_node("Add", ["scaled", "intercept"], ["shifted"], name="shift"),
            helper.make_node("Sigmoid", ["shifted"], [OUTPUT], name="calibrate"),
        ]
    )
    if not any(entry.domain == "" for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", OPSET))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, 1]))
    model.producer_name, model.producer_version, model.doc_string = "tidegate", "", ""
    graph.name = "signal"
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ModelError(f"exported ONNX graph is not valid: {error}") from error
    return bytes(model.SerializeToString(deterministic=True))


def _as_sum_of_trees(ubj: bytes) -> bytes:
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(bytearray(ubj))
    content = json.loads(booster.save_raw("json"))
    learner = content["learner"]
    objective = learner["objective"]["name"]
    base = json.loads(learner["learner_model_param"]["base_score"].strip("[]"))
    if objective != "binary:logistic" or base != 0.5:
        raise ModelError(
            "booster cannot be exported",
            expected="binary:logistic with base score 0.5",
            actual=f"{objective} with {base}",
        )
    learner["objective"] = {"name": "reg:squarederror", "reg_loss_param": {"scale_pos_weight": "1"}}
    learner["learner_model_param"]["base_score"] = "[0E0]"
    return json.dumps(content).encode()
