"""A bundle is read whole and unaltered, or not at all."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from tests.unit.model.small_model import golden_vector, small_bundle, small_files, small_manifest

from tidegate.errors import BundleError
from tidegate.model.bundle import DECISION, GOLDEN, MANIFEST, ONNX, UBJ, load_bundle, sha256, verify_files, write_bundle
from tidegate.model.manifest import Manifest

FILES = (ONNX, UBJ, GOLDEN, MANIFEST)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    small_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def rewrite_manifest(folder: Path, **changes: object) -> None:
    """An attacker's manifest: canonical, with other contents."""
    content = json.loads((folder / MANIFEST).read_bytes()) | changes
    (folder / MANIFEST).write_text(json.dumps(content, sort_keys=True, separators=(",", ":")))


def test_a_bundle_comes_back_as_it_was_written(folder: Path) -> None:
    files = small_files()
    read = load_bundle(folder)
    assert read.manifest == small_manifest(files)
    assert (read.onnx, read.ubj) == (files[ONNX], files[UBJ])
    assert read.golden == (golden_vector(1300), golden_vector(1400))
    assert read.digest == sha256((folder / MANIFEST).read_bytes()) == read.manifest.digest()
    assert verify_files(folder) == read.manifest


@pytest.mark.parametrize("name", FILES)
def test_every_flipped_byte_is_found(folder: Path, name: str) -> None:
    original = (folder / name).read_bytes()
    rng = np.random.default_rng(5)
    for at in {0, len(original) - 1, *rng.integers(0, len(original), 60).tolist()}:
        altered = bytearray(original)
        altered[at] ^= 1 << int(rng.integers(0, 8))
        (folder / name).write_bytes(altered)
        # A flipped byte of the manifest may still be a manifest: then it has another digest, which the ledger does not know.
        try:
            found = load_bundle(folder)
        except BundleError:
            continue
        assert name == MANIFEST
        assert found.digest != sha256(original)
    (folder / name).write_bytes(original)
    load_bundle(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", ["missing", "cut", "longer", "empty"])
def test_a_file_that_is_not_whole_is_refused(folder: Path, name: str, change: str) -> None:
    content = (folder / name).read_bytes()
    if change == "missing":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes({"cut": content[:-1], "longer": content + b"\n", "empty": b""}[change])
    with pytest.raises(BundleError, match=name.replace(".", r"\.")):
        load_bundle(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json cannot be read"):
        load_bundle(tmp_path / "none")


def test_a_manifest_must_name_exactly_the_three_files(folder: Path) -> None:
    files = json.loads((folder / MANIFEST).read_bytes())["files"]
    for wrong in ({}, {ONNX: files[ONNX]}, files | {"notes.txt": "0" * 64}, files | {"../model.onnx": files[ONNX]}):
        rewrite_manifest(folder, files=wrong)
        with pytest.raises(BundleError, match="names the wrong files"):
            load_bundle(folder)


@pytest.mark.parametrize("name", ["evil.pkl", "model.onnx.bak", ".hidden", "decision.json.tmp"])
def test_a_file_that_nothing_names_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"x")
    with pytest.raises(BundleError, match=f"holds what no manifest names: {re.escape(name)}"):
        load_bundle(folder)


def test_a_folder_inside_a_bundle_is_refused(folder: Path) -> None:
    (folder / "more").mkdir()
    with pytest.raises(BundleError, match="holds what no manifest names: more"):
        verify_files(folder)


def test_the_decision_is_written_after_the_manifest_and_is_known(folder: Path) -> None:
    (folder / DECISION).write_bytes(b"{}")
    load_bundle(folder)


def test_a_manifest_that_is_not_canonical_is_refused(folder: Path) -> None:
    content = json.loads((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_text(json.dumps(content, indent=1, sort_keys=True))
    with pytest.raises(BundleError, match="not in canonical form"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "changes", [{"schema_version": 2}, {"unknown": 1}, {"kind": "live"}, {"lookback": "many"}, {"windows": None}]
)
def test_a_manifest_of_another_schema_is_refused(folder: Path, changes: dict[str, object]) -> None:
    rewrite_manifest(folder, **changes)
    with pytest.raises(BundleError, match="not a manifest of schema version 1"):
        load_bundle(folder)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_a_manifest_with_a_number_that_json_does_not_know_is_refused(folder: Path, value: str) -> None:
    text = (folder / MANIFEST).read_text()
    assert '"label_rate":0.5' in text
    (folder / MANIFEST).write_text(text.replace('"label_rate":0.5', f'"label_rate":{value}'))
    with pytest.raises(BundleError, match=r"manifest\.json"):
        load_bundle(folder)


def test_golden_vectors_are_required(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"golden\.json is empty"):
        small_bundle(tmp_path / "empty", golden=())
    files = small_files() | {GOLDEN: b'[{"symbol":"BTC/USDT"}]'}
    with pytest.raises(BundleError, match="holds no golden vectors"):
        write_bundle(tmp_path / "wrong", small_manifest(files), files)


def test_a_bundle_is_written_once(folder: Path) -> None:
    before = load_bundle(folder)
    with pytest.raises(BundleError, match="is not empty"):
        small_bundle(folder)
    assert load_bundle(folder).digest == before.digest


def test_files_that_the_manifest_does_not_name_are_not_written_as_a_bundle(tmp_path: Path) -> None:
    files = small_files()
    with pytest.raises(BundleError):
        write_bundle(tmp_path / "b", small_manifest(files), files | {ONNX: b"other"})


def test_a_manifest_round_trips_and_its_digest_is_stable() -> None:
    manifest = small_manifest(small_files())
    again = Manifest.model_validate_json(manifest.to_bytes())
    assert again == manifest
    assert again.to_bytes() == manifest.to_bytes()
    assert again.digest() == manifest.digest()
    assert manifest.model_copy(update={"seed": 8}).digest() != manifest.digest()


def test_numbers_round_trip_to_the_last_bit() -> None:
    odd = {"third": 1 / 3, "tiny": 5e-324, "huge": 1.7976931348623157e308, "sum": 0.1 + 0.2, "none": None}
    manifest = small_manifest(small_files(), out_of_sample=odd)
    assert Manifest.model_validate_json(manifest.to_bytes()).out_of_sample == odd
