"""Variables of the environment over settings from TOML, such as `TIDEGATE_CLIENT__BREAKER__FAILURES`."""

import difflib
import typing
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from tidegate.errors import ConfigurationError

PREFIX: Final = "TIDEGATE_CLIENT__"


def overlay(given: Mapping[str, Any], environment: Mapping[str, str], model: type[BaseModel]) -> dict[str, Any]:
    """The settings with every variable of the prefix in its place; the API key's is left to others.

    Args:
        given: tables and values as TOML has them.
        environment: names and texts. Lists have commas between their parts, of which there is one at least.
        model: whose settings they are.
    Raises:
        ConfigurationError: a variable that is no setting, or whose text is not of its type.
    """
    known = _settings(model)
    values = {key: dict(value) if isinstance(value, Mapping) else value for key, value in given.items()}
    for name in sorted(name for name in environment if name.startswith(PREFIX)):
        key = name.removeprefix(PREFIX).lower().replace("__", ".")
        if key == "api_key":
            continue
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.0)[0]
            raise ConfigurationError(f"the variable {name} is no setting; {near} is the nearest one", setting=key)
        table, _, inner = key.rpartition(".")
        place = values if not table else values.setdefault(table, {})
        if not isinstance(place, dict):
            raise ConfigurationError(f"a table is expected, was {place!r}", setting=table)
        place[inner] = _read(key, name, environment[name].strip(), known[key])
    return values


def _settings(model: type[BaseModel], before: str = "") -> dict[str, Any]:
    """Every setting's type, by its dotted key."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= _settings(kind, f"{before}{name}.")
        else:
            found[before + name] = kind
    return found


def _read(key: str, name: str, text: str, kind: Any) -> Any:  # noqa: ANN401  a type, and a value of it
    parts = [part for part in map(str.strip, text.split(",")) if part]
    if kind is bool:
        if text.lower() not in {"true", "false"}:
            raise _refused(key, name, "true or false", text)
        return text.lower() == "true"
    if kind is int:
        return _whole(key, name, text)
    if typing.get_origin(kind) is list:
        # An empty list allows everything: a variable that was emptied by mistake must not widen what the file narrows.
        if not parts:
            raise _refused(key, name, "a list with one part at least", text)
        return [_whole(key, name, part) for part in parts] if typing.get_args(kind) == (int,) else parts
    return text


def _whole(key: str, name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise _refused(key, name, "a whole number", text) from error


def _refused(key: str, name: str, expected: str, text: str) -> ConfigurationError:
    return ConfigurationError(f"{name}: {expected} is expected, was {text!r}", setting=key)
