"""Reads settings from defaults, YAML files and the environment, in that order of precedence."""

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from tidegate.errors import ConfigurationError
from tidegate.settings.settings import Settings


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        ConfigurationError: the file is missing, is not YAML or holds something else than a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(f"file {path} does not exist") from error
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"file {path} cannot be read as YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigurationError(f"file {path} is wrong", expected="a mapping", actual=type(content).__name__)
    return content


def _merge(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    merged = dict(low)
    for key, value in high.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


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


def load_settings(root: Path | None = None) -> Settings:
    """Load all settings of the project in `root` (default: `TIDEGATE_ROOT`, else the working folder).

    Relative paths are taken from `root`. A file that does not exist counts as empty, a key that does not exist is refused.

    Raises:
        ConfigurationError: a file or value is wrong; the message names the key.
    """
    root = (root or Path(os.environ.get("TIDEGATE_ROOT", "."))).resolve()
    configs = root / "configs"
    base = _optional(configs / "base.yaml")
    environment = os.environ.get("TIDEGATE_ENVIRONMENT", str(base.get("environment", "development")))
    content = _merge(base, _optional(configs / f"{environment}.yaml"))

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

    unknown = [name for name in os.environ if name.startswith("TIDEGATE_") and not _known(name)]
    if unknown:
        raise ConfigurationError(
            f"environment variable {unknown[0]} is unknown", next_step="tidegate settings lists all names"
        )
    try:
        loaded = Loaded()
    except ValidationError as error:
        raise ConfigurationError(f"settings in {configs} or the environment are wrong: {describe(error)}") from error
    except Exception as error:  # pydantic-settings wraps unreadable environment values in an error of its own
        raise ConfigurationError(f"settings in the environment cannot be read: {error}") from error
    paths = {name: root / getattr(loaded.paths, name) for name in type(loaded.paths).model_fields}
    values = {name: getattr(loaded, name) for name in Settings.model_fields}
    return Settings.model_construct(**values | {"paths": loaded.paths.model_copy(update=paths)})


def describe(error: ValidationError) -> str:
    """A validation error in one line: each wrong key with what is wrong about it."""
    faults = []
    for fault in error.errors(include_url=False, include_context=False):
        key = ".".join(str(part) for part in fault["loc"]) or "(whole)"
        shown = "" if "secret" in key or "url" in key else f", was {fault['input']!r}"[:120]
        faults.append(f"{key}: {fault['msg']}{shown}")
    return "; ".join(faults)


def _optional(path: Path) -> dict[str, Any]:
    return read_yaml(path) if path.exists() else {}


def _known(name: str) -> bool:
    if name == "TIDEGATE_ROOT":
        return True
    model: Any = Settings
    for part in name.removeprefix("TIDEGATE_").lower().split("__"):
        fields = getattr(model, "model_fields", {})
        if part not in fields:
            return False
        model = fields[part].annotation
    return True
