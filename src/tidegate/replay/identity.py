"""What a trained month depends on, as one digest: equal digests mean equal files, so that a month is never trained twice."""

import hashlib
import json
import platform
from collections.abc import Iterable
from functools import cache
from typing import Final

from tidegate.bars.bars import Bars
from tidegate.pipeline.fold_identity import LIBRARIES as OF_A_FOLD
from tidegate.pipeline.fold_identity import NO_PART_IN_A_MODEL, code_digest, library_versions, own_files, own_sources
from tidegate.replay.plan import Configuration

LIBRARIES: Final = (*OF_A_FOLD, "arch")
"""Libraries that take part in a trained month: those of its folds, and what measures them."""

# Packages whose code takes part in a trained month: a new version of the command line or of a page trains nothing anew.
_CODE: Final = (
    "backtest",
    "bars",
    "dataset",
    "features",
    "gates",
    "labels",
    "model",
    "pipeline",
    "policy",
    "serving",
    "statistics",
    "strategy",
    "validation",
)


def month_identity(configuration: Configuration, as_of_ms: int, raw: Iterable[Bars]) -> str:
    """SHA-256 over bars, time, strategy, settings, our code, the user's feature code, and the libraries' versions.

    Of the gates only what is measured counts, which is how often labels are permuted: thresholds, and what blocks, are looked at later.

    Args:
        configuration: of validation and computing, rules and threads take part.
        as_of_ms: UTC ms of the retrain.
        raw: bars that were given to it, as the source gave them, one series a symbol.
    Raises:
        ConfigurationError: a feature's module cannot be read.
    """
    strategy, settings = configuration.strategy, configuration.settings
    parts = {
        "as_of": as_of_ms,
        "bars": [bars.content_hash() for bars in raw],
        "strategy": strategy.model_dump(mode="json", exclude=NO_PART_IN_A_MODEL),
        "permuted": [configuration.permuted.draws, configuration.permuted.p_value],
        "validation": settings.validation.model_dump(mode="json"),
        "threads": settings.compute.threads,
        "code": _code(),
        "features": own_sources(strategy),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "libraries": library_versions(LIBRARIES),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def _code() -> str:
    of_training = [path for path in own_files("replay") if path.name in {"training.py", "trained.py"}]
    return code_digest([*own_files(*_CODE), *of_training])
