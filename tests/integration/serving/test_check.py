"""A check is answered as a prediction is, by the model in production, and leaves no trace."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from tests.integration.serving.http.real import new_bar, whole_window
from tests.integration.serving.test_service import Bench, asked, body, put

from tidegate.bars.bars import COLUMNS
from tidegate.errors import ModelError
from tidegate.serving.answering import Answerer
from tidegate.serving.problems import Problem
from tidegate.serving.service import Service


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def checked(service: Service, request: dict[str, Any], **more: Any) -> tuple[int, dict[str, Any]]:  # noqa: ANN401
    reply = service.check(body(request, **more), "made-id")
    return reply.status, json.loads(reply.body)


def counted(service: Service) -> str:
    """Every metric that a request may move."""
    lines = generate_latest(service.metrics.registry).decode().splitlines()
    return "\n".join(line for line in lines if not line.startswith(("#", "process_")) and "_created" not in line)


def test_it_answers_as_a_prediction_does(bench: Bench) -> None:
    async def do(service: Service) -> None:
        status, found = checked(service, whole_window(), request_id="mine")
        assert (status, found["request_id"], found["logged"]) == (200, "mine", False)
        assert found["answers"] == (await asked(service, whole_window()))["answers"]

    bench.run(do)


def test_it_leaves_no_trace(bench: Bench) -> None:
    async def do(service: Service) -> None:
        before = counted(service)
        assert checked(service, whole_window())[0] == 200
        assert counted(service) == before
        assert len(service._windows) == 0
        reply = await service.predict(body(new_bar()), "id", "check")
        assert json.loads(reply.body)["type"] == "urn:tidegate:problem:window_unknown"

    bench.run(do)
    assert [row.status for row in bench.rows()] == ["window_unknown"]


def test_an_old_window_abstains_and_its_probability_is_told(bench: Bench) -> None:
    async def do(service: Service) -> None:
        (told,) = checked(service, whole_window())[1]["answers"]
        assert told["abstain"]["reason"] == "stale_data"
        assert 0 < told["probability"] < 1
        assert (told["version"], told["signal"]) == (1, None)

    bench.run(do, clock="system")


@pytest.mark.parametrize(
    ("request_", "slug"),
    [
        (new_bar(), "malformed"),
        ({"items": []}, "too_many"),
        ({**whole_window(), "strategy": "other"}, "unknown_strategy"),
        ({"items": [{**whole_window()["items"][0], "symbol": "DOGE"}]}, "unknown_symbol"),
        ({"items": [{**whole_window()["items"][0], "position": {"side": 1}}]}, "position_refused"),
        ({"items": [{"symbol": "BTC/USDT", "bars": {name: [] for name in COLUMNS}}]}, "bars_refused"),
    ],
    ids=["after", "nothing", "strategy", "symbol", "position", "no bars"],
)  # fmt: skip
def test_what_it_refuses(bench: Bench, request_: dict[str, Any], slug: str) -> None:
    async def do(service: Service) -> str:
        try:
            return str(checked(service, request_)[1]["type"])
        except Problem as problem:
            return f"urn:tidegate:problem:{problem.slug}"

    assert bench.run(do) == f"urn:tidegate:problem:{slug}"


def test_the_model_before_never_stands_in(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ModelError("broken")

    async def do(service: Service) -> None:
        put(service, before=service.models.slot("small").production)
        monkeypatch.setattr(Answerer, "answer", fail)
        assert checked(service, whole_window())[1]["type"] == "urn:tidegate:problem:model_failed"

    bench.run(do)


def test_a_halt_is_answered_to_any_window(bench: Bench) -> None:
    async def do(service: Service) -> None:
        service.models._assign(replace(service.models.slot("small"), halted="told"))
        (told,) = checked(service, whole_window())[1]["answers"]
        assert (told["abstain"]["reason"], told["target_position"], told["version"]) == ("halted", 0, None)

    bench.run(do)


def test_without_a_model_it_is_not_ready(bench: Bench) -> None:
    async def do(service: Service) -> None:
        put(service, production=None)
        assert checked(service, whole_window())[0] == 503

    bench.run(do)
