"""Imports what the pipeline's processes import, so that its bytecode lies in the image."""

import importlib
import os

# MLflow's accounts are set up when their module is imported.
os.environ.setdefault("MLFLOW_FLASK_SERVER_SECRET_KEY", "not used")

USED = (
    "arch.bootstrap",
    "asyncpg",
    "boto3",
    "ccxt",
    "distributed",
    "fastapi",
    "great_expectations",
    "matplotlib.pyplot",
    "mlflow.server",
    "mlflow.server.auth",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.tracking",
    "mlflow.xgboost",
    "onnxmltools",
    "onnxruntime",
    "optuna",
    "prefect",
    "prefect.cli.server",
    "prefect.cli.worker",
    "prefect.server.api.server",
    "prefect.workers.process",
    "prefect_dask",
    "psycopg",
    "pyarrow.parquet",
    "scipy.stats",
    "sklearn.isotonic",
    "sklearn.linear_model",
    "uvicorn",
    "vectorbt",
    "xgboost",
)

if __name__ == "__main__":
    for name in USED:
        importlib.import_module(name)
