"""Reads settings from defaults, YAML files and the environment, in that order of precedence."""

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsError

from tidegate.errors import ConfigurationError
from tidegate.settings.settings import Settings

PREFIX = "TIDEGATE_"
_ROOT = "TIDEGATE_ROOT"
# A value under these keys, or a whole section that holds one, may carry a password.
_SECRET_WORDS = ("secret", "url", "uri", "password", "token", "options")
_SECTIONS_WITH_SECRETS = ("ledger", "prefect", "mlflow", "source")


class _Loader(yaml.SafeLoader):
    """YAML with two traps closed: 2024-01-01 stays the text it is, and a key that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping, refusing a key that stands twice."""
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"key {key.value!r} stands twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse_yaml(text: str) -> Any:  # noqa: ANN401  any YAML
    """YAML text as plain values: times stay text.

    >>> parse_yaml("since: 2024-01-01")
    {'since': '2024-01-01'}

    Raises:
        yaml.YAMLError: the text is not YAML, or a key stands twice in one mapping.
    """
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        ConfigurationError: the file is missing, is not YAML, names a key twice or holds something else than a mapping.
    """
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(f"file {path} does not exist") from error
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        line = " ".join(str(error).split())
        raise ConfigurationError(f"file {path} cannot be read as YAML: {line}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigurationError(f"file {path} is wrong", expected="a mapping", actual=type(content).__name__)
    return content


def load_settings(root: Path | None = None) -> Settings:
    """Load all settings of the project in `root` (default: `TIDEGATE_ROOT`, else the working folder).

    Relative paths are taken from `root`. A file that does not exist counts as empty, a key that does not exist is refused.

    Raises:
        ConfigurationError: a file or value is wrong; the message names the key and the file or variable that it comes from.
    """
    root = (root or Path(os.environ.get(_ROOT, "."))).resolve()
    _refuse_unknown_variables(os.environ)
    base_path = root / "configs" / "base.yaml"
    base = _optional(base_path)
    environment = os.environ.get("TIDEGATE_ENVIRONMENT", str(base.get("environment", "development")))
    own_path = root / "configs" / f"{environment}.yaml"
    own = _optional(own_path)
    if own.get("environment", environment) != environment:
        raise ConfigurationError(
            f"file {own_path} names another environment: environment", expected=environment, actual=own["environment"]
        )
    files = {own_path: own, base_path: base}
    try:
        loaded = _source(_merge(base, own))()
    except ValidationError as error:
        raise ConfigurationError(
            f"settings are wrong: {_located(error, files)}", next_step="`tidegate settings --markdown` describes each"
        ) from error
    except SettingsError as error:  # an environment variable for a whole section that is not JSON
        line = " ".join(str(error).split())
        raise ConfigurationError(f"an environment variable ({PREFIX}...) cannot be read: {line}") from error
    values = {name: _rooted(getattr(loaded, name), root) for name in Settings.model_fields}
    return Settings.model_construct(**values)


def describe(error: ValidationError) -> str:
    """A validation error in one line: each wrong key with what is wrong about it; what may be a secret is not shown."""
    return "; ".join(f"{key}: {fault}" for key, fault in _faults(error))


def _rooted(section: Any, root: Path) -> Any:  # noqa: ANN401  a group of settings, or a plain value
    """A group of settings with its relative paths taken from `root`."""
    if not isinstance(section, BaseModel):
        return section
    changed: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Path):
            changed[name] = root / value
        elif isinstance(value, tuple) and value and all(isinstance(part, Path) for part in value):
            changed[name] = tuple(root / part for part in value)
    return section.model_copy(update=changed)


class _Files(PydanticBaseSettingsSource):
    """The YAML files as one settings source."""

    def __init__(self, settings_cls: type[BaseSettings], content: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self._content = content

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        del field
        return self._content.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._content


def _source(content: dict[str, Any]) -> type[Settings]:
    """The settings with the files' content as a source below the environment."""

    class Loaded(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del dotenv_settings, file_secret_settings
            return init_settings, env_settings, _Files(settings_cls, content)

    return Loaded


def _merge(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    merged = dict(low)
    for key, value in high.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _optional(path: Path) -> dict[str, Any]:
    content: dict[Any, Any] = read_yaml(path) if path.exists() else {}
    wrong = [key for key in content if not isinstance(key, str)]
    if wrong:
        raise ConfigurationError(f"file {path} is wrong", expected="names as keys", actual=repr(wrong[0]))
    return content


def _faults(error: ValidationError) -> Iterator[tuple[str, str]]:
    for fault in error.errors(include_url=False, include_context=False):
        key = ".".join(str(part) for part in fault["loc"]) or "(whole)"
        if fault["type"] == "extra_forbidden":
            yield key, "is unknown"
            continue
        message = fault["msg"].removeprefix("Value error, ")
        simple = isinstance(fault["input"], (str, int, float, bool))
        yield key, message + (f", was {fault['input']!r}"[:120] if simple and not _may_be_secret(key) else "")


def _may_be_secret(key: str) -> bool:
    return any(word in key.lower() for word in _SECRET_WORDS) or key in _SECTIONS_WITH_SECRETS


def _located(error: ValidationError, files: Mapping[Path, dict[str, Any]]) -> str:
    return "; ".join(f"{key} in {_origin(key, files)} {fault}" for key, fault in _faults(error))


def _origin(key: str, files: Mapping[Path, dict[str, Any]]) -> str:
    """The file or variable that a key's value comes from, the strongest source first."""
    parts = key.split(".")
    variables = [PREFIX + "__".join(parts[:depth]).upper() for depth in range(len(parts), 0, -1)]
    for variable in variables:
        if variable in os.environ:
            return f"environment variable {variable}"
    for path, content in files.items():
        below: Any = content
        for part in parts:
            if not isinstance(below, dict) or part not in below:
                break
            below = below[part]
        else:
            return f"file {path}"
    return "the defaults together with " + " and ".join(map(str, reversed(list(files))))


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    for name in environment:
        if name.startswith(PREFIX) and name != _ROOT and name not in (known := set(_variables(Settings, PREFIX))):
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise ConfigurationError(
                f"environment variable {name} is unknown",
                next_step=f"{meant}`tidegate settings --markdown` lists all names",
            )


def _variables(model: Any, prefix: str) -> Iterator[str]:  # noqa: ANN401  a pydantic model or any other type
    for name, field in getattr(model, "model_fields", {}).items():
        yield prefix + name.upper()
        yield from _variables(field.annotation, f"{prefix}{name.upper()}__")
