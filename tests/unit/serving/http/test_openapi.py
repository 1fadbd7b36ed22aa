"""The description fits the code: routes, examples, problems, and the answers that are really given."""

import json
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from tests.unit.serving.http.calling import JSON, Border

from tidegate.serving.http.examples import ANSWERED, HEARTBEAT, NEW_BAR, WHOLE_WINDOW
from tidegate.serving.http.openapi import openapi, openapi_text
from tidegate.serving.http.routes import ROUTES
from tidegate.serving.messages import Heartbeat, PredictAnswer, PredictRequest
from tidegate.serving.problems import PROBLEMS

DESCRIBED = openapi()
OPERATIONS = [(path, method) for path, methods in DESCRIBED["paths"].items() for method in methods]
# Said in the description's text, since they belong to no operation.
ELSEWHERE = {"not_found", "method_not_allowed"}


def as_json_schema(part: Any) -> Any:  # noqa: ANN401  a part of a schema
    """OpenAPI's `nullable` as JSON Schema has it."""
    if isinstance(part, list):
        return [as_json_schema(each) for each in part]
    if not isinstance(part, dict):
        return part
    plain = {key: as_json_schema(each) for key, each in part.items() if key != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if part.get("nullable") else plain


def check(schema: Any, instance: object) -> None:  # noqa: ANN401  a schema
    root = as_json_schema({"components": DESCRIBED["components"], "allOf": [schema]})
    Draft202012Validator(root).validate(instance)


def test_every_route_is_described_and_no_other() -> None:
    assert {(route.path, route.method.lower()) for route in ROUTES if not route.docs} == set(OPERATIONS)


def test_every_problem_is_described_somewhere() -> None:
    text = openapi_text()
    assert [slug for slug in PROBLEMS if f'"urn:tidegate:problem:{slug}"' not in text and slug not in ELSEWHERE] == []
    assert all(f"`{slug}`" in text for slug in ELSEWHERE)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_problem_stands_under_its_status_with_an_example_that_fits(path: str, method: str) -> None:
    for status, response in DESCRIBED["paths"][path][method]["responses"].items():
        described = response.get("content", {}).get("application/problem+json", {})
        for slug, example in described.get("examples", {}).items():
            assert PROBLEMS[slug][0] == int(status)
            check(described["schema"], example["value"])
        assert described or status in {"200", "204"}


def test_examples_are_what_the_types_read() -> None:
    for example, kind in (
        (WHOLE_WINDOW, PredictRequest),
        (NEW_BAR, PredictRequest),
        (ANSWERED, PredictAnswer),
        (HEARTBEAT, Heartbeat),
    ):
        decoded = msgspec.json.decode(json.dumps(example).encode(), type=kind)
        assert msgspec.to_builtins(decoded) == example
        check({"$ref": f"#/components/schemas/{kind.__name__}"}, example)


@pytest.mark.parametrize("path", ["/v1/model", "/healthz", "/readyz", "/v1/bots"])
def test_answers_fit_their_schema(path: str) -> None:
    answered = Border().ask("GET", path)
    schema = DESCRIBED["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    check(schema, json.loads(answered.body))


def test_the_schema_of_a_request_refuses_what_is_unknown() -> None:
    with pytest.raises(Exception, match="unexpected"):
        check({"$ref": "#/components/schemas/PredictRequest"}, WHOLE_WINDOW | {"unknown": 1})


def test_nothing_of_newer_schemas_is_left() -> None:
    text = json.dumps(DESCRIBED)
    assert '"null"' not in text
    assert '"const"' not in text
    assert '"prefixItems"' not in text


def test_it_is_served_as_it_is_written() -> None:
    assert json.loads(Border().ask("GET", "/openapi.json").body) == DESCRIBED


def test_documentation_can_be_switched_off() -> None:
    closed = Border(docs=False)
    for path in ("/openapi.json", "/docs", "/docs/swagger-ui.css"):
        assert closed.ask("GET", path).slug == "not_found"
        assert Border().ask("GET", path).status == 200


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("swagger-ui.css", "text/css"),
        ("swagger-ui-bundle.js", "text/javascript"),
        ("start.js", "text/javascript"),
        ("favicon-32x32.png", "image/png"),
    ],
)
def test_the_page_finds_its_files_here(name: str, kind: str) -> None:
    border = Border()
    assert f'"docs/{name}"'.encode() in border.ask("GET", "/docs").body
    answered = border.ask("GET", f"/docs/{name}")
    assert answered.headers["content-type"].startswith(kind)
    assert len(answered.body) > 100


@pytest.mark.parametrize("name", ["index.html", "swagger-ui.js.map", "..%2fsecret", "../secret", "start.js/"])
def test_no_other_file_is_served(name: str) -> None:
    assert Border().ask("GET", f"/docs/{name}").slug == "not_found"


HEARTBEATS_REFUSED: dict[str, object] = {
    "a name that is no label": {"bot": "a b"},
    "an empty name": {"bot": ""},
    "a long name": {"bot": "x" * 65},
    "a version below zero": {"last_version": -1},
    "a version beyond all": {"last_version": 10**400},
    "a digest that is none": {"last_bundle_digest": "../../x"},
    "another breaker": {"breaker": "ajar"},
    "many sources": {"decisions": {f"s{at}": 1 for at in range(17)}},
    "a source that is no label": {"decisions": {"a b": 1}},
    "a negative count": {"decisions": {"model": -1}},
    "a time beyond all": {"sent_at": 2**60},
    "an unknown field": {"unknown": 1},
    "text for a flag": {"dry_run": "yes"},
}


@pytest.mark.parametrize("change", HEARTBEATS_REFUSED.values(), ids=HEARTBEATS_REFUSED)
def test_a_heartbeat_is_checked(change: dict[str, object]) -> None:
    border = Border()
    assert border.ask("POST", "/v1/bots/heartbeat", json.dumps(HEARTBEAT).encode(), JSON).status == 204
    answered = border.ask("POST", "/v1/bots/heartbeat", json.dumps(HEARTBEAT | change).encode(), JSON)
    assert (answered.status, answered.slug) == (400, "malformed")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"null", b"[" * 5000, b'{"bot": "\xed\xa0\x80"}', b"NaN"], ids=repr
)
def test_a_body_that_is_no_heartbeat_is_refused(body: bytes) -> None:
    assert Border().ask("POST", "/v1/bots/heartbeat", body, JSON).slug == "malformed"
