"""What the stories of bots share: one market with two trained versions, made once."""

from collections.abc import Iterator

import pytest
from tests.e2e.bot.trained import Trained, trained


@pytest.fixture(scope="package")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    """Version 1 in production, version 2 waiting."""
    with trained(tmp_path_factory.mktemp("market"), {}, {"max_depth": 2}) as found:
        found.promote(1)
        yield found
