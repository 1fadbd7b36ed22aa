"""What a service must not serve, each on a real registry: the good version before goes on, and the refusal says why."""

import asyncio
from collections.abc import Callable

import pytest
from tests.integration.serving.models.shelf import FAR_MS, Shelf
from tests.unit.model.small_model import golden_vector, small_files, small_manifest

from tidegate.errors import ConfigurationError
from tidegate.keys.signing import Signer, production_message
from tidegate.model.bundle import GOLDEN, ONNX
from tidegate.model.manifest import GoldenVector
from tidegate.serving.metrics import Metrics

pytestmark = [pytest.mark.servers]


def wrong_golden() -> tuple[GoldenVector, ...]:
    vector = golden_vector(1400)
    return golden_vector(1300), vector.model_copy(update={"probability": vector.probability + 1e-3})


def flipped_model(shelf: Shelf) -> int:
    version = shelf.promote()
    shelf.flip(version, f"bundle/{ONNX}")
    return version


def flipped_golden(shelf: Shelf) -> int:
    version = shelf.promote()
    shelf.flip(version, f"bundle/{GOLDEN}")
    return version


def flipped_signature(shelf: Shelf) -> int:
    version = shelf.promote()
    shelf.flip(version, "signature/manifest.sig")
    return version


def old_signature_on_a_new_manifest(shelf: Shelf) -> int:
    version = shelf.promote()
    files = small_files()
    longer = small_manifest(files, strategy=shelf.strategy, seed=version, expires_at=FAR_MS + 1)
    shelf.put(version, "bundle/manifest.json", longer.to_bytes())
    return version


def new_manifest_of_another_strategy(shelf: Shelf) -> int:
    version = shelf.promote()
    foreign = small_manifest(small_files(), strategy="another", expires_at=FAR_MS)
    shelf.put(version, "bundle/manifest.json", foreign.to_bytes())
    shelf.put(version, "signature/manifest.sig", shelf.signer.sign(production_message(foreign.digest())))
    return version


def missing_file(shelf: Shelf) -> int:
    version = shelf.promote()
    shelf.path(version, "bundle/model.ubj").unlink()
    return version


def file_too_many(shelf: Shelf) -> int:
    version = shelf.promote()
    shelf.put(version, "bundle/extra.py", b"print()")
    return version


def garbage(shelf: Shelf) -> int:
    version = shelf.promote()
    shelf.put(version, "bundle/manifest.json", b"[" * 100_000)
    return version


def nothing_there(shelf: Shelf) -> int:
    version = shelf.promote()
    for path in shelf.path(version, "bundle").iterdir():
        path.unlink()
    return version


REFUSED: dict[str, tuple[Callable[[Shelf], int], str]] = {
    "flipped_model": (flipped_model, "model.onnx was altered, expected SHA-256"),
    "flipped_golden": (flipped_golden, "golden.json was altered"),
    "missing_file": (missing_file, "model.ubj cannot be read"),
    "file_too_many": (file_too_many, "holds what no manifest names: extra.py"),
    "garbage": (garbage, "manifest.json is not a manifest of schema version 1"),
    "nothing_there": (nothing_there, "it holds no bundle"),
    "another_strategy": (new_manifest_of_another_strategy, "of another strategy"),
    "unsigned": (lambda shelf: shelf.promote(production=False), "the bundle is not signed"),
    "wrong_key": (
        lambda shelf: shelf.promote(production=Signer.new()),
        r"signature \(tidegate/1 production\) is wrong",
    ),
    "shadow_only": (lambda shelf: shelf.promote(production=False, shadow=True), "the bundle is not signed"),
    "flipped_signature": (flipped_signature, r"signature \(tidegate/1 production\) is wrong"),
    "old_signature": (old_signature_on_a_new_manifest, r"signature \(tidegate/1 production\) is wrong"),
    "expired": (lambda shelf: shelf.promote(expires_at=1), "the model has expired"),
    "wrong_golden": (lambda shelf: shelf.promote(golden=wrong_golden()), "golden vector 1 is answered wrongly"),
    "feature_hash": (lambda shelf: shelf.promote(feature_hash="0" * 64), "feature hash differs"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(shelf: Shelf, case: str) -> None:
    make, told = REFUSED[case]

    async def story() -> None:
        metrics = Metrics()
        good = shelf.promote()
        async with shelf.serving(metrics) as models:
            assert shelf.served(models) == good
            bad = make(shelf)
            for _ in range(2):
                (result,) = await models.refresh()
                assert (result.reached, result.changed, result.production) == (True, False, good)
                assert result.refused is not None
                assert result.refused.startswith(f"v{bad} is not served: ")
            slot = models.slot(shelf.strategy)
            assert shelf.served(models) == good
            assert slot.refused is not None
            with pytest.raises(AssertionError, match=told):
                raise AssertionError(slot.refused)
            assert str(shelf.folder) not in slot.refused
            assert metrics.refused_version.labels(shelf.strategy)._value.get() == bad
            # The same refusal twice is one refusal.
            assert metrics.reloads.labels(shelf.strategy, "refused")._value.get() == 1
            assert metrics.model_version.labels(shelf.strategy, "production")._value.get() == good
            shelf.alias("production", good)
            await models.refresh()
            assert models.slot(shelf.strategy).refused is None
            assert metrics.refused_version.labels(shelf.strategy)._value.get() == 0

    asyncio.run(story())


def test_a_broken_download_is_mended_by_the_next_one(shelf: Shelf) -> None:
    async def story() -> None:
        bad = flipped_model(shelf)
        async with shelf.serving() as models:
            assert shelf.served(models) is None
            shelf.flip(bad, f"bundle/{ONNX}")
            await models.refresh()
            assert shelf.served(models) == bad

    asyncio.run(story())


def test_what_no_download_can_change_is_not_downloaded_again(shelf: Shelf) -> None:
    async def story() -> None:
        bad = shelf.promote(golden=wrong_golden())
        async with shelf.serving() as models:
            first = models.slot(shelf.strategy).refused
            # Were it fetched again, the missing file would be told.
            shelf.path(bad, "bundle/model.ubj").unlink()
            await models.refresh()
            assert first is not None
            assert models.slot(shelf.strategy).refused == first
            assert "golden vector 1" in first

    asyncio.run(story())


def test_unsigned_models_are_served_where_that_is_allowed_but_never_wrongly_signed_ones(shelf: Shelf) -> None:
    async def story() -> None:
        unsigned = shelf.promote(production=False)
        async with shelf.serving(allow_unsigned=True) as models:
            assert shelf.served(models) == unsigned
            slot = models.slot(shelf.strategy)
            assert slot.production is not None
            assert slot.production.signed_by is None
            shelf.promote(production=Signer.new())
            await models.refresh()
            assert shelf.served(models) == unsigned
            assert "is wrong" in (models.slot(shelf.strategy).refused or "")

    asyncio.run(story())


def test_without_keys_nothing_starts_unless_unsigned_models_are_allowed(shelf: Shelf) -> None:
    with pytest.raises(ConfigurationError, match=r"no public key is named.*signing.public_key_files"):
        shelf.models(public=False)
    shelf.models(public=False, allow_unsigned=True)
