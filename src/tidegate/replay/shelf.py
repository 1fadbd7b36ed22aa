"""A model registry for a replay's path: versions are folders of trained months, everything else is a small JSON document.

It is what the real `Promoter` asks for in place of MLflow. The bundles are shared by all paths and only read; aliases, decisions and the
published state are the path's own.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tidegate.errors import BundleError
from tidegate.gates.result import Decision
from tidegate.model.bundle import Bundle, load_bundle
from tidegate.model.manifest import Manifest


class Shelf:
    """Versions of one strategy.

    Args:
        kind: `real` or `simulated`.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._bundles: dict[int, Bundle] = {}
        self._folders: dict[int, Path] = {}
        self.restore("{}")

    def restore(self, content: str) -> None:
        """Take up what `to_json` gave."""
        kept: dict[str, Any] = json.loads(content)
        self._aliases: dict[str, int] = kept.get("aliases", {})
        self._decisions = {
            int(version): Decision.model_validate(each) for version, each in kept.get("decisions", {}).items()
        }
        self._signatures = {int(version): bytes.fromhex(each) for version, each in kept.get("signatures", {}).items()}
        self._state: str | None = kept.get("state")

    def to_json(self) -> str:
        """All that is the path's own, with the decisions of those versions that can still be asked for."""
        content: Mapping[str, Any] = {
            "aliases": self._aliases,
            "decisions": {
                str(version): decision.model_dump(mode="json") for version, decision in self._decisions.items()
            },
            "signatures": {str(version): each.hex() for version, each in self._signatures.items()},
            "state": self._state,
        }
        return json.dumps(content, indent=1, sort_keys=True) + "\n"

    def put(self, version: int, folder: Path) -> None:
        """Know a version by the folder of its bundle."""
        self._folders[version] = folder

    def keep_decision(self, version: int, decision: Decision) -> None:
        """Keep the gates' decision about a version, in place of the one about the version before: nobody asks for an old one again."""
        self._decisions = {version: decision}

    def bundle(self, version: int) -> Bundle:
        """A version's bundle, every file checked once.

        Raises:
            BundleError: there is no such version, or its files are damaged.
        """
        if version not in self._bundles:
            if version not in self._folders:
                raise BundleError(f"the replay knows no version {version}")
            self._bundles[version] = load_bundle(self._folders[version])
        return self._bundles[version]

    def kind(self, _strategy: str) -> str | None:
        """`real` or `simulated`."""
        return self._kind

    def verified_manifest(self, _strategy: str, version: int) -> Manifest:
        """A version's manifest."""
        return self.bundle(version).manifest

    def decision(self, _strategy: str, version: int) -> Decision | None:
        """The gates' decision about a version."""
        return self._decisions.get(version)

    def alias(self, _strategy: str, alias: str) -> int | None:
        """The version an alias points to."""
        return self._aliases.get(alias)

    def set_alias(self, _strategy: str, alias: str, version: int | None) -> None:
        """Point an alias to a version, or remove it."""
        self._aliases.pop(alias, None)
        if version is not None:
            self._aliases[alias] = version

    def attach_signature(self, _strategy: str, version: int, signature: bytes) -> None:
        """Keep a version's signature."""
        self._signatures[version] = signature

    def signature(self, _strategy: str, version: int) -> bytes | None:
        """A version's signature."""
        return self._signatures.get(version)

    def shadow_signature(self, _strategy: str, _version: int) -> bytes | None:
        """Nothing runs as a shadow here."""
        return None

    def versions(self, _strategy: str) -> list[int]:
        """Numbers of all versions, newest first."""
        return sorted(self._folders, reverse=True)

    def signed_state(self, _strategy: str) -> str | None:
        """The state that was published last."""
        return self._state

    def keep_signed_state(self, _strategy: str, text: str) -> bool:
        """Publish a state."""
        self._state = text
        return True

    def show(self, _strategy: str, version_tags: dict[int, dict[str, str]], model_tags: dict[str, str]) -> None:
        """Nobody looks at tags here."""

    def prune(self, _strategy: str, *, protected: Collection[int], keep: int) -> list[int]:
        """Nothing is deleted: months belong to all paths."""
        del protected, keep
        return []
