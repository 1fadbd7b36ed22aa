"""A start: the disk holds the last good bundle, and the registry, when it answers, has the last word."""
# ruff: noqa: ANN401  keyword arguments override fields of many types

import asyncio
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.integration.serving.models.shelf import Shelf, relay
from tests.servers import free_port

from tidegate.serving.metrics import Metrics
from tidegate.serving.models import Models
from tidegate.serving.served import Slot

pytestmark = [pytest.mark.servers]


@dataclass
class FixedClock:
    """A clock that stands still."""

    now: int

    def now_ms(self) -> int:
        return self.now

    def at(self, closed_at: int) -> int:
        del closed_at
        return self.now

    def seen(self, closed_at: int) -> None:
        """Stands still."""


def nowhere() -> dict[str, Any]:
    """Settings of a registry that is down."""
    return {"registry_uri": f"http://127.0.0.1:{free_port()}"}


async def slot_at_start(shelf: Shelf, **serving: Any) -> Slot:
    async with shelf.serving(**serving) as models:
        shelf.served(models)
        return models.slot(shelf.strategy)


async def fill(shelf: Shelf, versions: int = 1, **state: Any) -> None:
    """Serve versions one after the other, so that the disk holds them."""
    shelf.promote()
    if state:
        shelf.state(**state)
    async with shelf.serving() as models:
        for _ in range(versions - 1):
            shelf.promote()
            await models.refresh()
        assert shelf.served(models) == versions


def versions(slot: Slot) -> list[int]:
    return [model.version for model in slot.loaded()]


def entry(shelf: Shelf, version: int) -> Path:
    return shelf.cache / shelf.strategy / shelf.digest(version)


def test_it_starts_from_the_disk_with_the_registry_down(shelf: Shelf) -> None:
    async def story() -> None:
        await fill(shelf, 3)
        slot = await slot_at_start(shelf, **nowhere())
        assert versions(slot) == [3, 2]
        assert [model.origin for model in slot.loaded()] == ["cache", "cache"]
        assert [model.signed_by for model in slot.loaded()] == [shelf.signer.key_id] * 2
        assert slot.registry_reached_at is None
        assert "could not be reached" in slot.notes["registry"]

    asyncio.run(story())


def test_the_disk_keeps_two_bundles_read_only_and_says_which(shelf: Shelf) -> None:
    asyncio.run(fill(shelf, 3))
    folder = shelf.cache / shelf.strategy
    assert sorted(path.name for path in folder.iterdir()) == sorted([shelf.digest(2), shelf.digest(3), "current"])
    assert json.loads((folder / "current").read_text()) == [
        {"version": 3, "digest": shelf.digest(3)},
        {"version": 2, "digest": shelf.digest(2)},
    ]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"manifest.json", "model.onnx", "manifest.sig"}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o444}


def test_the_same_version_is_not_fetched_again(shelf: Shelf) -> None:
    async def story() -> None:
        await fill(shelf)
        shutil.rmtree(shelf.path(1, "bundle"))
        slot = await slot_at_start(shelf)
        assert (versions(slot), slot.refused) == ([1], None)
        assert slot.registry_reached_at is not None

    asyncio.run(story())


def test_a_version_barred_meanwhile_never_starts_when_the_registry_answers(shelf: Shelf) -> None:
    async def story() -> None:
        await fill(shelf)
        shelf.state(barred=(shelf.digest(1),))
        slot = await slot_at_start(shelf)
        assert versions(slot) == []
        assert slot.halt is not None
        # What was learnt is kept: the next start knows it without the registry, even if the files come back.
        assert not entry(shelf, 1).exists()

    asyncio.run(story())


def test_what_the_kept_state_bars_never_starts_from_the_disk_alone(shelf: Shelf) -> None:
    async def story() -> None:
        await fill(shelf, 2)
        kept = shutil.copytree(shelf.cache, shelf.folder / "kept")
        text = shelf.state(barred=(shelf.digest(2),))
        (kept / shelf.strategy / "state").write_text(text)
        slot = await slot_at_start(shelf, cache=kept, **nowhere())
        assert versions(slot) == [1]
        assert "cached v2 is not used: bundle: barred" in slot.notes["cache"]

    asyncio.run(story())


def test_a_kept_halt_holds_with_the_registry_down(shelf: Shelf) -> None:
    async def story() -> None:
        await fill(shelf, halted=True, halt_reason="drawdown")
        assert (await slot_at_start(shelf, **nowhere())).halt == "drawdown"

    asyncio.run(story())


