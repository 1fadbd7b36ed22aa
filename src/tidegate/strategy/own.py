"""Functions of the user's own that a strategy file names as `module:function`."""

import importlib
from collections.abc import Callable
from typing import Any

from tidegate.errors import ConfigurationError


def own_function(use: str, what: str, setting: str) -> Callable[..., Any]:
    """Import it.

    Args:
        use: `module:function`; the module lies in the project's folder or is installed.
        what: that it computes, for the error's message.
        setting: that names it.
    Raises:
        ConfigurationError: there is no such module, or no such function in it.
    """
    module_name, _, function_name = use.rpartition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"{what} {use} cannot be imported: {error}",
            setting=setting,
            next_step="it must be importable where the model is trained, monitored and served",
        ) from error
    return found
