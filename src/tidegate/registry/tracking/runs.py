"""One MLflow run: what was trained, on which data, with which result."""

import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tidegate.errors import RegistryError
from tidegate.gates.result import Decision
from tidegate.model.bundle import DECISION
from tidegate.registry.tracking.connection import Connection

_PARAMETERS_AT_ONCE = 100
_METRICS_AT_ONCE = 1000
_EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development"
}  # else MLflow's interface offers traces of language models
_DIGEST_LENGTH = 36  # MLflow's limit; the whole hash is in the data set's source


class TrackedRun:
    """A run that is open; made by `Tracking.start_run`."""

    def __init__(self, connection: Connection, strategy: str, experiment_id: str, run_id: str) -> None:
        self.strategy = strategy
        self.run_id = run_id
        self.experiment_id = experiment_id
        self._connection = connection

    def tags(self, tags: Mapping[str, str]) -> None:
        """Set tags."""
        from mlflow.entities import RunTag

        found = [RunTag(name, str(value)) for name, value in tags.items()]
        with self._calling("set tags"):
            for start in range(0, len(found), _PARAMETERS_AT_ONCE):
                self._client.log_batch(self.run_id, tags=found[start : start + _PARAMETERS_AT_ONCE])

    def rename(self, name: str) -> None:
        """Give the run the name that lists, charts and comparisons show."""
        with self._calling("rename"):
            self._client.update_run(self.run_id, name=name)

    def params(self, params: Mapping[str, object]) -> None:
        """Log parameters; nested mappings become dotted names. A parameter cannot be changed once it is logged."""
        from mlflow.entities import Param

        found = [Param(name, value) for name, value in flatten(params).items()]
        with self._calling("log parameters"):
            for start in range(0, len(found), _PARAMETERS_AT_ONCE):
                self._client.log_batch(self.run_id, params=found[start : start + _PARAMETERS_AT_ONCE])

    def metrics(self, metrics: Mapping[str, float | None], *, step: int = 0) -> None:
        """Log metrics by their names in the metrics table; None is left out, and a value that is not finite is logged as NaN."""
        with self._calling("log metrics"):
            for part in metric_entities(metrics, step):
                self._client.log_batch(self.run_id, metrics=part)

    def dataset(self, name: str, snapshot: str, *, source: str, profile: Mapping[str, object]) -> None:
        """Name a data set that was used, such as a symbol's bars, by the content hash of its snapshot.

        Args:
            name: what it is, such as `EUR/USD 1h`.
            snapshot: SHA-256 of its content; MLflow shows the first 36 digits as the digest.
            source: where it came from, for people.
            profile: counts and time span.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        entity = Dataset(
            name=name,
            digest=snapshot[:_DIGEST_LENGTH],
            source_type="tidegate_snapshot",
            source=json.dumps({"snapshot": snapshot, "source": source}),
            profile=json.dumps(dict(profile)),
        )
        with self._calling("log a data set"):
            self._client.log_inputs(
                self.run_id, datasets=[DatasetInput(entity, tags=[InputTag("mlflow.data.context", "training")])]
            )

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Keep a file, such as the report."""
        with self._calling(f"keep {path.name}"):
            self._client.log_artifact(self.run_id, str(path), folder)

    def artifacts(self, path: Path, folder: str | None = None) -> None:
        """Keep all files of a folder."""
        with self._calling(f"keep {path.name}"):
            self._client.log_artifacts(self.run_id, str(path), folder)

    def figure(self, figure: object, path: str) -> None:
        """Keep a plot, such as `plots/equity.html`: a matplotlib or plotly figure."""
        with self._calling(f"keep {path}"):
            self._client.log_figure(self.run_id, figure, path)

    def dictionary(self, content: Mapping[str, object], path: str) -> None:
        """Keep a mapping as a JSON or YAML file."""
        with self._calling(f"keep {path}"):
            self._client.log_dict(self.run_id, dict(content), path)

    def decision(self, decision: Decision) -> None:
        """Keep the gates' decision whole, and show the verdict and each gate as tags."""
        self.dictionary(decision.model_dump(mode="json"), DECISION)
        tags = {f"gate.{result.name}": str(result.verdict) for result in decision.results}
        self.tags({"verdict": "promote" if decision.promote else "refuse", **tags})

    @contextmanager
    def child(self, run_name: str, tags: Mapping[str, str] | None = None) -> Iterator["TrackedRun"]:
        """Open a run below this one, such as a fold's."""
        with open_run(self._connection, self.strategy, run_name, tags or {}, parent=self) as run:
            yield run

    @property
    def _client(self) -> Any:  # noqa: ANN401
        return self._connection.client

    def _calling(self, what: str) -> Any:  # noqa: ANN401
        return self._connection.calling(f"{what} (run {self.run_id})")


@contextmanager
def open_run(
    connection: Connection, strategy: str, run_name: str, tags: Mapping[str, str], parent: TrackedRun | None = None
) -> Iterator[TrackedRun]:
    """Open a run in the strategy's experiment; it ends as FINISHED, KILLED on Ctrl-C, FAILED on any other error.

    Raises:
        RegistryError: MLflow could not be reached.
    """
    experiment_id = parent.experiment_id if parent else _experiment(connection, strategy)
    all_tags = {"strategy": strategy, "mlflow.source.name": "tidegate", **tags}
    if parent is not None:
        all_tags["mlflow.parentRunId"] = parent.run_id
    with connection.calling("start a run"):
        created = connection.client.create_run(experiment_id, run_name=run_name, tags=all_tags)
    run = TrackedRun(connection, strategy, experiment_id, created.info.run_id)
    try:
        yield run
    except BaseException as error:
        _end(connection, run, "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED", error)
        raise
    _end(connection, run, "FINISHED", None)


def _end(connection: Connection, run: TrackedRun, status: str, error: BaseException | None) -> None:
    try:
        if error is not None:
            run.tags({"error": f"{type(error).__name__}: {error}"[:1000]})
        with connection.calling(f"end run {run.run_id}"):
            connection.client.set_terminated(run.run_id, status)
    except RegistryError as second:
        if error is None:
            raise
        error.add_note(str(second))  # the first error is what the reader must see


def _experiment(connection: Connection, strategy: str) -> str:
    from mlflow.exceptions import MlflowException

    client = connection.client
    with connection.calling(f"find the experiment {strategy}"):
        found = client.get_experiment_by_name(strategy)
        if found is None:
            # Without a server mlflow would put artifacts below the current folder.
            location = None if connection.is_server else (connection.artifacts / strategy).as_uri()
            try:
                return str(client.create_experiment(strategy, artifact_location=location, tags=_EXPERIMENT_TAGS))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = client.get_experiment_by_name(strategy)
        return str(found.experiment_id)


def flatten(params: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Nested mappings as dotted names.

    >>> flatten({"model": {"depth": 4, "eta": 0.1}, "seed": 7})
    {'model.depth': '4', 'model.eta': '0.1', 'seed': '7'}
    """
    found: dict[str, str] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            found |= flatten(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = str(value)
    return found


def metric_entities(metrics: Mapping[str, float | None], step: int, model_id: str | None = None) -> list[list[Any]]:
    """MLflow's metrics, in parts of the size that one request may have."""
    from mlflow.entities import Metric

    now = time.time_ns() // 1_000_000
    found = [
        Metric(name, float(value) if math.isfinite(value) else math.nan, now, step, model_id=model_id)
        for name, value in metrics.items()
        if value is not None
    ]
    return [found[start : start + _METRICS_AT_ONCE] for start in range(0, len(found), _METRICS_AT_ONCE)]
