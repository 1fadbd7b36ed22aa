"""Writes the model as MLflow's own folders, with and without a column signature: `save_mlflow.py BOOSTER FOLDER NAME...`."""

import sys
from pathlib import Path

import mlflow.xgboost
import xgboost
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

booster = xgboost.Booster()
booster.load_model(sys.argv[1])
folder, names = Path(sys.argv[2]), sys.argv[3:]
requirements = ["mlflow", "xgboost-cpu"]
columns = Schema([ColSpec("double", name) for name in names])
mlflow.xgboost.save_model(booster, folder / "plain", pip_requirements=requirements, model_format="ubj")
mlflow.xgboost.save_model(
    booster,
    folder / "signature",
    signature=ModelSignature(inputs=columns, outputs=Schema([ColSpec("float")])),
    pip_requirements=requirements,
    model_format="ubj",
)
