"""Small factories for the registry's tests: manifests, bundles, decisions, an in-memory registry of versions."""
# ruff: noqa: ANN401  keyword arguments override fields of many types

from collections.abc import Collection
from pathlib import Path
from typing import Any

from tidegate.dataset.windows import FoldWindows, Window
from tidegate.errors import BundleError, RegistryError
from tidegate.features.spec import FeatureSpec
from tidegate.gates.result import Decision, GateResult, Verdict
from tidegate.model import bundle
from tidegate.model.bundle import GOLDEN, ONNX, UBJ, golden_bytes, sha256
from tidegate.model.manifest import Calibration, FeatureReference, GoldenVector, Manifest
from tidegate.policy.policy import PositionPolicy
from tidegate.registry.rules import REQUIRED_GATES

NOW = 1_780_000_000_000
REAL, SIMULATED = "eurusd-sample", "simulated-edge"
FEATURES = ("return_1", "volatility_20", "range_5")


def manifest(**changes: Any) -> Manifest:
    """A manifest of a real model that expires long after NOW."""
    fields: dict[str, Any] = {
        "strategy": REAL,
        "kind": "real",
        "symbols": ("EUR/USD",),
        "interval": "1h",
        "calendar": "fx",
        "features": tuple(FeatureSpec(name=name, use=name, length=None, lookback=20) for name in FEATURES),
        "feature_hash": "f" * 64,
        "lookback": 20,
        "policy": PositionPolicy(long_at=0.6, short_at=0.4, take_profit=0.01, stop_loss=0.01, max_holding_bars=12),
        "calibration": Calibration(slope=1.0, intercept=0.0),
        "labels": {},
        "costs": {"fee_bps": 5.0},
        "model": {"max_depth": 4, "rounds": 50},
        "windows": (FoldWindows(train=Window(start_at=0, end_at=10), test=Window(start_at=10, end_at=20)),),
        "last_seen_at": 20,
        "snapshots": {"EUR/USD": "a" * 64},
        "seed": 7,
        "threads": 2,
        "reference": {},
        "probability_reference": FeatureReference(probabilities=(0.0, 1.0), values=(0.1, 0.9)),
        "label_rate": 0.5,
        "importance": {},
        "out_of_sample": {"sharpe": 1.8, "win_rate": 0.6, "sortino": None},
        "regimes": {},
        "files": {"model.onnx": "0" * 64},
        "library_versions": {"numpy": "2.4.6", "onnxruntime": "1.32.0", "onnx": "1.23.2"},
        "created_at": NOW,
        "expires_at": NOW * 2,
    }
    return Manifest(**{**fields, **changes})


def write_bundle(folder: Path, content: bytes = b"model", **changes: Any) -> Manifest:
    """Write a bundle, and return its manifest."""
    vector = GoldenVector(symbol="EUR/USD", bars={}, features=(0.0, 0.0, 0.0), probability=0.5, signal=0)
    files = {ONNX: content, UBJ: b"\x00native" + content, GOLDEN: golden_bytes((vector,))}
    made = manifest(files={name: sha256(written) for name, written in files.items()}, **changes)
    bundle.write_bundle(folder, made, files)
    return made


def gate(name: str, **changes: Any) -> GateResult:
    """A gate that passed."""
    fields: dict[str, Any] = {
        "name": name,
        "title": name,
        "scope": "pooled",
        "observed": 1.0,
        "threshold": 0.5,
        "comparison": ">=",
        "blocking": True,
        "verdict": Verdict.PASS,
        "refuses": False,
        "reason": "for the test",
    }
    return GateResult(**{**fields, **changes})


def decision(judged: Manifest, **changes: Any) -> Decision:
    """A complete decision to promote."""
    fields: dict[str, Any] = {
        "strategy": judged.strategy,
        "manifest_digest": judged.digest(),
        "promote": True,
        "results": tuple(gate(name) for name in sorted(REQUIRED_GATES)),
        "summary": "all gates passed",
    }
    return Decision(**{**fields, **changes})


class Crash(BaseException):
    """Stands for a killed process: nothing in the code under test may catch it."""


class FakeVersions:
    """Aliases and manifests in memory, for property and spec tests; `reachable = False` is a server that is down."""

    def __init__(self, kind: str = "real") -> None:
        self.manifests: dict[int, Manifest] = {}
        self.aliases: dict[str, int] = {}
        self.decisions: dict[int, Decision] = {}
        self.broken: set[int] = set()
        self.signatures: dict[int, bytes] = {}
        self.shadow_signatures: dict[int, bytes] = {}
        self.state: str | None = None
        self.model_kind: str | None = kind
        self.reachable = True

    def add(self, **changes: Any) -> int:
        """Register a further version and return its number."""
        version = len(self.manifests) + 1
        files = {"model.onnx": f"{version:064d}"}
        self.manifests[version] = manifest(**{"created_at": NOW + version, "files": files, **changes})
        return version

    def alias(self, _strategy: str, alias: str) -> int | None:
        self._call()
        return self.aliases.get(alias)

    def set_alias(self, _strategy: str, alias: str, version: int | None) -> None:
        self._call()
        if version is None:
            self.aliases.pop(alias, None)
        else:
            self.aliases[alias] = version

    def kind(self, _strategy: str) -> str | None:
        self._call()
        return self.model_kind

    def verified_manifest(self, _strategy: str, version: int) -> Manifest:
        self._call()
        if version in self.broken or version not in self.manifests:
            raise BundleError(f"v{version} does not verify")
        return self.manifests[version]

    def decision(self, _strategy: str, version: int) -> Decision | None:
        self._call()
        return self.decisions.get(version)

    def attach_signature(self, _strategy: str, version: int, signature: bytes) -> None:
        self._call()
        self.signatures[version] = signature

    def signature(self, _strategy: str, version: int) -> bytes | None:
        self._call()
        return self.signatures.get(version)

    def shadow_signature(self, _strategy: str, version: int) -> bytes | None:
        self._call()
        return self.shadow_signatures.get(version)

    def versions(self, _strategy: str) -> list[int]:
        self._call()
        return sorted(self.manifests, reverse=True)

    def signed_state(self, _strategy: str) -> str | None:
        self._call()
        return self.state

    def keep_signed_state(self, _strategy: str, text: str) -> bool:
        self._call()
        self.state = text
        return True

    def show(self, _strategy: str, _version_tags: dict[int, dict[str, str]], _model_tags: dict[str, str]) -> None:
        self._call()

    def prune(self, _strategy: str, *, protected: Collection[int], keep: int) -> list[int]:
        self._call()
        old = sorted(self.manifests, reverse=True)[keep:]
        return [version for version in old if version not in protected and version not in self.aliases.values()]

    def _call(self) -> None:
        if not self.reachable:
            raise RegistryError("MLflow at http://127.0.0.1:9 could not be reached")
