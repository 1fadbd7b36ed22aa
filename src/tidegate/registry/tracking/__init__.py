"""Runs, versions, aliases and artifacts in MLflow. The home of mlflow: nothing else imports it, and here only functions do.

- `connection`: the client, its time limits, and what its failures are called here.
- `runs`: one run's parameters, metrics, data sets and files.
- `versions`: registered versions with their bundle, aliases, downloads that are verified.
"""

from tidegate.registry.tracking.runs import TrackedRun
from tidegate.registry.tracking.versions import Tracking

__all__ = ["TrackedRun", "Tracking"]
