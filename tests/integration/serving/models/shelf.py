"""A strategy on a real MLflow server: real small bundles are registered, signed, damaged, barred, and served from there."""
# ruff: noqa: ANN401  keyword arguments override fields of many types

import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3
from tests.unit.model.small_model import small_files, small_manifest

from tidegate.bars.bars import Bars
from tidegate.keys.signing import Signer, production_message, shadow_message
from tidegate.keys.state import TAG, SignedState, encode
from tidegate.model.bundle import write_bundle
from tidegate.model.manifest import GoldenVector, Manifest
from tidegate.serving.clock import SystemClock
from tidegate.serving.metrics import Metrics
from tidegate.serving.models import Models
from tidegate.settings.serving import Serving, Signing
from tidegate.settings.settings import Settings

FAR_MS = 10**14


class Shelf:
    """One strategy's versions, as the pipeline would leave them."""

    def __init__(self, address: str, artifacts: Path, folder: Path, strategy: str) -> None:
        self.address, self.strategy, self.folder = address, strategy, folder
        self.signer = Signer.new()
        self.manifests: dict[int, Manifest] = {}
        self._artifacts = artifacts
        self._location = ""
        self._http = urllib3.PoolManager()
        self._public = folder / "public.pem"
        self._public.write_bytes(self.signer.public_pem())
        self._token = 0

    def register(
        self,
        *,
        production: Signer | bool = True,
        shadow: Signer | bool = False,
        golden: tuple[GoldenVector, ...] | None = None,
        **changes: Any,
    ) -> int:
        """Register a version of its own digest, signed for production and as a challenger as told; it becomes the challenger.

        The files lie as `Tracking.register` leaves them, for which test_pipeline.py has the proof; one call instead of a dozen.
        """
        version = len(self.manifests) + 1
        files = small_files(golden)
        fields = {"strategy": self.strategy, "expires_at": FAR_MS, "seed": version, **changes}
        manifest = self.manifests[version] = small_manifest(files, **fields)
        if not self._location:
            self._call("POST", "registered-models/create", name=self.strategy)
            run = self._call("POST", "runs/create", experiment_id="0")["run"]["info"]
            self._run_id, self._location = run["run_id"], run["artifact_uri"]
        write_bundle(self.path(version, "bundle"), manifest, files)
        source = f"{self._location}/{version}"
        self._call("POST", "model-versions/create", name=self.strategy, source=source, run_id=self._run_id)
        self.alias("challenger", version)
        for asked, name, message in (
            (production, "manifest.sig", production_message(manifest.digest())),
            (shadow, "shadow.sig", shadow_message(manifest.digest())),
        ):
            if asked is not False:
                self.put(version, f"signature/{name}", (self.signer if asked is True else asked).sign(message))
        return version

    def promote(self, **changes: Any) -> int:
        """Register a version and point the alias `production` to it."""
        version = self.register(**changes)
        self.alias("production", version)
        return version

    def digest(self, version: int) -> str:
        return self.manifests[version].digest()

    def alias(self, name: str, version: int | None) -> None:
        method, more = ("DELETE", {}) if version is None else ("POST", {"version": str(version)})
        self._call(method, "registered-models/alias", name=self.strategy, alias=name, **more)

    def state(self, *, signer: Signer | None = None, token: int | None = None, **changes: Any) -> str:
        """Write the next signed state as the registered model's tag, and return it."""
        self._token = self._token + 1 if token is None else token
        fields: dict[str, Any] = {"strategy": self.strategy, "halted": False, "production": None}
        fields |= {"production_version": None, "at": 1000 * self._token, "token": self._token, **changes}
        text = encode(SignedState(**fields), (signer or self.signer).sign)
        self.tag(text)
        return text

    def tag(self, text: str | None) -> None:
        method, more = (
            ("DELETE", {"path": "delete-tag"}) if text is None else ("POST", {"path": "set-tag", "value": text})
        )
        self._call(method, f"registered-models/{more.pop('path')}", name=self.strategy, key=TAG, **more)

    def path(self, version: int, name: str) -> Path:
        """Where the server keeps a file of a version."""
        return self._artifacts / self._location.removeprefix("mlflow-artifacts:/") / str(version) / name

    def _call(self, method: str, path: str, **body: str) -> Any:
        reply = self._http.request(method, f"{self.address}/api/2.0/mlflow/{path}", json=body)
        assert reply.status == 200, reply.data
        return reply.json()

    def put(self, version: int, name: str, content: bytes) -> None:
        """Write a file of a version behind the registry's back."""
        path = self.path(version, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def flip(self, version: int, name: str) -> None:
        """Change one bit of a version's file."""
        content = bytearray(self.path(version, name).read_bytes())
        content[len(content) // 2] ^= 1
        self.put(version, name, bytes(content))

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def settings(self, *, public: bool = True, **serving: Any) -> Settings:
        fields = {"registry_uri": self.address, "strategies": (self.strategy,), "cache": self.cache}
        fields |= {"poll_s": 3600.0, "start_wait_s": 20.0, "registry_retries": 1, "registry_timeout_s": 10.0, **serving}
        return Settings(serving=Serving(**fields), signing=Signing(public_key_files=(self._public,) if public else ()))

    def models(self, metrics: Metrics | None = None, *, public: bool = True, **serving: Any) -> Models:
        return Models(self.settings(public=public, **serving), metrics or Metrics(), SystemClock())

    @contextlib.asynccontextmanager
    async def serving(
        self, metrics: Metrics | None = None, *, public: bool = True, **serving: Any
    ) -> AsyncIterator[Models]:
        """Started models of this strategy, stopped at the end."""
        models = self.models(metrics, public=public, **serving)
        await models.start()
        try:
            yield models
        finally:
            await models.stop()

    def served(self, models: Models) -> int | None:
        """The version that serves, having answered one of its golden windows."""
        model = models.slot(self.strategy).production
        if model is None:
            return None
        assert model.digest == self.digest(model.version)
        window = golden_window(model.predictor.bundle.golden[0])
        assert 0 < model.predictor.predict(window, int(window.closed_at[-1])).probability < 1
        return model.version


def golden_window(vector: GoldenVector) -> Bars:
    """The bars of a golden vector."""
    import numpy as np

    return Bars.of(vector.symbol, "5m", **{name: np.asarray(values) for name, values in vector.bars.items()})


class Relay:
    """A TCP relay in front of a server, at an address that stays while the line is cut and mended."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._target = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self._is_cut = self._is_stalled = False
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._is_cut = True
        self._end_all()

    def mend(self) -> None:
        self._is_cut = False

    def stall(self) -> None:
        """Take new connections, and let nothing through."""
        self._is_stalled = True

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._end_all()

    def _end_all(self) -> None:
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            if self._is_stalled:
                one.close()
        self._open.clear()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return  # closed
            self.connections += 1
            if self._is_cut:
                near.close()
                continue
            if self._is_stalled:
                self._open.append(near)
                continue
            far = socket.create_connection(self._target)
            self._open += [near, far]
            threading.Thread(target=_join, args=(near, far), daemon=True).start()


def _join(near: socket.socket, far: socket.socket) -> None:
    with near, far:
        back = threading.Thread(target=_pump, args=(far, near), daemon=True)
        back.start()
        _pump(near, far)
        back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while content := source.recv(65_536):
            sink.sendall(content)
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def relay(address: str) -> Iterator[Relay]:
    """A relay, closed at the end."""
    made = Relay(address)
    try:
        yield made
    finally:
        made.close()
