"""The manifest, schema version 1: what a model is, what it was tested on, and the digest of each of its files."""

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tidegate.dataset.windows import FoldWindows
from tidegate.errors import BundleError
from tidegate.features.spec import FeatureSpec
from tidegate.policy.policy import PositionPolicy


class Frozen(BaseModel):
    """A frozen part that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Calibration(Frozen):
    """Platt scaling of the booster's margin: probability = 1 / (1 + exp(-(slope * margin + intercept)))."""

    method: Literal["sigmoid"] = "sigmoid"
    slope: float
    intercept: float


class FeatureReference(Frozen):
    """Quantiles of a feature over the training rows, for drift and out-of-distribution scores."""

    probabilities: tuple[float, ...]
    values: tuple[float, ...]


class GoldenVector(Frozen):
    """A window of bars and the answer that every serving process must give to it."""

    symbol: str
    bars: dict[str, tuple[float, ...]] = Field(description="opened_at, open, high, low, close, volume.")
    features: tuple[float, ...]
    probability: float
    signal: Literal[-1, 0, 1]


class Manifest(Frozen):
    """The manifest of a bundle. Gate results and the signature are files of their own, bound to `digest()`."""

    schema_version: Literal[1] = 1
    strategy: str
    kind: Literal["real", "simulated"]
    symbols: tuple[str, ...]
    interval: str
    calendar: str
    features: tuple[FeatureSpec, ...]
    feature_hash: str
    lookback: int = Field(description="Bars a prediction needs, the newest included.")
    policy: PositionPolicy
    calibration: Calibration
    labels: dict[str, Any]
    costs: dict[str, Any]
    model: dict[str, Any] = Field(description="Parameters, chosen rounds, objective.")
    windows: tuple[FoldWindows, ...] = Field(description="All folds, oldest first; the last one is this model's.")
    last_seen_at: int = Field(description="Newest bar close that took part in training or in the judgement, UTC ms.")
    snapshots: dict[str, str] = Field(description="Symbol to content hash of the bars.")
    seed: int
    threads: int
    reference: dict[str, FeatureReference] = Field(description="Per feature, by name.")
    probability_reference: FeatureReference
    label_rate: float
    importance: dict[str, float] = Field(description="Gain by feature, sums to 1.")
    out_of_sample: dict[str, float | None] = Field(description="Pooled metrics by their names in the metrics table.")
    regimes: dict[str, Any] = Field(description="By symbol, definition of the regimes and their boundaries.")
    files: dict[str, str] = Field(description="File name to SHA-256, all files but the manifest.")
    library_versions: dict[str, str]
    created_at: int
    expires_at: int

    def to_bytes(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces, shortest round-trip numbers.

        Raises:
            BundleError: a number is NaN or infinite.
        """
        return canonical_json(self.model_dump(mode="json"), "manifest.json")

    def digest(self) -> str:
        """SHA-256 of the canonical bytes; gate results, ledger rows and signatures refer to it."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def canonical_json(content: object, name: str) -> bytes:
    """JSON with sorted keys and no spaces, the same bytes for the same content.

    Raises:
        BundleError: a number is NaN or infinite, which JSON does not know; `name` says in which file.
    """
    try:
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    except ValueError as error:
        raise BundleError(f"{name} would hold a number that is not finite", expected="finite numbers") from error
