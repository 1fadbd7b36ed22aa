"""Following the registry: swaps, challengers, halts, bars, and a registry that is down or tells less than before."""

import asyncio
import threading
import time
from typing import Any

import pytest
from tests.integration.serving.models.shelf import Shelf, golden_window, relay

from tidegate.keys.signing import Signer, production_message
from tidegate.serving.clock import SystemClock
from tidegate.serving.metrics import Metrics
from tidegate.serving.models import Models
from tidegate.serving.served import ServedModel, Slot

pytestmark = [pytest.mark.servers]


def state_of(shelf: Shelf, version: int) -> dict[str, Any]:
    return {"production": shelf.digest(version), "production_version": version}


def slot_of(shelf: Shelf, models: Models) -> Slot:
    return models.slot(shelf.strategy)


def version_of(model: ServedModel | None) -> int | None:
    return None if model is None else model.version


def test_a_new_version_takes_over_and_the_old_one_stays_as_fallback(shelf: Shelf) -> None:
    async def story() -> None:
        first, heard, metrics = shelf.promote(), [], Metrics()
        async with shelf.serving(metrics) as models:
            models.on_change(lambda slot: heard.append(version_of(slot.production)))
            second = shelf.promote()
            (result,) = await models.refresh()
            assert (result.production, result.changed) == (second, True)
            slot = slot_of(shelf, models)
            assert slot.production is not None
            assert (slot.production.signed_by, slot.production.origin) == (shelf.signer.key_id, "registry")
            assert version_of(slot.before) == first
            assert [model.version for model in slot.loaded()] == [second, first]
            (result,) = await models.refresh(shelf.strategy)
            assert not result.changed
            assert heard == [second]
            assert metrics.reloads.labels(shelf.strategy, "loaded")._value.get() == 2
            # Back again, without a download: the files are gone from the registry.
            kept = slot.before
            for path in shelf.path(first, "bundle").iterdir():
                path.unlink()
            shelf.alias("production", first)
            await models.refresh()
            slot = slot_of(shelf, models)
            assert shelf.served(models) == first
            assert kept is not None
            assert slot.production is not None
            assert slot.production.predictor is kept.predictor
            assert version_of(slot.before) == second

    asyncio.run(story())


def test_the_challenger_is_loaded_by_either_signature_and_promoted_by_its_own_only(shelf: Shelf) -> None:
    async def story() -> None:
        first = shelf.promote()
        async with shelf.serving() as models:
            assert slot_of(shelf, models).challenger is None
            second = shelf.register(production=False, shadow=True)
            await models.refresh()
            challenger = slot_of(shelf, models).challenger
            assert version_of(challenger) == second
            shelf.alias("production", second)
            await models.refresh()
            assert shelf.served(models) == first
            assert "not signed" in (slot_of(shelf, models).refused or "")
            third = shelf.register(production=False, shadow=True)
            shelf.alias("production", first)
            await models.refresh()
            assert version_of(slot_of(shelf, models).challenger) == third
            # Signed while it is in memory already, as a promotion does.
            shelf.put(third, "signature/manifest.sig", shelf.signer.sign(production_message(shelf.digest(third))))
            shelf.alias("production", third)
            await models.refresh()
            slot = slot_of(shelf, models)
            assert (version_of(slot.production), slot.challenger) == (third, None)

    asyncio.run(story())


@pytest.mark.parametrize("key", ["none", "wrong"])
def test_a_challenger_that_is_not_signed_leaves_production_alone(shelf: Shelf, key: str) -> None:
    async def story() -> None:
        first = shelf.promote()
        shelf.register(production=False, shadow=False if key == "none" else Signer.new())
        async with shelf.serving() as models:
            slot = slot_of(shelf, models)
            assert (version_of(slot.production), slot.challenger, slot.refused) == (first, None, None)
            assert "v2 is not served" in slot.notes["challenger"]

    asyncio.run(story())


def test_no_challenger_where_shadow_is_off(shelf: Shelf) -> None:
    async def story() -> None:
        shelf.promote()
        shelf.register(shadow=True)
        async with shelf.serving(shadow=False) as models:
            assert slot_of(shelf, models).challenger is None

    asyncio.run(story())


def test_a_missing_alias_changes_nothing(shelf: Shelf) -> None:
    async def story() -> None:
        first = shelf.promote()
        async with shelf.serving() as models:
            shelf.alias("production", None)
            await models.refresh()
            assert shelf.served(models) == first
            assert slot_of(shelf, models).notes["alias"] == "the registry has no alias production: v1 goes on"
            shelf.alias("production", first)
            await models.refresh()
            assert slot_of(shelf, models).notes == {}

    asyncio.run(story())


