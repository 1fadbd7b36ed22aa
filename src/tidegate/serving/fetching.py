"""Brings a version's bundle and signatures from the registry into memory, with the digest of each file checked."""

from collections.abc import Callable
from typing import Final

from pydantic import ValidationError

from tidegate.errors import BundleError, RegistryError
from tidegate.model.bundle import MANIFEST, Bundle, sha256
from tidegate.model.manifest import Manifest
from tidegate.serving.bundle_cache import BundleCache
from tidegate.serving.registry_client import MAX_ARTIFACT_BYTES, RegistryClient
from tidegate.serving.served import PRODUCTION_SIGNATURE, SHADOW_SIGNATURE

_MAX_MANIFEST_BYTES: Final = 10_000_000
_MAX_SIGNATURE_BYTES: Final = 1000


class Fetcher:
    """Fetches by strategy and version. Blocking.

    Args:
        client: the registry.
        cache: checks what was fetched.
    """

    def __init__(self, client: RegistryClient, cache: BundleCache) -> None:
        self._client = client
        self._cache = cache

    def bundle(
        self, strategy: str, version: int, refuse_early: Callable[[str, Manifest], None]
    ) -> tuple[Bundle, dict[str, bytes]]:
        """A bundle, and its signatures by file name.

        Args:
            strategy: the registered model's name.
            version: its version.
            refuse_early: told the digest and the manifest before the large files are fetched; may raise. Nothing is verified then.

        Raises:
            BundleError: a file is missing, altered or not named by the manifest; or what `refuse_early` raises.
            RegistryError: the registry cannot be reached or has no such version.
            ServiceError: there is no room to check a bundle in.
        """
        location = self._location(strategy, version)
        names = self._client.files(location, "bundle")
        if MANIFEST not in names:
            raise BundleError("it holds no bundle", expected=f"bundle/{MANIFEST}", next_step="register it again")
        raw = self._client.fetch(location, f"bundle/{MANIFEST}", _MAX_MANIFEST_BYTES)
        manifest = _readable(raw)
        if manifest is not None:
            refuse_early(sha256(raw), manifest)
        contents, room = {MANIFEST: raw}, MAX_ARTIFACT_BYTES
        for name in names:
            if name != MANIFEST:
                # The sizes that were listed are the server's word: what comes is counted, all files together.
                contents[name] = self._client.fetch(location, f"bundle/{name}", room)
                room -= len(contents[name])
        return self._cache.verified(contents), self._signatures(location)

    def signatures(self, strategy: str, version: int) -> dict[str, bytes]:
        """The signatures of a version, by file name.

        Raises:
            RegistryError: the registry cannot be reached or has no such version.
        """
        return self._signatures(self._location(strategy, version))

    def _location(self, strategy: str, version: int) -> str:
        location = self._client.location(strategy, version)
        if location is None:
            raise RegistryError(f"the registry has no v{version} of {strategy}", next_step="see `tidegate history`")
        return location

    def _signatures(self, location: str) -> dict[str, bytes]:
        there = self._client.files(location, "signature")
        return {
            name: self._client.fetch(location, f"signature/{name}", _MAX_SIGNATURE_BYTES)
            for name in (PRODUCTION_SIGNATURE, SHADOW_SIGNATURE)
            if name in there
        }


def _readable(raw: bytes) -> Manifest | None:
    try:
        return Manifest.model_validate_json(raw)
    except ValidationError:
        return None  # what is wrong with it is said when all files are checked
