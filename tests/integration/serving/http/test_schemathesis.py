"""Requests made from the OpenAPI file, good ones and bad ones, against the real service over real HTTP: every answer is a described one."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    missing_required_header,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
    use_after_free,
)
from tests.integration.serving.http.real import new_bar, prepared, whole_window
from tests.integration.serving.http.running import ROOT, Running, ask, serving
from tests.unit.serving.http.calling import key_file

DESCRIPTION = schemathesis.openapi.from_path(ROOT / "docs" / "contracts" / "openapi.json")
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]
# A body that fits its schema can still be refused for what it says, and only 503 of the 5xx is an answer.
LEFT_OUT = [not_a_server_error, positive_data_acceptance, ignored_auth, missing_required_header, use_after_free]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, str]]:
    folder = tmp_path_factory.mktemp("schemathesis")
    path, texts = key_file(folder, all=["predict", "admin", "metrics"])
    with serving(
        folder, "-m", "tests.integration.serving.http.real", **{**prepared(folder), "api_keys_file": path}
    ) as found:
        for content in (whole_window(), new_bar()):
            answer = ask(found, "POST", "/v1/predict", json.dumps(content).encode(), x_api_key=texts["all"])
            assert answer.status == 200
        yield found, texts["all"]
        assert found.process.poll() is None, found.stderr()
        assert '"level": "error"' not in found.stderr()


@DESCRIPTION.parametrize()
@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
def test_answers_are_the_described_ones(case: Any, running: tuple[Running, str]) -> None:  # noqa: ANN401  a generated case
    server, key = running
    response = case.call(base_url=server.url, headers={"X-API-Key": key})
    assert response.status_code < 500 or response.status_code == 503, response.text
    case.validate_response(response, checks=CHECKS, excluded_checks=LEFT_OUT)
