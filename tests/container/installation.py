"""An installation for the container's tests: two versions of a small simulated strategy with a feature of its own, keys, a folder to mount.

The models are trained in a moment on a random walk whose bars end with the present, so that production settings find them fresh.
"""

import os
import sys
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from tests.property.features.test_rows import walk
from tests.registry_factories import decision
from tests.unit.model.small_model import POLICY

from tidegate.bars.bars import COLUMNS, Bars
from tidegate.dataset.dataset import Dataset, assemble
from tidegate.dataset.windows import FoldWindows, Window
from tidegate.features.features import resolve
from tidegate.keys.api_keys import ApiKeys, new_key
from tidegate.keys.signing import Signer
from tidegate.model.bundle import GOLDEN, ONNX, UBJ, golden_bytes, sha256, write_bundle
from tidegate.model.export import to_onnx
from tidegate.model.manifest import FeatureReference, GoldenVector, Manifest
from tidegate.model.onnx_model import OnnxModel
from tidegate.model.training import fit
from tidegate.policy.policy import entry_side
from tidegate.registry.opening import open_promoter
from tidegate.registry.tracking.versions import Tracking
from tidegate.settings.serving import Signing
from tidegate.settings.settings import Mlflow, Paths, Settings
from tidegate.strategy.strategy import FeatureUse, Model, Strategy

STRATEGY: Final = "simulated-walk"
SYMBOL: Final = "SIM/USD"
INTERVAL_MS: Final = 300_000
DAY_MS: Final = 86_400_000
_BARS: Final = 1500
_PAST: Final = 1000

# The module that a user would write: its folder is mounted, and the container finds it there.
OWN_MODULE: Final = '''"""A feature of the strategy's own."""

import numpy as np
from numpy.typing import NDArray

from tidegate.features.window import Window, ratio


def upper_share(window: Window, length: int) -> NDArray[np.float64]:
    """Mean share of a bar's range that lies above its body, over `length` bars, 0..1."""
    bars = window.bars
    above = bars.high - np.maximum(bars.open, bars.close)
    return window.mean(ratio(above, bars.high - bars.low), length)
'''


@dataclass(frozen=True)
class Installation:
    """A project's folder with keys, the address of its MLflow, and the market that its models know.

    Attributes:
        folder: everything on the host.
        mlflow: address of the registry.
    """

    folder: Path
    mlflow: str

    @property
    def project(self) -> Path:
        """What the container gets to see, read-only, as its project."""
        return self.folder / "project"

    @cached_property
    def settings(self) -> Settings:
        """The pipeline's settings."""
        paths = Paths(data=self.folder / "data", mlruns=self.folder / "mlruns", cache=self.folder / "cache")
        signing = Signing(private_key_file=self.folder / "signing.pem")
        return Settings(paths=paths, mlflow=Mlflow(tracking_uri=self.mlflow), signing=signing)

    @cached_property
    def bars(self) -> Bars:
        """1,500 bars, of which 1,000 have closed when this is first asked for."""
        started = int(time.time() * 1000) // INTERVAL_MS * INTERVAL_MS - _PAST * INTERVAL_MS
        made = walk(7, _BARS)
        columns = {name: getattr(made, name) for name in COLUMNS}
        return Bars.of(SYMBOL, "5m", **columns | {"opened_at": started + INTERVAL_MS * np.arange(_BARS)})

    def write_project(self, user: int, **serving: Any) -> str:  # noqa: ANN401  settings of many types
        """Write keys, settings and the strategy's own feature, readable by the container's user; returns an API key."""
        (self.project / "configs").mkdir(parents=True)
        (self.project / "own_shares.py").write_text(OWN_MODULE)
        signer, secret = Signer.new(), self.project / "secrets"
        secret.mkdir()
        (self.folder / "signing.pem").write_bytes(signer.private_pem())
        (self.folder / "signing.pem").chmod(0o600)
        (secret / "signing.pub.pem").write_bytes(signer.public_pem())
        key, kept = new_key("bot", ["predict", "metrics", "admin"], created_at=1)
        ApiKeys([kept]).write(secret / "api-keys.yaml")
        content = {
            "signing": {"public_key_files": ["secrets/signing.pub.pem"]},
            "serving": {"strategies": [STRATEGY], "api_keys_file": "secrets/api-keys.yaml", **serving},
        }
        (self.project / "configs" / "production.yaml").write_text(yaml.safe_dump(content))
        for path in (self.project, *self.project.rglob("*")):
            os.chown(path, user, user)
        return key

    def register(self, depth: int) -> tuple[int, Manifest]:
        """Train a model with trees of some depth, which tells the models apart, and register it."""
        folder = self.folder / f"bundle-{depth}"
        made = write_small_bundle(folder, self.bars.take(slice(0, _PAST)), depth)
        tracking = Tracking(self.settings)
        with tracking.start_run(STRATEGY, f"depth {depth}") as run:
            run.decision(decision(made))
            names = [feature.name for feature in made.features]
            return tracking.register(folder, run, names, description="For the container."), made

    def promote(self, version: int, made: Manifest) -> None:
        """Promote by the real promoter, which signs."""
        promoter = open_promoter(self.settings)
        promoter.promote(
            STRATEGY,
            version,
            decision(made),
            actor="test",
            reason="the story",
            champion=promoter.current(STRATEGY),
        )

    def roll_back(self, leaving: int) -> None:
        """Roll back by the real promoter; the version that is left is barred."""
        open_promoter(self.settings).rollback(STRATEGY, actor="test", reason="the story", leaving=leaving)

    def window(self, now_ms: int, lookback: int) -> Bars:
        """The newest closed bars at a time."""
        closed = int((self.bars.opened_at + INTERVAL_MS <= now_ms).sum())
        return self.bars.take(slice(closed - lookback, closed))


