"""`POST /v1/admin/check` at the border: bounds of a prediction, problems as problems, and no place among predictions."""

import json

import pytest
from tests.unit.serving.http.calling import JSON, Border

CHECK = "/v1/admin/check"


def test_an_answer_goes_out_as_it_is() -> None:
    answered = Border().ask("POST", CHECK, b"{}", JSON)
    assert (answered.status, answered.headers["content-type"]) == (200, "application/json")
    assert json.loads(answered.body)["logged"] is False


@pytest.mark.parametrize("how", ["problem", "refused"])
def test_a_problem_is_told_as_one(how: str) -> None:
    answered = Border().ask("POST", CHECK, json.dumps({how: "window_conflict"}).encode(), JSON)
    assert (answered.status, answered.slug) == (409, "window_conflict")
    assert answered.headers["content-type"] == "application/problem+json"


def test_its_body_is_bound_like_that_of_a_prediction() -> None:
    assert Border().ask("POST", CHECK, b"[" * 9999, JSON).slug == "too_many"
    assert Border(max_body_kb=1).ask("POST", CHECK, b"x" * 1025, JSON).slug == "body_too_large"
    assert Border().ask("POST", CHECK, b"{}", {"content-type": "text/plain"}).slug == "unsupported_media_type"
