"""One flipped byte at each stage of a model's way, from the written bundle to the restored one: who refuses it.

Every stage is shown to be passed with the right bytes and refused with the wrong ones. What one stage refuses byte by byte stands in the tests of its own:
docs/supply-chain.md lists them.
"""

import asyncio
import sqlite3
import tempfile
import urllib.parse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from pydantic import SecretStr
from tests.integration.serving.models.shelf import FAR_MS, Shelf
from tests.integration.serving.models.test_starts import nowhere
from tests.registry_factories import decision
from tests.unit.model.small_model import small_bundle, small_dataset

from tidegate.backup.bundles import bundle_fault, signature_fault
from tidegate.errors import BundleError, LedgerError, PromotionRefused
from tidegate.keys import state as signed_states
from tidegate.keys.files import PRIVATE, write_new
from tidegate.keys.signing import Verifier
from tidegate.model.bundle import GOLDEN, MANIFEST, ONNX, UBJ, load_bundle
from tidegate.pipeline.publish import champion_of
from tidegate.registry.database import Database
from tidegate.registry.ledger import Ledger
from tidegate.registry.promotion import Promoter
from tidegate.registry.tracking import Tracking
from tidegate.settings.serving import Signing
from tidegate.settings.settings import Ledger as LedgerSettings
from tidegate.settings.settings import Mlflow, Paths, Settings

if TYPE_CHECKING:
    from tidegate.pipeline.job import Job

pytestmark = [pytest.mark.servers, pytest.mark.slow]


@contextmanager
def flipped(path: Path) -> Iterator[None]:
    """One bit of a file is wrong while the block runs."""
    good, mode = path.read_bytes(), path.stat().st_mode
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(bytes(bad))
    try:
        yield
    finally:
        if path.parent.is_dir():
            path.write_bytes(good)
            path.chmod(mode)


@contextmanager
def replaced(folder: Path, by: Path) -> Iterator[None]:
    """Another folder's files are there while the block runs."""
    good = {path: path.read_bytes() for path in folder.iterdir()}
    for path in good:
        path.write_bytes((by / path.name).read_bytes())
    try:
        yield
    finally:
        for path, content in good.items():
            path.write_bytes(content)


class Way:
    """A strategy with a tracking server, a ledger and a signer, and its versions' files as the server keeps them."""

    def __init__(self, shelf: Shelf, artifacts: Path) -> None:
        self.shelf, self.strategy, self.artifacts = shelf, shelf.strategy, artifacts
        self.ledger_file, private = shelf.folder / "ledger.db", shelf.folder / "private.pem"
        write_new(private, shelf.signer.private_pem(), PRIVATE)
        self.settings = Settings(
            paths=Paths(mlruns=shelf.folder / "mlruns"),
            mlflow=Mlflow(tracking_uri=shelf.address, timeout_s=10),
            ledger=LedgerSettings(url=SecretStr(f"sqlite:///{self.ledger_file}")),
            signing=Signing(private_key_file=private),
        )
        self.tracking = Tracking(self.settings)
        self.ledger = Ledger(Database(f"sqlite:///{self.ledger_file}"))
        self.promoter = Promoter(self.ledger, self.tracking, shelf.signer, must_sign=True)
        self.verifier: Verifier = shelf.signer.verifier()

    def written(self, seed: int) -> Path:
        folder = self.shelf.folder / f"bundle-{seed}"
        small_bundle(folder, strategy=self.strategy, expires_at=FAR_MS, seed=seed)
        return folder

    def registered(self, folder: Path) -> int:
        with self.tracking.start_run(self.strategy, "2026-11") as run:
            version = self.tracking.register(folder, run, small_dataset().features.names, description="")
        self.shelf.manifests[version] = load_bundle(folder).manifest
        return version

    def promoted(self, version: int, champion: int | None) -> None:
        judged = decision(self.shelf.manifests[version])
        self.promoter.promote(self.strategy, version, judged, actor="test", reason="test", champion=champion)

    def champion(self) -> int | None:
        """The version that a retraining would take into its contest."""
        with tempfile.TemporaryDirectory() as folder:
            strategy = SimpleNamespace(name=self.strategy)
            job = SimpleNamespace(settings=self.settings, strategy=strategy, folder=Path(folder))
            found = champion_of(cast("Job", job))
        return None if found is None else found.version

    def kept(self, version: int, name: str) -> Path:
        """A version's file where the server keeps it."""
        uri = self.tracking.connection.client.get_model_version_download_uri(self.strategy, str(version))
        return self.artifacts / urllib.parse.urlsplit(str(uri)).path.strip("/") / name

    def served(self, **serving: Any) -> int | None:  # noqa: ANN401  fields of many types
        """The version that a service serves that starts now, with what the disk holds."""

        async def story() -> int | None:
            async with self.shelf.serving(**serving) as models:
                return self.shelf.served(models)

        return asyncio.run(story())

    def served_by_a_new_one(self, name: str) -> int | None:
        """The same for a service whose disk holds nothing."""
        return self.served(cache=self.shelf.folder / "caches" / name)