def test_a_model_that_nobody_registered_is_not_an_unreachable_registry(shelf: Shelf) -> None:
    async def story() -> None:
        async with shelf.serving() as models:
            (result,) = await models.refresh()
            assert (result.reached, result.production) == (True, None)
            assert "has no model" in result.notes["model"]
            version = shelf.promote()
            (result,) = await models.refresh()
            assert (result.production, result.notes) == (version, {})

    asyncio.run(story())


def test_the_last_good_model_goes_on_while_the_registry_is_down(shelf: Shelf) -> None:
    async def story() -> None:
        first = shelf.promote()
        with relay(shelf.address) as line:
            async with shelf.serving(registry_uri=line.address) as models:
                reached_at = slot_of(shelf, models).registry_reached_at
                line.cut()
                (result,) = await models.refresh()
                assert (result.reached, result.production) == (False, first)
                assert "could not be reached: the connection broke" in result.notes["registry"]
                assert shelf.served(models) == first
                assert slot_of(shelf, models).registry_reached_at == reached_at
                second = shelf.promote()
                line.mend()
                (result,) = await models.refresh()
                assert (result.reached, result.production, result.notes) == (True, second, {})

    asyncio.run(story())


def test_polling_follows_by_itself_and_tries_a_refused_version_again(shelf: Shelf) -> None:
    async def story() -> None:
        shelf.promote()
        async with shelf.serving(poll_s=0.1) as models:
            second = shelf.promote(production=False)
            await until(lambda: slot_of(shelf, models).refused is not None)
            shelf.put(second, "signature/manifest.sig", shelf.signer.sign(production_message(shelf.digest(second))))
            await until(lambda: shelf.served(models) == second)
            assert slot_of(shelf, models).refused is None

    asyncio.run(story())


def test_a_signed_halt_holds_and_ends_without_unloading(shelf: Shelf) -> None:
    async def story() -> None:
        metrics, first = Metrics(), shelf.promote()
        shelf.state(halted=True, halt_reason="drawdown")
        async with shelf.serving(metrics) as models:
            slot = slot_of(shelf, models)
            assert (slot.halt, version_of(slot.production)) == ("drawdown", first)
            assert metrics.halted.labels(shelf.strategy)._value.get() == 1
            shelf.state(**state_of(shelf, first))
            await models.refresh()
            assert slot_of(shelf, models).halt is None
            assert metrics.halted.labels(shelf.strategy)._value.get() == 0

    asyncio.run(story())


@pytest.mark.parametrize("how", ["older", "unsigned", "forged", "gone", "foreign", "garbage"])
def test_a_halt_is_not_undone_by_a_lesser_state(shelf: Shelf, how: str) -> None:
    async def story() -> None:
        first = shelf.promote()
        before = shelf.state(**state_of(shelf, first))
        shelf.state(halted=True, halt_reason="drawdown")
        async with shelf.serving() as models:
            if how == "older":
                shelf.tag(before)
            elif how == "unsigned":
                shelf.tag("- " + shelf.state().partition(" ")[2])
            elif how == "forged":
                shelf.state(signer=Signer.new())
            elif how == "gone":
                shelf.tag(None)
            elif how == "foreign":
                shelf.state(strategy="another")
            else:
                shelf.tag("nonsense")
            for _ in range(2):
                await models.refresh()
                slot = slot_of(shelf, models)
                assert slot.halt == "drawdown"
                assert slot.refused is not None
                assert "signed state" in slot.refused
            shelf.state(token=10, **state_of(shelf, first))
            await models.refresh()
            assert (slot_of(shelf, models).halt, slot_of(shelf, models).refused) == (None, None)

    asyncio.run(story())


@pytest.mark.parametrize("by", ["digest", "model"])
def test_a_barred_version_never_starts(shelf: Shelf, by: str) -> None:
    async def story() -> None:
        bad = shelf.promote()
        manifest = shelf.manifests[bad]
        if by == "digest":
            shelf.state(barred=(manifest.digest(),))
        else:
            shelf.state(barred_models=(manifest.files["model.onnx"],))
        async with shelf.serving() as models:
            assert shelf.served(models) is None
            assert "barred, see the ledger" in (slot_of(shelf, models).refused or "")
            shelf.state(**state_of(shelf, bad))
            await models.refresh()
            assert shelf.served(models) == bad

    asyncio.run(story())


