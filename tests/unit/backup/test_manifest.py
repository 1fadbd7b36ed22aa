"""Paths in a backup's manifest lead nowhere but below the folder that is restored."""

import json
from typing import Any

import pytest

from tidegate.backup.manifest import BackupManifest, read_manifest
from tidegate.errors import BackupError

DIGEST = "0" * 64


def manifest(**changes: Any) -> dict[str, Any]:  # noqa: ANN401  of every field's type
    path, home, copy, artifact = (
        changes.get(name, good)
        for name, good in (
            ("path", "/srv/data/mlruns/artifacts"), ("home", "mlruns/artifacts"), ("copy", "/backup/staging/ledger.db"), ("artifact", "1/bundle/model.onnx"),
        )
    )  # fmt: skip
    return {
        "id": "b1", "tidegate_version": "0.1.0", "taken_at": 1, "reason": "test",
        "databases": [{"name": "ledger", "kind": "sqlite", "path": copy, "bytes": 1, "sha256": DIGEST}],
        "parts": [{"name": "artifacts", "path": path, "home": home, "files": 1, "bytes": 1}],
        "artifacts": {artifact: DIGEST}, "versions": [], "ledger_head": "", "events_head": "", "warnings": [],
    }  # fmt: skip


def read(**changes: str) -> BackupManifest:
    return read_manifest(json.dumps(manifest(**changes)).encode(), "b1")


def test_a_right_one_is_read() -> None:
    assert read().parts[0].home == "mlruns/artifacts"


@pytest.mark.parametrize(
    "forged",
    [
        {"home": "/etc"},
        {"home": "../elsewhere"},
        {"home": "a/../../elsewhere"},
        {"home": ""},
        {"home": "."},
        {"path": "/srv/../../etc"},
        {"copy": "../../etc/passwd"},
        {"artifact": "../../etc/shadow"},
        {"artifact": "/etc/shadow"},
        {"artifact": "a\0b"},
    ],
    ids=str,
)
def test_a_forged_one_is_refused(forged: dict[str, str]) -> None:
    with pytest.raises(BackupError, match="cannot be read: 1 faults"):
        read(**forged)