def test_a_flipped_byte_is_refused_at_every_stage(shelf: Shelf, mlflow_folder: Path) -> None:
    way = Way(shelf, mlflow_folder / "artifacts")

    # Written, registered. A manifest that is altered before anybody has judged it is another model, which the gates have to judge.
    one = way.written(1)
    for name in (ONNX, UBJ, GOLDEN):
        with flipped(one / name), pytest.raises(BundleError):
            way.registered(one)
    first, second = way.registered(one), way.registered(way.written(2))

    # Promoted: the registry's files are read again, the decision is about one digest, and only then it is signed.
    for name in (ONNX, UBJ, GOLDEN, MANIFEST):
        with flipped(way.kept(first, f"bundle/{name}")), pytest.raises(PromotionRefused):
            way.promoted(first, None)
    assert way.tracking.signature(way.strategy, first) is None
    way.promoted(first, None)
    assert way.served_by_a_new_one("first") == first
    way.promoted(second, first)
    assert way.served() == second

    # Drawn into a contest: another bundle that is whole in itself is not the champion.
    assert way.champion() == second
    with replaced(way.kept(second, "bundle"), way.written(3)), pytest.raises(BundleError, match="not what the ledger"):
        way.champion()

    # Fetched by a service.
    for name in (ONNX, UBJ, GOLDEN, MANIFEST):
        with flipped(way.kept(second, f"bundle/{name}")):
            assert way.served_by_a_new_one(name) is None
    with flipped(way.kept(second, "signature/manifest.sig")):
        assert way.served_by_a_new_one("signature") is None
    assert way.served_by_a_new_one("again") == second

    # On the service's disk, with the registry down.
    entry = shelf.cache / way.strategy / shelf.digest(second)
    assert way.served(**nowhere()) == second
    with flipped(entry / "bundle" / ONNX):
        assert way.served(**nowhere()) is None
    assert way.served() == second, "fetched again"
    with flipped(entry / "signature" / "manifest.sig"):
        assert way.served(**nowhere()) is None

    # The signed state, which bars and halts.
    state = way.tracking.signed_state(way.strategy)
    assert state is not None
    verifier = way.verifier
    assert signed_states.decode(state, verifier, way.strategy).production_version == second
    with pytest.raises(BundleError):
        signed_states.decode(f"{state[:40]}{chr(ord(state[40]) ^ 1)}{state[41:]}", verifier, way.strategy)

    # Gone back to.
    with flipped(way.kept(first, f"bundle/{ONNX}")), pytest.raises(PromotionRefused, match="bundle_broken"):
        way.promoter.rollback(way.strategy, actor="test", reason="test", to_version=first)
    assert way.served_by_a_new_one("before the rollback") == second
    way.promoter.rollback(way.strategy, actor="test", reason="test", to_version=first)
    assert way.served_by_a_new_one("after the rollback") == first

    # Backed up, and restored: both look with these two.
    bundle, digest = way.kept(first, "bundle"), shelf.digest(first)
    assert (bundle_fault(bundle, digest), signature_fault(bundle, digest, verifier)) == (None, None)
    for name in (ONNX, UBJ, GOLDEN, MANIFEST):
        with flipped(bundle / name):
            assert bundle_fault(bundle, digest) is not None
    with flipped(way.kept(first, "signature/manifest.sig")):
        assert signature_fault(bundle, digest, verifier) is not None

    # The ledger that names what serves.
    way.ledger.verify()
    with closing(sqlite3.connect(way.ledger_file)) as database, database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{trigger}"')
        database.execute("UPDATE promotion_ledger SET bundle_digest = ? WHERE id = 1", ("0" * 64,))
    with pytest.raises(LedgerError):
        way.ledger.verify()