def test_a_state_older_than_the_kept_one_is_not_followed(shelf: Shelf) -> None:
    async def story() -> None:
        await fill(shelf, halted=True, halt_reason="drawdown", token=7)
        shelf.state(token=6)
        slot = await slot_at_start(shelf)
        assert slot.halt == "drawdown"
        assert "older than one seen before: token 6, not 7" in (slot.refused or "")

    asyncio.run(story())


def test_a_kept_state_that_is_not_believed_leaves_the_disk_unused_until_the_registry_answers(shelf: Shelf) -> None:
    async def story() -> None:
        await fill(shelf, halted=False)
        path = shelf.cache / shelf.strategy / "state"
        path.chmod(0o644)
        path.write_text(path.read_text().replace("false", "true", 1))
        slot = await slot_at_start(shelf, **nowhere())
        assert versions(slot) == []
        assert "signed state is not believed" in slot.notes["cache"]
        assert versions(await slot_at_start(shelf)) == [1]

    asyncio.run(story())


@pytest.mark.parametrize("what", ["bundle/model.onnx", "signature/manifest.sig", "bundle/golden.json"])
def test_a_damaged_entry_is_never_used_and_fetched_again(shelf: Shelf, what: str) -> None:
    async def story() -> None:
        await fill(shelf, 2)
        path = entry(shelf, 2) / what
        path.chmod(0o644)
        path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
        slot = await slot_at_start(shelf, **nowhere())
        # Nor is the version before: why it was left is not known here.
        assert versions(slot) == []
        assert "cached v2 is not used" in slot.notes["cache"]
        assert entry(shelf, 2).exists() == what.startswith("signature")
        slot = await slot_at_start(shelf)
        assert versions(slot)[0] == 2
        assert versions(await slot_at_start(shelf, **nowhere()))[0] == 2

    asyncio.run(story())


def test_a_bundle_without_its_signature_does_not_start(shelf: Shelf) -> None:
    async def story() -> None:
        await fill(shelf)
        (entry(shelf, 1) / "signature" / "manifest.sig").unlink()
        assert versions(await slot_at_start(shelf, **nowhere())) == []
        assert versions(await slot_at_start(shelf, allow_unsigned=True, **nowhere())) == [1]

    asyncio.run(story())


@pytest.mark.parametrize("current", ["", "[]", "{", '[{"version": 1, "digest": "../.."}]', '[{"version": "x"}]', "[1]"])
def test_a_damaged_list_is_an_empty_one(shelf: Shelf, current: str) -> None:
    async def story() -> None:
        place = shelf.cache / shelf.strategy
        place.mkdir(parents=True)
        (place / "current").write_text(current)
        assert versions(await slot_at_start(shelf, **nowhere())) == []

    asyncio.run(story())


def test_without_a_folder_to_write_models_are_served_from_memory_and_that_is_told(shelf: Shelf) -> None:
    async def story() -> None:
        (shelf.folder / "file").write_text("not a folder")
        shelf.promote()
        slot = await slot_at_start(shelf, cache=shelf.folder / "file" / "cache")
        assert versions(slot) == [1]
        assert slot.refused is None
        assert "cannot be written: Not a directory" in slot.notes["cache"]

    asyncio.run(story())


@pytest.mark.parametrize(("clock", "kind", "expected"), [("system", "real", []), ("bars", "simulated", [1])])
def test_expiry_is_judged_at_the_ports_time(shelf: Shelf, clock: str, kind: str, expected: list[int]) -> None:
    async def story() -> None:
        shelf.promote(expires_at=2000, kind=kind)
        for now, found in ((1999, [1]), (2000, expected)):
            models = Models(shelf.settings(clock=clock, cache=shelf.folder / f"{now}"), Metrics(), FixedClock(now))
            await models.start()
            assert versions(models.slot(shelf.strategy)) == found
            await models.stop()

    asyncio.run(story())


def test_a_registry_that_never_answers_does_not_keep_it_from_starting_and_stopping(shelf: Shelf) -> None:
    async def story() -> None:
        await fill(shelf)
        with relay(shelf.address) as line:
            line.stall()
            serving: dict[str, Any] = {"registry_uri": line.address, "registry_timeout_s": 60.0, "start_wait_s": 0.1}
            models = shelf.models(**serving)
            await asyncio.wait_for(models.start(), 30)
            assert shelf.served(models) == 1
            await asyncio.wait_for(models.stop(), 30)

    asyncio.run(story())
