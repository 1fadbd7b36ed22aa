"""What the newest backup holds and an installation has lost, as literal manifests."""

from typing import Any

import pytest
from tests.unit.backup.test_bundles import rows

from tidegate.backup.chains import Chains
from tidegate.backup.continuity import Before, losses, require_no_loss
from tidegate.backup.listing import Listed
from tidegate.backup.manifest import BackupManifest, Contents, CopiedDatabase
from tidegate.errors import BackupError
from tidegate.registry.schema import GENESIS

FILES = {"artifacts": 4, "bars": 9, "runs": 2}
NO_ROWS = Chains((), GENESIS, GENESIS)


def manifest(
    files: dict[str, int] | None = None, databases: tuple[str, ...] = ("ledger", "mlflow"), head: str = GENESIS
) -> BackupManifest:
    counted = FILES if files is None else files
    copies: Any = [CopiedDatabase.model_validate({"name": one, "kind": "sqlite", "path": f"/s/{one}.db", "bytes": 1, "sha256": ""}) for one in databases]  # fmt: skip
    parts = [Contents.model_validate({"name": name, "path": f"/p/{name}", "home": name, "files": count, "bytes": 1}) for name, count in counted.items()]  # fmt: skip
    return BackupManifest(
        id="one", tidegate_version="1", taken_at=1, reason="test", databases=tuple(copies), parts=tuple(parts),
        artifacts={"a": "1", "b": "2"}, versions=(), ledger_head=head, events_head=GENESIS, warnings=(),
    )  # fmt: skip


def of(then: BackupManifest | None, fault: str = "") -> Before:
    return Before(Listed("one", 1, 6, frozenset(), "snapshot", "closing", "/manifest.json"), then, fault)


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (manifest(), []),
        (manifest({"artifacts": 1, "bars": 1, "runs": 1, "snapshots": 3}), []),
        (manifest({"artifacts": 4, "runs": 2}), ["the folder bars is not there; it had 9 files"]),
        (manifest({**FILES, "bars": 0}), ["the folder bars is empty; it had 9 files"]),
        (manifest(databases=("ledger",)), ["the database mlflow is not there"]),
    ],
)
def test_what_is_lost_is_named(now: BackupManifest, told: list[str]) -> None:
    assert losses(manifest(), now, NO_ROWS) == told


def test_a_ledger_without_the_row_of_then_is_lost_and_one_that_went_on_is_not() -> None:
    known = rows(("a", "promote", 1), ("a", "promote", 2))
    then = manifest(head="h")
    went_on = [row.__class__(**{**{name: getattr(row, name) for name in row.__slots__}, "row_hash": "h"}) for row in known[:1]]  # fmt: skip
    assert losses(then, manifest(), Chains((*went_on, known[1]), "", "")) == []
    for chains in (NO_ROWS, Chains(tuple(known), "", "")):
        (told,) = losses(then, manifest(), chains)
        assert "the promotion ledger is another one, or was cut off" in told


def test_a_loss_refuses_unless_a_person_has_said_that_it_is_right() -> None:
    lost = manifest({"artifacts": 4, "runs": 2})
    with pytest.raises(BackupError, match=r"newest backup one holds: the folder bars.*--accept-loss"):
        require_no_loss(of(manifest()), lost, NO_ROWS, accept=False)
    assert require_no_loss(of(manifest()), lost, NO_ROWS, accept=True) == [
        "lost since backup one: the folder bars is not there; it had 9 files"
    ]
    assert require_no_loss(of(manifest()), manifest(), NO_ROWS, accept=False) == []


def test_without_a_backup_or_with_a_damaged_one_a_new_one_is_taken() -> None:
    assert require_no_loss(Before(), manifest(), NO_ROWS, accept=False) == []
    (told,) = require_no_loss(of(None, "damaged"), manifest(), NO_ROWS, accept=False)
    assert told == "nothing was compared with the newest backup: damaged"
    assert (Before().number, of(manifest()).number) == (1, 7)


@pytest.mark.parametrize(
    ("artifacts", "parent"),
    [
        ({"a": "1", "b": "2"}, "snapshot"),
        ({"a": "1", "new": "3"}, "snapshot"),
        ({}, "snapshot"),
        ({"a": "1", "b": "other"}, None),
    ],
)
def test_all_is_read_again_where_an_artifact_was_altered(artifacts: dict[str, str], parent: str | None) -> None:
    assert of(manifest()).parent_for(artifacts) == parent
    assert of(None, "damaged").parent_for(artifacts) is None
    assert Before().parent_for(artifacts) is None