def test_a_bar_while_it_serves_brings_the_version_before_back(shelf: Shelf) -> None:
    async def story() -> None:
        first = shelf.promote()
        async with shelf.serving() as models:
            second = shelf.promote()
            await models.refresh()
            shelf.state(barred=(shelf.digest(second),))
            await models.refresh()
            slot = slot_of(shelf, models)
            assert (shelf.served(models), slot.before, slot.halt) == (first, None, None)
            assert "v2 is not served" in (slot.refused or "")
            shelf.alias("production", first)
            await models.refresh()
            assert slot_of(shelf, models).refused is None
            # And the one that is left is barred too: nothing is held any more.
            shelf.state(barred=(shelf.digest(first), shelf.digest(second)))
            await models.refresh()
            slot = slot_of(shelf, models)
            assert slot.loaded() == []
            assert slot.halt == "v1 was barred while it served, and no earlier version is loaded"
            assert not list(shelf.cache.rglob("model.onnx"))
            third = shelf.promote()
            await models.refresh()
            assert (shelf.served(models), slot_of(shelf, models).halt) == (third, None)

    asyncio.run(story())


def test_nobody_is_told_to_hold_nothing_while_the_version_to_go_back_to_is_on_its_way(shelf: Shelf) -> None:
    """A fresh process knows only the version that is left: until the good one is there it gives no signal at all, which closes nothing."""

    async def story() -> None:
        first, second = shelf.register(), shelf.promote()
        async with shelf.serving() as models:
            assert shelf.served(models) == second
            shelf.state(barred=(shelf.digest(second),), **state_of(shelf, first))
            await models.refresh()  # the alias has not moved yet
            slot = slot_of(shelf, models)
            assert (slot.production, slot.halt) == (None, None)
            shelf.alias("production", first)
            await models.refresh()
            assert (shelf.served(models), slot_of(shelf, models).halt) == (first, None)

    asyncio.run(story())


def test_a_bar_reaches_the_fallback_and_the_challenger(shelf: Shelf) -> None:
    async def story() -> None:
        first = shelf.promote()
        async with shelf.serving() as models:
            second = shelf.promote()
            await models.refresh()
            third = shelf.register(shadow=True)
            await models.refresh()
            assert len(slot_of(shelf, models).loaded()) == 3
            shelf.state(barred=(shelf.digest(first), shelf.digest(third)), **state_of(shelf, second))
            await models.refresh()
            assert [model.version for model in slot_of(shelf, models).loaded()] == [second]

    asyncio.run(story())


def test_a_state_without_room_for_every_bar_lets_only_its_own_version_start(shelf: Shelf) -> None:
    async def story() -> None:
        first, second = shelf.register(), shelf.register()
        shelf.state(truncated=True, **state_of(shelf, second))
        shelf.alias("production", first)
        async with shelf.serving() as models:
            assert shelf.served(models) is None
            shelf.alias("production", second)
            await models.refresh()
            assert shelf.served(models) == second

    asyncio.run(story())


def test_swaps_under_predictions_lose_none_and_go_one_way(shelf: Shelf) -> None:
    async def story() -> None:
        shelf.promote()
        seen: list[int] = []
        faults: list[BaseException] = []
        done = threading.Event()
        async with shelf.serving() as models:

            def predict() -> None:
                window = golden_window(slot_of(shelf, models).loaded()[0].predictor.bundle.golden[0])
                as_of = int(window.closed_at[-1])
                try:
                    while not done.is_set():
                        model = slot_of(shelf, models).production
                        assert model is not None
                        model.predictor.predict(window, as_of)
                        seen.append(model.version)
                        time.sleep(0.0005)
                except BaseException as error:  # noqa: BLE001  told to the test's own thread
                    faults.append(error)

            thread = threading.Thread(target=predict)
            thread.start()
            for _ in range(3):
                version = shelf.promote()
                await models.refresh()
                await until(lambda version=version: seen[-1:] == [version] or bool(faults))
            done.set()
            thread.join()
        assert faults == []
        assert sorted(set(seen)) == [1, 2, 3, 4]
        assert seen == sorted(seen)

    asyncio.run(story())


def test_polling_goes_on_whatever_fails(shelf: Shelf) -> None:
    class BrokenClock(SystemClock):
        is_broken = False

        def now_ms(self) -> int:
            if self.is_broken:
                raise OverflowError("for the test")
            return super().now_ms()

    def ready() -> bool:
        raise KeyError("for the test")

    def listen(slot: Slot) -> None:
        raise ValueError(slot.strategy)

    async def story() -> None:
        first, clock, metrics = shelf.promote(), BrokenClock(), Metrics()
        models = Models(shelf.settings(poll_s=0.1), metrics, clock, ready=ready)
        models.on_change(listen)
        await models.start()
        clock.is_broken = True
        second = shelf.promote()
        await until(lambda: slot_of(shelf, models).notes.get("look") == "the last look failed: OverflowError")
        assert shelf.served(models) == first
        clock.is_broken = False
        await until(lambda: shelf.served(models) == second)
        await until(lambda: slot_of(shelf, models).notes == {})
        await models.stop()

    asyncio.run(story())


async def until(condition: object, seconds: float = 20.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.01)
