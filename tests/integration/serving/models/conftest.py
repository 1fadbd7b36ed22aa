"""One MLflow server for all tests of this folder; each test has a strategy, a cache and keys of its own."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.serving.models.shelf import Shelf
from tests.servers import mlflow_server

_numbers = itertools.count()


@pytest.fixture(scope="session")
def mlflow_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow-of-models")


@pytest.fixture(scope="session")
def mlflow_address(mlflow_folder: Path) -> Iterator[str]:
    with mlflow_server(mlflow_folder) as address:
        yield address


@pytest.fixture
def shelf(mlflow_address: str, mlflow_folder: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Shelf:
    # Not the cut name of another test: models are not shared.
    name = f"{next(_numbers)}-{re.sub('[^a-z0-9]+', '-', request.node.name)[:50]}"
    return Shelf(mlflow_address, mlflow_folder / "artifacts", tmp_path, name)
