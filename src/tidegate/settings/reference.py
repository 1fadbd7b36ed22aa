"""The settings reference, generated from the settings themselves."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tidegate.settings.settings import Settings


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting.

    Attributes:
        key: dotted name.
        variable: environment variable.
        kind: type and bounds.
        default: as text.
        value: as loaded, as text; empty in the reference.
        description: one line.
    """

    key: str
    variable: str
    kind: str
    default: str
    value: str
    description: str


def rows(loaded: BaseModel | None = None, model: type[BaseModel] = Settings, prefix: str = "") -> list[SettingRow]:
    """Every setting, in order; with values if `loaded` is given."""
    return list(_rows(model, prefix, loaded))


def reference() -> str:
    """All settings as Markdown, for docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "Later sources win: defaults, `configs/base.yaml`, `configs/<environment>.yaml`, environment variables. Unknown keys are refused.",
        "`tidegate settings` shows the values in force. This page is generated: `tidegate settings --markdown > docs/settings.md`.",
        "",
        "| setting | environment variable | type | default | what it decides |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| `{row.key}` | `{row.variable}` | {row.kind} | {f'`{row.default}`' if row.default else ''} | {row.description} |"
        for row in rows()
    ]
    return "\n".join(lines) + "\n"


def field_kind(field: FieldInfo) -> str:
    """A field's type and bounds in words."""
    return ", ".join([_type_name(field.annotation), *_bounds(field)])


def default_text(field: FieldInfo) -> str:
    """A field's default as text, empty where it has none."""
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value is PydanticUndefined:
        return ""
    return told(value)


def _rows(model: type[BaseModel], prefix: str, loaded: BaseModel | None) -> Iterator[SettingRow]:
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        value = getattr(loaded, name) if loaded is not None else None
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _rows(field.annotation, f"{key}.", value)
            continue
        yield SettingRow(
            key=key,
            variable="TIDEGATE_" + key.upper().replace(".", "__"),
            kind=field_kind(field),
            default=default_text(field),
            value="" if value is None else without_password(told(value)),
            description=field.description or "",
        )


def told(value: object) -> str:
    """A setting's value as one would write it in the environment."""
    if isinstance(value, dict):
        return json.dumps(value)
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def without_password(text: str) -> str:
    """An address such as http://user:password@host without its password; other text as it is."""
    return re.sub(r"(?<=://)([^/@:]*):[^/@]*@", r"\1:***@", text)


def _type_name(annotation: Any) -> str:  # noqa: ANN401  annotations are of any type
    if get_origin(annotation) is tuple:
        return f"list of {_type_name(get_args(annotation)[0])}, separated by commas"
    if get_origin(annotation) is dict:
        return "names and texts, as JSON"
    arguments = [argument for argument in get_args(annotation) if argument is not type(None)]
    if get_origin(annotation) is None:
        name: str = annotation.__name__
        return {
            "int": "integer",
            "float": "number",
            "str": "text",
            "Path": "path",
            "PurePosixPath": "path",
            "SecretStr": "secret",
        }.get(name, name)
    if all(isinstance(argument, str) for argument in arguments):
        return " / ".join(arguments)
    return " or ".join(_type_name(argument) for argument in arguments)


def _bounds(field: FieldInfo) -> list[str]:
    signs = {
        annotated_types.Ge: ("ge", ">="),
        annotated_types.Gt: ("gt", ">"),
        annotated_types.Le: ("le", "<="),
        annotated_types.Lt: ("lt", "<"),
    }
    return [
        f"{sign} {getattr(bound, attribute)}"
        for bound in field.metadata
        for kind, (attribute, sign) in signs.items()
        if isinstance(bound, kind)
    ]
