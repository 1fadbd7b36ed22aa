"""How MLflow is reached, and what its failures are called."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from tidegate.errors import RegistryError
from tidegate.settings.settings import Settings


class Connection:
    """One MLflow address: a server, or a SQLite file with artifacts beside it.

    mlflow reads its time limits and switches from the environment, so the first use sets them there for this process.
    """

    def __init__(self, settings: Settings) -> None:
        self.uri = settings.tracking_uri
        self.artifacts = settings.paths.mlruns.resolve() / "artifacts"
        self._timeout_s = settings.mlflow.timeout_s
        self._retries = settings.mlflow.retries

    @property
    def is_server(self) -> bool:
        """Whether artifacts go through a server rather than into a folder."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def address(self) -> str:
        """The address without a password, for messages."""
        parts = urlsplit(self.uri)
        if parts.password is None:
            return self.uri
        return urlunsplit(parts._replace(netloc=f"{parts.username}:***@{parts.hostname}:{parts.port}"))

    @cached_property
    def client(self) -> Any:  # noqa: ANN401  mlflow is imported inside functions only
        """The client of mlflow. The first use imports mlflow (2 s) and, for a new SQLite file, creates its tables (some seconds)."""
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
        os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(self._timeout_s)
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = str(self._retries)
        os.environ["MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR"] = "1"
        from mlflow.tracking import MlflowClient

        if self.uri.startswith("sqlite:///"):
            Path(self.uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        with self.calling("connect"):
            return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    @contextmanager
    def as_default(self) -> Iterator[None]:
        """Make this address mlflow's default meanwhile: its SQLite registry looks logged models up at the default address only."""
        import mlflow

        if self.is_server:
            yield
            return
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(self.uri)
        try:
            yield
        finally:
            mlflow.set_tracking_uri(before)

    @contextmanager
    def calling(self, what: str) -> Iterator[None]:
        """Turn whatever mlflow raises into RegistryError that names the address and the next step."""
        from mlflow.exceptions import MlflowException
        from requests.exceptions import RequestException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, RequestException, SQLAlchemyError, OSError) as error:
            line = str(error).replace(self.uri, self.address).strip().partition("\n")[0][:400]
            raise RegistryError(
                f"MLflow at {self.address} could not {what}: {line}",
                setting="mlflow.tracking_uri",
                next_step="start the server (`tidegate up`) or correct the address, then run the command again; "
                "slow servers need a higher mlflow.timeout_s",
            ) from error

    def unless_missing(self, call: Callable[[], Any], what: str) -> Any:  # noqa: ANN401
        """The call's answer, or None where MLflow says that the thing does not exist; other failures are raised."""
        from mlflow.exceptions import MlflowException

        with self.calling(what):
            try:
                return call()
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return None
                raise
