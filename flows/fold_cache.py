"""Prefect's store of trained folds: no pickle in it, nothing older than 35 days, and what is damaged is trained anew."""

import base64
import binascii
import json
import logging
import time
from datetime import timedelta
from pathlib import Path
from typing import Final

from prefect.serializers import Serializer
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH
from pydantic import Field

from tidegate.errors import ModelError
from tidegate.pipeline import fold_codec
from tidegate.pipeline.fold import Fold

log = logging.getLogger(__name__)

PREFIX: Final = "fold-"
KEPT: Final = timedelta(days=35)
"""A rerun of the same month finds its folds; the next month has others."""


class FoldSerializer(Serializer):
    """Folds as `tidegate.pipeline.fold_codec` writes them, in base64, since Prefect keeps results as text."""

    type: str = Field(default="tidegate-fold", frozen=True)

    def dumps(self, obj: Fold) -> bytes:
        """A fold as text.

        Raises:
            ModelError: it holds something that cannot be stored.
        """
        return base64.b64encode(fold_codec.dumps(obj))

    def loads(self, blob: bytes) -> Fold:
        """The fold; Prefect takes an error for a fold that is not there, and trains it.

        Raises:
            ModelError: the text is damaged.
        """
        try:
            return fold_codec.loads(base64.b64decode(blob, validate=True))
        except binascii.Error as error:
            damaged = ModelError(f"a stored fold is damaged: {error}", next_step="nothing is lost: it is trained anew")
            log.warning("%s", damaged)
            raise damaged from error
        except ModelError as error:
            log.warning("%s", error)
            raise


def remove_stale_folds(folder: Path | None = None, now_s: float | None = None) -> int:
    """Remove stored folds that are older than `KEPT`, or that something else than `FoldSerializer` wrote.

    Prefect reads a stored result by the serializer that the result itself names, so one that names pickle must not stay.

    Args:
        folder: Prefect's folder of results; by default that of its settings.
        now_s: seconds since 1970; by default now.
    Returns:
        how many were removed.
    """
    folder = folder or Path(PREFECT_LOCAL_STORAGE_PATH.value())
    oldest_s = (time.time() if now_s is None else now_s) - KEPT.total_seconds()
    removed = 0
    for path in folder.glob(f"{PREFIX}*"):
        try:
            if path.stat().st_mtime < oldest_s or not _is_ours(path):
                path.unlink()
                removed += 1
        except FileNotFoundError:
            continue  # another run was faster
    return removed


def _is_ours(path: Path) -> bool:
    try:
        named = json.loads(path.read_bytes())["metadata"]["serializer"]["type"]
    except (ValueError, KeyError, TypeError):
        return False
    return bool(named == FoldSerializer().type)
