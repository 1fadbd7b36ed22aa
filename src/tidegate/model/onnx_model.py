"""Runs a bundle's ONNX graph: one thread, numpy in and out. Imported by the serving container."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidegate.bars.bars import Floats
from tidegate.errors import BundleError


class OnnxModel:
    """An ONNX graph that maps features to a calibrated probability.

    Args:
        content: the serialised graph.
        feature_count: F as the manifest says.

    Raises:
        BundleError: the graph cannot be loaded or has other inputs or outputs.
    """

    def __init__(self, content: bytes, feature_count: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises plain RuntimeErrors and its own kinds alike
            raise BundleError(f"model.onnx cannot be loaded: {error}") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        # Of each shape the first number is free: the rows asked for at once.
        found = [(node.name, node.type, len(node.shape), node.shape[1:]) for node in (*inputs, *outputs)]
        wanted = [("features", "tensor(float)", 2, [feature_count]), ("probability", "tensor(float)", 2, [1])]
        if len(inputs) != 1 or found != wanted:
            told = [f"{node.name} {node.type} {node.shape}" for node in (*inputs, *outputs)]
            raise BundleError(
                "model.onnx has the wrong shape",
                expected=f"features (N, {feature_count}) to probability (N, 1), of type float",
                actual=", ".join(told),
            )

    def probability(self, features: Floats) -> Floats:
        """Calibrated probabilities.

        Args:
            features: (m, F) float64 or float32, finite.
        Returns:
            (m,) float64 (float32 values).
        """
        rows: NDArray[np.float32] = np.ascontiguousarray(features, dtype=np.float32)
        answer: NDArray[np.float32] = self._session.run(["probability"], {"features": rows})[0]
        return answer[:, 0].astype(np.float64)
