"""What the flows' tests need here as well."""

from tests.integration.flows.conftest import prefect_server

__all__ = ["prefect_server"]