def write_small_bundle(folder: Path, bars: Bars, depth: int) -> Manifest:
    """Train on bars and write a bundle; its model knows two standard features and one of the strategy's own."""
    dataset = _dataset(folder.parent, bars)
    model = Model(max_depth=depth, max_rounds=20, early_stopping_rounds=5, min_child_weight=1)
    seen = Window(start_at=int(bars.opened_at[0]), end_at=int(bars.opened_at[-200]))
    fitted = fit(dataset.training_rows(seen), dataset.features.names, model, INTERVAL_MS, 1)
    onnx = to_onnx(fitted.ubj, fitted.calibration, len(dataset.features.names))
    golden = tuple(_golden(dataset, onnx, row) for row in (len(bars) - 100, len(bars) - 1))
    files = {ONNX: onnx, UBJ: fitted.ubj, GOLDEN: golden_bytes(golden)}
    made = Manifest(
        strategy=STRATEGY,
        kind="simulated",
        symbols=(SYMBOL,),
        interval="5m",
        calendar="24/7",
        features=dataset.features.specs,
        feature_hash=dataset.features.digest(),
        lookback=dataset.features.lookback,
        policy=POLICY,
        calibration=fitted.calibration,
        labels={},
        costs={"fee_bps": 5.0},
        model={"rounds": fitted.rounds, "max_depth": depth},
        windows=(FoldWindows(train=seen, test=Window(start_at=seen.end_at, end_at=int(bars.closed_at[-1]))),),
        last_seen_at=int(bars.closed_at[-1]),
        snapshots={SYMBOL: bars.content_hash()},
        seed=7,
        threads=1,
        reference={},
        probability_reference=FeatureReference(probabilities=(0.0, 1.0), values=(0.1, 0.9)),
        label_rate=0.5,
        importance=fitted.importance,
        out_of_sample={"sharpe": 1.8},
        regimes={},
        files={name: sha256(content) for name, content in files.items()},
        library_versions={"numpy": np.__version__},
        created_at=int(bars.closed_at[-1]),
        expires_at=int(bars.closed_at[-1]) + 30 * DAY_MS,
    )
    write_bundle(folder, made, files)
    return made


def _dataset(folder: Path, bars: Bars) -> Dataset:
    own = folder / "project"
    if str(own) not in sys.path:
        sys.path.append(str(own))
    uses = [
        FeatureUse(use="return", lengths=(1, 5)),
        FeatureUse(use="volatility", lengths=(12,)),
        FeatureUse(use="own_shares:upper_share", lengths=(6,), lookback=6),
    ]
    strategy = Strategy.model_validate(
        {
            "version": 1,
            "name": STRATEGY,
            "kind": "simulated",
            "symbols": [SYMBOL],
            "interval": "5m",
            "source": {"type": "simulated"},
            "labels": {"horizon_bars": 9, "volatility_bars": 20},
        }
    )
    return assemble([bars], resolve(uses), strategy)


def _golden(dataset: Dataset, onnx: bytes, row: int) -> GoldenVector:
    window = dataset.tables[0].bars.take(slice(row - dataset.features.lookback + 1, row + 1))
    features = dataset.features.newest(window)
    probability = float(OnnxModel(onnx, len(dataset.features.names)).probability(features)[0])
    return GoldenVector(
        symbol=SYMBOL,
        bars={name: tuple(getattr(window, name).tolist()) for name in COLUMNS},
        features=tuple(features[0].tolist()),
        probability=probability,
        signal=entry_side(probability, POLICY),
    )
