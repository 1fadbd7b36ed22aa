"""One Prefect server for all flow tests."""

from collections.abc import Iterator

import pytest
from tests.servers import free_port


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Prefect server with a database of its own, and a folder of its own for cached results."""
    from prefect.server.api.server import SubprocessASGIServer
    from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    results = tmp_path_factory.mktemp("prefect") / "results"
    with pytest.MonkeyPatch.context() as patch:
        # Prefect draws from one range for all processes, and asks for health there before its own server listens.
        patch.setattr(SubprocessASGIServer, "find_available_port", lambda _server: free_port())
        with temporary_settings(updates={PREFECT_LOCAL_STORAGE_PATH: results}), prefect_test_harness(120):
            yield
