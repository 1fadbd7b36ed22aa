"""A scripted service for each test that asks for one."""

from collections.abc import Iterator

import pytest
from tests.integration.client.scripted import Scripted, scripted


@pytest.fixture
def service() -> Iterator[Scripted]:
    with scripted() as running:
        yield running
