"""The service without its HTTP border: a real model, a real log, and what happens when one of them fails."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.integration.serving.http.real import new_bar, prepared, whole_window
from tests.unit.model.small_model import SYMBOL, small_bundle

from tidegate.bars.bars import Bars
from tidegate.errors import LogUnavailable, ModelError
from tidegate.features.features import FeatureSet
from tidegate.serving.clock import BarsClock
from tidegate.serving.log.reader import read
from tidegate.serving.log.record import Row
from tidegate.serving.messages import Heartbeat
from tidegate.serving.metrics import Metrics
from tidegate.serving.predictor import Prediction, Predictor
from tidegate.serving.problems import Problem
from tidegate.serving.served import ServedModel
from tidegate.serving.service import Service
from tidegate.settings.serving import Serving
from tidegate.settings.settings import Settings

Do = Callable[[Service], Coroutine[Any, Any, Any]]


class Bench:
    """Starts a service on a folder, does something with it in one event loop, and stops it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = prepared(folder)

    def run(self, do: Do, **changes: Any) -> Any:  # noqa: ANN401
        chosen = {**self.settings, **changes}
        serving = Serving.model_validate({**chosen, "strategies": (chosen["strategies"],)})

        async def whole() -> Any:  # noqa: ANN401
            service = Service(Settings(serving=serving), "one", Metrics())
            await service.start()
            await asyncio.sleep(0.3)  # the first look at a registry that is not there
            try:
                return await do(service)
            finally:
                await service.stop()

        return asyncio.run(whole())

    def rows(self) -> list[Row]:
        return list(read(self.folder / "log"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def body(request: dict[str, Any], **more: Any) -> bytes:  # noqa: ANN401
    return json.dumps({**request, **more}).encode()


async def asked(service: Service, request: dict[str, Any], key_id: str = "bot", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    reply = await service.predict(body(request, **more), "made-id", key_id)
    assert reply.status == 200, reply.body
    answer: dict[str, Any] = json.loads(reply.body)
    return answer


def outcomes(service: Service) -> dict[str, float]:
    """What came of predictions: version in production and outcome, with their number."""
    return {
        f"{sample.labels['version']} {sample.labels['outcome']}": sample.value
        for family in service.metrics.outcomes.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }


async def refused(service: Service, request: bytes) -> tuple[int, str]:
    """Status and kind of a problem, however it is told."""
    try:
        reply = await service.predict(request, "made-id", "bot")
    except Problem as problem:
        return problem.status, problem.slug
    return reply.status, json.loads(reply.body)["type"].rpartition(":")[2]


def another(service: Service, folder: Path, version: int, seed: int) -> ServedModel:
    """A second model of the strategy: other digest, same answers."""
    current = service.models.slot("small").production
    assert current is not None
    predictor = Predictor(small_bundle(folder / f"another-{seed}", expires_at=current.expires_at, seed=seed))
    return replace(current, version=version, digest=predictor.bundle.digest, predictor=predictor)


def put(service: Service, **changes: Any) -> None:  # noqa: ANN401
    service.models._assign(replace(service.models.slot("small"), **changes))


def test_every_answer_is_in_the_log_as_it_was_given(bench: Bench) -> None:
    async def do(service: Service) -> list[dict[str, Any]]:
        first = await asked(service, whole_window(), request_id="mine")
        second = await asked(service, new_bar())
        assert first["request_id"] == "mine"
        assert second["request_id"] == "made-id"
        return [first, second]

    answers = bench.run(do)
    for row, answer in zip(bench.rows(), answers, strict=True):
        (told,) = answer["answers"]
        assert answer["logged"] is True
        assert (row.request_id, row.instance, row.role, row.status) == (answer["request_id"], "one", "production", "ok")
        for name in ("symbol", "bar_closed_at", "version", "bundle_digest", "probability", "target_position"):
            assert getattr(row, name) == told[name]
        assert (row.input_digest, row.data_age_ms) == (told["input_digest"], told["data_age_ms"])
        assert row.features is not None
        assert row.received_at <= row.answered_at <= answer["answered_at"]


def test_a_retry_gets_the_same_answer_and_another_key_has_no_window(bench: Bench) -> None:
    async def do(service: Service) -> None:
        await asked(service, whole_window())
        first = await asked(service, new_bar())
        again = await asked(service, new_bar())
        assert first["answers"] == again["answers"]
        reply = await service.predict(body(new_bar()), "id", "other bot")
        assert (reply.status, json.loads(reply.body)["type"]) == (409, "urn:tidegate:problem:window_unknown")

    bench.run(do)


def test_one_bad_symbol_does_not_spoil_the_others(bench: Bench) -> None:
    async def do(service: Service) -> dict[str, Any]:
        (item,) = whole_window()["items"]
        return await asked(service, {"items": [{**item, "symbol": "DOGE/USDT"}, item]})

    bad, good = bench.run(do)["answers"]
    assert bad["problem"]["type"] == "urn:tidegate:problem:unknown_symbol"
    assert (bad["signal"], bad["target_position"], bad["version"]) == (None, None, None)
    assert good["problem"] is None
    assert good["signal"] is not None
    assert [row.status for row in bench.rows()] == ["unknown_symbol", "ok"]


@pytest.mark.parametrize(
    ("request_body", "expected"),
    [
        (b"", (400, "malformed")),
        (b"[" * 5000, (400, "malformed")),
        (b'{"items": []}', (422, "too_many")),
        (b'{"items": [], "x": 1}', (400, "malformed")),
        (b"\xff\xfe", (400, "malformed")),
        (body(whole_window(), strategy="other"), (404, "unknown_strategy")),
        (body(whole_window(), request_id=""), (400, "malformed")),
        (body(whole_window(), request_id="a b"), (400, "malformed")),
        (body({"items": [{**whole_window()["items"][0], "symbol": "X" * 65}]}), (400, "malformed")),
        (body({"items": [{**new_bar()["items"][0], "after": -(2**70)}]}), (400, "malformed")),
        (body({"items": whole_window()["items"] * 2}), (400, "malformed")),
        (body({"items": whole_window()["items"] * 51}), (422, "too_many")),
        (body(whole_window()).replace(b'"close": [', b'"close": [NaN, '), (400, "malformed")),
        (body(whole_window()).replace(b'"close": [', b'"close": [1e999, '), (400, "malformed")),
    ],
    ids=str,
)
def test_requests_that_are_refused(bench: Bench, request_body: bytes, expected: tuple[int, str]) -> None:
    async def do(service: Service) -> tuple[int, str]:
        return await refused(service, request_body)

    assert bench.run(do) == expected


def test_a_halted_strategy_answers_flat_and_says_why(bench: Bench) -> None:
    async def do(service: Service) -> Any:  # noqa: ANN401
        put(service, halted="exchange is down")
        ready = service.readiness()
        assert ready.ready
        assert any("exchange is down" in note for note in ready.notes)
        return await asked(service, whole_window())

    (told,) = bench.run(do)["answers"]
    assert (told["signal"], told["target_position"], told["version"]) == ("flat", 0, None)
    assert told["abstain"] == {"reason": "halted", "detail": "exchange is down"}
    (row,) = bench.rows()
    assert (row.status, row.abstain_reason, row.target_position) == ("abstain", "halted", 0)


def test_without_a_model_nothing_is_answered_and_the_service_is_not_ready(bench: Bench) -> None:
    async def do(service: Service) -> None:
        put(service, production=None)
        assert await refused(service, body(whole_window())) == (503, "not_ready")
        assert not service.readiness().ready

    bench.run(do)


def test_the_model_before_answers_when_the_one_in_production_fails(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def do(service: Service) -> None:
        good = service.models.slot("small").production
        assert good is not None
        failing = another(service, bench.folder, 2, seed=2)

        def answer(predictor: Predictor, window: Bars) -> Prediction:
            if predictor is not good.predictor or broken:
                raise ModelError("model's answer is not a probability", expected="a number in [0, 1]", actual=7.0)
            return whole(predictor, window)

        whole, broken = Predictor.answer, False
        monkeypatch.setattr(Predictor, "answer", answer)
        put(service, production=failing, before=good)
        (told,) = (await asked(service, whole_window()))["answers"]
        assert (told["version"], told["bundle_digest"]) == (1, good.digest)
        assert told["signal"] is not None
        assert service.metrics.registry.get_sample_value("tidegate_fallbacks_total", {"strategy": "small"}) == 1
        assert outcomes(service) == {"2 fallback": 1}
        broken = True
        assert await refused(service, body(whole_window())) == (503, "model_failed")
        assert outcomes(service) == {"2 fallback": 1, "2 failed": 1}

    bench.run(do)
    assert [row.status for row in bench.rows()] == ["ok", "model_failed"]


def test_what_comes_of_predictions_is_counted_symbol_by_symbol(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (item,) = whole_window()["items"]
    two = body({"items": [item, {**item, "symbol": "none"}]})

    async def do(service: Service) -> None:
        await service.predict(two, "made-id", "bot")
        assert outcomes(service) == {"1 ok": 1}, "a symbol that is not known is the client's fault"

        def answer(_predictor: Predictor, _window: Bars) -> Prediction:
            raise ModelError("model's answer is not a probability")

        with monkeypatch.context() as patched:
            patched.setattr(Predictor, "answer", answer)
            reply = await service.predict(two, "made-id", "bot")
        assert (reply.status, outcomes(service)) == (200, {"1 ok": 1, "1 failed": 1})
        with monkeypatch.context() as patched:
            patched.setattr(service, "_outcome", None)
            with pytest.raises(TypeError):
                await service.predict(two, "made-id", "bot")
        assert outcomes(service) == {"1 ok": 1, "1 failed": 3}
        put(service, production=None)
        assert await refused(service, body(whole_window())) == (503, "not_ready")
        put(service, halted="exchange is down")
        await asked(service, whole_window())
        assert outcomes(service) == {"1 ok": 1, "1 failed": 3, "0 failed": 1}, "a halt is no prediction"

    bench.run(do)


def test_a_feature_that_raises_anything_is_a_model_that_failed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def do(service: Service) -> None:
        good = service.models.slot("small").production
        assert good is not None
        failing = another(service, bench.folder, 2, seed=5)
        whole = FeatureSet.newest

        def newest(features: FeatureSet, bars: Bars) -> Any:  # noqa: ANN401
            if features is failing.predictor.features:
                raise RuntimeError("a file of the feature's own is gone")
            return whole(features, bars)

        monkeypatch.setattr(FeatureSet, "newest", newest)
        put(service, production=failing, before=good)
        assert (await asked(service, whole_window()))["answers"][0]["version"] == 1
        put(service, before=None)
        assert await refused(service, body(whole_window())) == (503, "model_failed")

    bench.run(do)
    assert [row.status for row in bench.rows()] == ["ok", "model_failed"]


def test_the_challenger_predicts_beside_production_and_both_are_logged(bench: Bench) -> None:
    async def do(service: Service) -> str:
        challenger = another(service, bench.folder, 2, seed=3)
        put(service, challenger=challenger)
        await asked(service, whole_window())
        await asked(service, new_bar())
        return challenger.digest

    digest = bench.run(do)
    rows = bench.rows()
    assert [(row.role, row.version) for row in rows if row.role == "production"] == [("production", 1)] * 2
    shadows = [row for row in rows if row.role == "shadow"]
    assert [(row.version, row.bundle_digest) for row in shadows] == [(2, digest)] * 2
    for shadow, production in zip(shadows, [row for row in rows if row.role == "production"], strict=True):
        assert shadow.request_id == production.request_id
        assert shadow.input_digest == production.input_digest
        assert shadow.probability == production.probability  # the same trees under another manifest


def test_no_shadow_where_the_settings_say_so(bench: Bench) -> None:
    async def do(service: Service) -> None:
        put(service, challenger=another(service, bench.folder, 2, seed=4))
        await asked(service, whole_window())

    bench.run(do, shadow=False)
    assert [row.role for row in bench.rows()] == ["production"]


@pytest.mark.parametrize("choice", ["refuse", "degrade"])
def test_a_log_that_cannot_be_written(bench: Bench, monkeypatch: pytest.MonkeyPatch, choice: str) -> None:
    async def do(service: Service) -> None:
        assert service._group is not None
        log = service._group._log

        def full() -> int:
            raise LogUnavailable("the disk is full")

        with monkeypatch.context() as patched:
            patched.setattr(log, "commit", full)
            if choice == "refuse":
                assert await refused(service, body(whole_window())) == (503, "log_unavailable")
                assert outcomes(service) == {"1 failed": 1}
                assert not service.readiness().ready
            else:
                assert (await asked(service, whole_window()))["logged"] is False
                assert service.readiness().ready
            ready = service.readiness()
            assert any("prediction log" in told for told in ready.reasons + ready.notes)
        assert (await asked(service, whole_window()))["logged"] is True
        assert service.readiness().ready

    bench.run(do, log_unavailable=choice)
    assert bench.rows()[-1].status == "ok"


def test_heartbeats_are_kept_by_bot_and_no_more_than_the_settings_say(bench: Bench) -> None:
    def heartbeat(bot: str, version: int) -> Heartbeat:
        return Heartbeat(bot, "small", version, None, "closed", {"model": 3, "fallback": 1}, False, 5)

    async def do(service: Service) -> None:
        service.heartbeat(heartbeat("a", 1), "key")
        service.heartbeat(heartbeat("a", 2), "key")
        service.heartbeat(heartbeat("b", 1), "key")
        with pytest.raises(Problem) as beyond:
            service.heartbeat(heartbeat("a", 99), "another key")
        assert beyond.value.slug == "too_many"
        assert [(known["bot"], known["last_version"], known["key_id"]) for known in service.bots()] == [
            ("a", 2, "key"),
            ("b", 1, "key"),
        ]

    bench.run(do, max_bots=2)


def test_what_is_served_is_told(bench: Bench) -> None:
    async def do(service: Service) -> list[dict[str, Any]]:
        return service.model()

    (told,) = bench.run(do)
    assert told["production"]["version"] == 1
    assert told["production"]["symbols"] == [SYMBOL]
    assert told["production"]["policy"]["max_holding_bars"] == 9
    assert (told["halted"], told["challenger"]) == (None, None)


def test_a_refused_window_does_not_move_the_bars_clock(bench: Bench) -> None:
    async def do(service: Service) -> None:
        clock = service._clock
        assert isinstance(clock, BarsClock)
        await asked(service, whole_window())
        now_ms = clock.now_ms()
        (item,) = whole_window()["items"]
        far = {**item, "bars": {**item["bars"], "opened_at": [2**60 + at for at in range(len(item["bars"]["close"]))]}}
        assert await refused(service, body({"items": [far]})) == (422, "bars_refused")
        assert clock.now_ms() == now_ms > 0

    bench.run(do)
