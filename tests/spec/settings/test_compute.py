"""Which Dask schedulers an installation may name, and the bounds of what workers get."""

import pytest
from pydantic import ValidationError

from tidegate.settings.settings import Settings


@pytest.mark.parametrize(
    ("address", "in_development", "in_production"),
    [
        (None, True, True),
        ("tls://scheduler:8786", True, True),
        ("tcp://scheduler:8786", True, False),
        ("tcp://127.0.0.1:8786", True, False),
        ("scheduler:8786", True, False),
        ("", False, False),
    ],
)
def test_a_dask_scheduler_in_the_clear_is_for_development_only(
    address: str | None, in_development: bool, in_production: bool
) -> None:
    def taken(environment: str) -> bool:
        try:
            Settings.model_validate({"environment": environment, "compute": {"dask_address": address}})
        except ValidationError as error:
            return "dask_address" not in str(error)
        return True

    assert (taken("development"), taken("production")) == (in_development, in_production)


@pytest.mark.parametrize(
    ("name", "value"),
    [("workers", 0), ("workers", 257), ("worker_memory_gb", 0.1), ("worker_memory_gb", 1025), ("max_training_mb", -1)],
)
def test_bounds(name: str, value: float) -> None:
    with pytest.raises(ValidationError, match=name):
        Settings.model_validate({"compute": {name: value}})
