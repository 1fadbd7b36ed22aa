"""BentoML with XGBoost; `BOOSTER` in the environment names the model's file. Started by `bentoml serve bentoml_xgboost:Signal`."""

import os

import bentoml  # type: ignore[import-not-found]
import numpy as np
import xgboost


@bentoml.service(workers=1, metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Signal:
    """One model, one worker."""

    def __init__(self) -> None:
        self.booster = xgboost.Booster({"nthread": 1})
        self.booster.load_model(os.environ["BOOSTER"])

    @bentoml.api  # type: ignore[untyped-decorator]
    async def predict(self, features: list[float]) -> dict[str, float]:
        """The probability."""
        row = np.array([features], np.float32)
        return {"probability": float(self.booster.inplace_predict(row)[0])}
