"""FastAPI with ONNX Runtime, as one writes it by hand: `fastapi_onnx.py PORT GRAPH`."""

import sys

import fastapi
import numpy as np
import onnxruntime
import pydantic
import uvicorn

app = fastapi.FastAPI()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[2], options, providers=["CPUExecutionProvider"])


class Question(pydantic.BaseModel):
    """Features in the model's order."""

    features: list[float]


@app.post("/predict")
async def predict(question: Question) -> dict[str, float]:
    """The probability."""
    row = np.array([question.features], np.float32)
    return {"probability": float(session.run(None, {"features": row})[0][0, 0])}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="warning")
