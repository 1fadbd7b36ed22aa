"""One engine and one image for all tests of the container."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.container.engine import Engine, base_image, build, dockerd


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    # Not pytest's own folder: the path of a socket has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="tidegate-engine-") as folder, dockerd(Path(folder, "engine")) as running:
        yield running


@pytest.fixture(scope="session")
def image(engine: Engine) -> str:
    return build(engine, base_image(engine))
