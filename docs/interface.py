"""The reference of the service's HTTP interface, from its OpenAPI document."""

import json
from collections.abc import Mapping
from typing import Any, Final

from tidegate.serving.http.openapi import openapi_text

INTRODUCTION: Final = """\
# The HTTP interface, route by route

This page is generated from [openapi.json](contracts/openapi.json): `python -m docs.generate --write`. What a bot sends first and what comes of it stands in
[the serving API](serving-api.md); a running service shows the same document at `/docs`.
"""
_ERRORS: Final = "application/problem+json"


def interface() -> str:
    """The page: what holds for all routes, each route, then each type."""
    document: dict[str, Any] = json.loads(openapi_text())
    routes = [
        _route(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    types = [_type(name, schema) for name, schema in document["components"]["schemas"].items()]
    return "\n".join(
        [INTRODUCTION, document["info"]["description"], "", "## Routes", "", *routes, "## Types", "", *types]
    )


def _route(method: str, path: str, operation: Mapping[str, Any]) -> str:
    lines = [f"### `{method.upper()} {path}`", "", f"**{operation['summary']}.** {operation['description']}", ""]
    lines += [f"Key: {'needed' if operation.get('security') else 'not needed'}.", ""]
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]
        lines += [
            "Body: " + ", ".join(f"{_named(one['schema'])} as `{kind}`" for kind, one in content.items()) + ".",
            "",
        ]
    lines += ["| status | answer | body |", "|---|---|---|"]
    lines += [_response(status, response) for status, response in operation["responses"].items()]
    return "\n".join([*lines, ""])


def _response(status: str, response: Mapping[str, Any]) -> str:
    bodies = [
        _named(one["schema"]) if "schema" in one else f"`{kind}`" for kind, one in response.get("content", {}).items()
    ]
    return f"| {status} | {_cell(response['description'])} | {', '.join(bodies) or 'none'} |"


def _type(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", [])
    lines = [f"### {name}", "", " ".join(schema["description"].split()), ""]
    lines += ["| field | type | required | what |", "|---|---|---|---|"]
    for field, one in schema["properties"].items():
        told = _cell(one.get("description", "") or _bounds(one))
        lines.append(f"| `{field}` | {_named(one)} | {'yes' if field in required else 'no'} | {told} |")
    return "\n".join([*lines, ""])


def _named(schema: Mapping[str, Any]) -> str:
    """A schema's name as a link to its section, or what it is made of."""
    kind = _kind(schema)
    return f"{kind} or null" if schema.get("nullable") and "null" not in kind else kind


def _kind(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "allOf" in schema:
        return " and ".join(map(_named, schema["allOf"]))
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(one)}`" for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_named(schema['items'])}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"mapping of text to {_named(schema['additionalProperties'])}"
    return str(schema.get("type", "any"))


def _bounds(schema: Mapping[str, Any]) -> str:
    words = {
        "minimum": "at least",
        "maximum": "at most",
        "minLength": "characters, at least",
        "maxLength": "characters, at most",
    }
    words |= {"minItems": "items, at least", "maxItems": "items, at most", "pattern": "matches"}
    return "; ".join(f"{said} `{schema[key]}`" for key, said in words.items() if key in schema)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
