"""A fold whose tables lie in files is the fold that memory would have given, and so is its bundle's model."""

import dataclasses
from pathlib import Path

from tests.integration.pipeline.small_market import job, settings, strategy

from tidegate.dataset.spill import is_spilled
from tidegate.pipeline import fold_codec
from tidegate.pipeline.checks import reproducible
from tidegate.pipeline.data import gather, prepare
from tidegate.pipeline.fold import run_fold
from tidegate.pipeline.fold_identity import fold_identity
from tidegate.settings.settings import Settings


def limited(installation: Settings, megabytes: float) -> Settings:
    compute = installation.compute.model_copy(update={"max_training_mb": megabytes})
    return installation.model_copy(update={"compute": compute})


def test_external_memory_changes_no_byte_of_a_fold(tmp_path: Path) -> None:
    chosen, installation = strategy(), settings(tmp_path)
    within = job(chosen, installation)
    without = dataclasses.replace(within, settings=limited(installation, 0))
    gathered = gather(within)
    first, second = prepare(within, gathered), prepare(without, gathered)
    folds = [run_fold(each.dataset, each.folds[-1], chosen, 1) for each in (first, second)]

    assert [is_spilled(fold.rows.x) for fold in folds] == [False, True]
    assert fold_codec.dumps(folds[0]) == fold_codec.dumps(folds[1])
    identities = {fold_identity(each.dataset, each.folds[-1], chosen, 1) for each in (first, second)}
    assert len(identities) == 1, "a stored fold may be taken whichever way it was trained"
    assert reproducible(second.dataset, folds[0], chosen, 1, 1).value == 0
    assert list((tmp_path / "cache" / "training").iterdir()) == []
