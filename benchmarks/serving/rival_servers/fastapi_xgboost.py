"""FastAPI with XGBoost, as one writes it by hand: `fastapi_xgboost.py PORT BOOSTER`."""

import sys

import fastapi
import numpy as np
import pydantic
import uvicorn
import xgboost

app = fastapi.FastAPI()
booster = xgboost.Booster({"nthread": 1})
booster.load_model(sys.argv[2])


class Question(pydantic.BaseModel):
    """Features in the model's order."""

    features: list[float]


@app.post("/predict")
async def predict(question: Question) -> dict[str, float]:
    """The probability."""
    row = np.array([question.features], np.float32)
    return {"probability": float(booster.inplace_predict(row)[0])}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="warning")
