"""The folder of one trained month: written whole, read back verified.

::

    <replay>/months/2018-01-<digest>/outcome.json    trained or failed, and why
                                     bundle/         the model, as a retrain writes it
                                     measured.bin    what was measured of it, and the bars of its newest test window
"""

import json
import os
import tempfile
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from tidegate.backtest.baselines import RandomBaseline
from tidegate.backtest.regimes import RegimeDefinition
from tidegate.bars.bars import Bars
from tidegate.durable import sync
from tidegate.errors import ModelError
from tidegate.features.features import from_specs
from tidegate.gates.evaluation import Measurement
from tidegate.gates.result import Verdict
from tidegate.model.bundle import Bundle, load_bundle
from tidegate.pipeline.fold_codec import pack_value, unpack_value
from tidegate.pipeline.judge import Measured
from tidegate.report.record import CalibrationCurve

BUNDLE: Final = "bundle"
_OUTCOME: Final = "outcome.json"
_MEASURED: Final = "measured.bin"
_TYPES: Final[tuple[type[Any], ...]] = (CalibrationCurve, Measurement, RandomBaseline, Verdict)


@dataclass(frozen=True)
class TrainedMonth:
    """One month as it was trained, or why it could not be.

    Attributes:
        folder: where it is kept.
        month: such as 2018-01.
        as_of_ms: UTC ms.
        failure: why no model could be trained, empty where one was.
    """

    folder: Path
    month: str
    as_of_ms: int
    failure: str

    @property
    def name(self) -> str:
        """The folder's name, which holds the digest of all that went in."""
        return self.folder.name

    @cached_property
    def bundle(self) -> Bundle:
        """The model.

        Raises:
            BundleError: a file is missing or altered.
        """
        return load_bundle(self.folder / BUNDLE)

    def measured(self) -> Measured:
        """What was measured.

        Raises:
            ModelError: the file is damaged, or nothing was trained.
            BundleError: a file of the bundle is missing or altered.
        """
        content: dict[str, Any] = unpack_value(_read(self.folder / _MEASURED), *_TYPES)
        return Measured(bundle=self.bundle, **content)


def read_trained(folder: Path) -> TrainedMonth:
    """A month's folder.

    Raises:
        ModelError: it is missing or damaged.
    """
    try:
        content = json.loads(_read(folder / _OUTCOME))
        return TrainedMonth(folder, content["month"], content["as_of_ms"], content["failure"])
    except (ValueError, KeyError) as error:
        raise ModelError(
            f"the trained month {folder} is damaged: {error!r}",
            next_step="remove the folder and replay again: it is trained anew",
        ) from error


def write_outcome(folder: Path, month: str, as_of_ms: int, failure: str = "") -> None:
    """Write what became of a month into a folder that nobody else sees yet."""
    content = {"month": month, "as_of_ms": as_of_ms, "failure": failure}
    (folder / _OUTCOME).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def write_measured(folder: Path, measured: Measured) -> None:
    """Write what was measured but the bundle, which has its own files, and of the bars only what a contest can look at."""
    slim = replace(
        measured,
        bars=tuple(_needed(bars, measured.bundle) for bars in measured.bars),
        measurements={name: _plain(found) for name, found in measured.measurements.items()},
    )
    content = {field.name: getattr(slim, field.name) for field in fields(slim) if field.name != "bundle"}
    (folder / _MEASURED).write_bytes(pack_value(content, *_TYPES))


def seal(temporary: Path, target: Path) -> None:
    """Give a finished folder its name, whole and durable; one that is there already is the same and stays."""
    for place, _, names in os.walk(temporary):
        for name in names:
            sync(Path(place) / name)
        sync(Path(place))
    try:
        temporary.rename(target)
    except OSError:
        if not target.is_dir():
            raise
    sync(target.parent)


def work_folder(parent: Path, name: str) -> "tempfile.TemporaryDirectory[str]":
    """A folder beside the finished ones to write in; what a killed process left of it is removed by `sweep`."""
    parent.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix=f".{name}-", dir=parent, ignore_cleanup_errors=True)


def _needed(bars: Bars, bundle: Bundle) -> Bars:
    """The newest test window, and what features and regimes look back on before it."""
    test = bundle.manifest.windows[-1].test
    features = from_specs(bundle.manifest.features)
    regimes = RegimeDefinition.model_validate(bundle.manifest.regimes[bars.symbol])
    inside = len(bars) - len(bars.between(test.start_at, test.end_at))
    return bars.take(slice(max(0, inside - max(features.lookback, regimes.lookback)), None))


def _plain(found: Measurement) -> Measurement:
    """The same with numbers of Python's own types: counts come as numpy's here and there."""
    given: dict[str, Any] = dict(found.evidence)
    evidence = {name: value.item() if isinstance(value, np.generic) else value for name, value in given.items()}
    return replace(found, evidence=evidence, n=None if found.n is None else int(found.n))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path} of a trained month cannot be read: {error.strerror}",
            next_step="remove the month's folder and replay again: it is trained anew",
        ) from error
