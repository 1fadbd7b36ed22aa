"""The client's types are those of the service's OpenAPI file; when either changes alone, this fails."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tidegate.client import messages
from tidegate.policy.policy import PositionPolicy

SCHEMAS = json.loads((Path(__file__).parents[3] / "docs/contracts/openapi.json").read_text())["components"]["schemas"]
SENT = ("PredictRequest", "Item", "BarColumns", "Position", "Heartbeat")
READ = ("PredictAnswer", "Answer", "Abstain", "ProblemBody", "FieldError", "Served", "LoadedModel", "Ready")
TYPES = [getattr(messages, name) for name in (*SENT, *READ)]
OWN = msgspec.json.schema_components(TYPES, ref_template="#/components/schemas/{name}")[1]
# The service describes the policy as any object; its parameters are those of the policy itself.
ANY_OBJECT = {("LoadedModel", "policy")}


def shape(schema: dict[str, Any]) -> object:
    """What a value may be, in one form for both dialects: JSON Schema's `anyOf` and OpenAPI's `nullable`."""
    if "anyOf" in schema:
        return frozenset().union(*(_as_set(shape(part)) for part in schema["anyOf"]))
    if "allOf" in schema:
        return frozenset().union(*(_as_set(shape(part)) for part in schema["allOf"]), _null(schema))
    if "$ref" in schema:
        return frozenset({schema["$ref"]}) | _null(schema)
    if "enum" in schema:
        return frozenset(map(repr, schema["enum"]))
    kind = schema["type"]
    kinds = set(kind) if isinstance(kind, list) else {kind}
    found: set[object] = set(kinds - {"array"}) - {"null"}
    if "array" in kinds:
        found.add(("array", shape(schema["items"])))
    if kinds == {"object"} and "additionalProperties" in schema and isinstance(schema["additionalProperties"], dict):
        found = {("object", shape(schema["additionalProperties"]))}
    return frozenset(found) | _null(schema) | ({"None"} if "null" in kinds else frozenset())


def _as_set(found: object) -> frozenset[object]:
    assert isinstance(found, frozenset)
    return frozenset({"None"}) if found == frozenset({"null"}) else found


def _null(schema: dict[str, Any]) -> frozenset[object]:
    return frozenset({"None"}) if schema.get("nullable") else frozenset()


def described(schema: dict[str, Any]) -> dict[str, object]:
    return {name: shape(field) for name, field in schema["properties"].items()}


@pytest.mark.parametrize("name", [*SENT, *READ])
def test_fields_and_types_are_the_services(name: str) -> None:
    ours, theirs = described(OWN[name]), described(SCHEMAS[name])
    assert set(ours) == set(theirs)
    for field, found in theirs.items():
        if (name, field) in ANY_OBJECT:
            assert found == frozenset({"object"})
        else:
            assert ours[field] == found, field


@pytest.mark.parametrize("name", READ)
def test_every_field_that_the_service_always_sends_is_needed(name: str) -> None:
    assert set(OWN[name]["required"]) == set(SCHEMAS[name]["required"])


@pytest.mark.parametrize("name", SENT)
def test_every_field_that_the_service_needs_is_always_sent(name: str) -> None:
    kind = getattr(messages, name)
    optional = {field.encode_name for field in msgspec.structs.fields(kind) if not field.required}
    always = {field.encode_name for field in msgspec.structs.fields(kind)} - (
        optional if kind.__struct_config__.omit_defaults else set()
    )
    assert set(SCHEMAS[name]["required"]) <= always


def test_the_policy_is_the_policys() -> None:
    assert set(messages.Policy.__struct_fields__) == set(PositionPolicy.model_fields)


def test_answers_leave_unknown_fields_alone_and_requests_have_none() -> None:
    ready = msgspec.json.decode(b'{"ready":true,"reasons":[],"notes":[],"more":1}', type=messages.Ready)
    assert ready.ready
    item = messages.Item("S", messages.BarColumns([1], [1.0], [1.0], [1.0], [1.0], [1.0]))
    assert set(json.loads(msgspec.json.encode(item))) == {"symbol", "bars"}


def test_numbers_come_back_with_the_very_bits() -> None:
    values = [0.1 + 0.2, 1e-308, 5e-324, 1.7976931348623157e308, 123456.789012345]
    columns = messages.BarColumns([1] * 5, values, values, values, values, values)
    assert msgspec.json.decode(msgspec.json.encode(columns), type=messages.BarColumns) == columns
