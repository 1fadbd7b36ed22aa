"""Runs a bundle's ONNX graph: one thread, numpy in and out. Imported by the serving container."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidegate.bars.bars import Floats
from tidegate.errors import BundleError, ModelError


class _OneRow:
    """Memory for one row that the runtime reads and writes in place, which spares a third of the time of a call.

    Args:
        session: of the graph.
        feature_count: F.
    """

    def __init__(self, session: Any, feature_count: int) -> None:  # noqa: ANN401  onnxruntime has no types
        self._session = session
        self._features = np.zeros((1, feature_count), np.float32)
        self._probability = np.zeros((1, 1), np.float32)
        self._binding = session.io_binding()
        self._binding.bind_cpu_input("features", self._features)
        self._binding.bind_output(
            "probability", "cpu", 0, np.float32, self._probability.shape, self._probability.ctypes.data
        )

    def run(self, features: Floats) -> float:
        """The answer to (1, F) features."""
        self._features[:] = features
        # A run that fails to write must not repeat the last row's answer: NaN is refused by all who ask.
        self._probability.fill(np.nan)
        self._session.run_with_iobinding(self._binding)
        return self._probability.item()


class OnnxModel:
    """An ONNX graph that maps features to a calibrated probability. Threads may share it.

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
        self._one_row_shape = (1, feature_count)
        # Taken by a call for its time and given back: two threads never share the memory of a row.
        self._idle: list[_OneRow] = []

    def probability(self, features: Floats) -> Floats:
        """Calibrated probabilities.

        Args:
            features: (m, F) float64 or float32, finite.
        Returns:
            (m,) float64 (float32 values).
        """
        if features.shape == self._one_row_shape:
            return np.array([self._of_one_row(features)])
        rows: NDArray[np.float32] = np.ascontiguousarray(features, dtype=np.float32)
        try:
            answer: NDArray[np.float32] = self._session.run(["probability"], {"features": rows})[0]
        except Exception as error:
            raise ModelError(f"model.onnx failed: {error}") from error
        return answer[:, 0].astype(np.float64)

    def _of_one_row(self, features: Floats) -> float:
        try:
            row = self._idle.pop()
        except IndexError:
            row = _OneRow(self._session, self._one_row_shape[1])
        try:
            answer = row.run(features)
        except Exception as error:  # onnxruntime raises plain RuntimeErrors and its own kinds alike
            raise ModelError(f"model.onnx failed: {error}") from error
        self._idle.append(row)
        return answer
