"""A small simulated market and the jobs that retrain on it: three folds in about a second of training."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tidegate.bars.bars import parse_time
from tidegate.bars.interval import DAY_MS
from tidegate.pipeline.job import Job
from tidegate.registry.tracking.versions import Tracking
from tidegate.settings.settings import Compute, Mlflow, Paths, Settings
from tidegate.strategy.strategy import Strategy

OPENS_AT = "2025-01-01T00:00:00Z"
AS_OF_MS = parse_time("2025-06-15T00:00:00Z")

CONTENT: dict[str, Any] = {
    "version": 1,
    "name": "simulated-small",
    "kind": "simulated",
    "symbols": ["SIM/USD"],
    "interval": "15m",
    "source": {"type": "simulated", "seed": 12, "edge": 1.0, "starts_at": OPENS_AT, "days": 160},
    "features": [
        {"use": "signed_volume", "lengths": [3, 6, 12, 24]},
        {"use": "money_flow", "lengths": [6, 12]},
        {"use": "return", "lengths": [1, 6]},
        {"use": "volatility", "lengths": [12]},
    ],
    "windows": {"train_days": 65, "test_days": 30, "max_folds": 3},
    "model": {
        "max_depth": 3,
        "max_rounds": 60,
        "early_stopping_rounds": 10,
        "learning_rate": 0.1,
        "min_child_weight": 50,
        "colsample_bytree": 0.6,
        "inner_folds": 2,
    },
    "policy": {"margins": [0.08, 0.12], "take_profit_barriers": 0.4},
    # Other tests may keep the processor busy meanwhile; a slow answer has a test of its own.
    "gates": {"latency_p95_ms": {"threshold": 500}},
}


def strategy(**changes: Any) -> Strategy:  # noqa: ANN401  parts of a strategy file, as YAML gives them
    """The small strategy with whole sections replaced, or, for mappings, their keys."""
    content = dict(CONTENT)
    for name, value in changes.items():
        old = content.get(name)
        content[name] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return Strategy.model_validate(content)


@cache
def _empty_database() -> bytes:
    with TemporaryDirectory() as folder:
        address = f"sqlite:///{folder}/mlflow.db"
        assert Tracking(Settings(mlflow=Mlflow(tracking_uri=address))).versions("nothing") == []
        return Path(folder, "mlflow.db").read_bytes()


def give_mlflow(folder: Path) -> None:
    """Put MLflow's tables into `mlruns/` of a folder: making them takes five seconds, a copy none."""
    path = folder / "mlruns" / "mlflow.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_empty_database())


def settings(folder: Path) -> Settings:
    """An installation of its own below a folder."""
    give_mlflow(folder)
    paths = Paths(data=folder / "data", runs=folder / "runs", mlruns=folder / "mlruns", cache=folder / "cache")
    compute = Compute(threads=1, parallel_folds=2, latency_samples=50)
    return Settings(paths=paths, compute=compute)


def job(chosen: Strategy, installation: Settings, *, days_later: int = 0, run: int = 0) -> Job:
    """A job as of 15 June 2025 or some days later; `run` tells jobs of the same time apart."""
    as_of_ms = AS_OF_MS + days_later * DAY_MS
    return Job(chosen, installation, Path(), as_of_ms, as_of_ms + run, "test")
