"""The cache of bundles holds each whole or not at all, and never gives out a damaged one."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.model.small_model import small_bundle

from tidegate.errors import BundleError, ServiceError
from tidegate.model import bundle as bundles
from tidegate.model.bundle import GOLDEN, MANIFEST, ONNX, UBJ, Bundle
from tidegate.serving import bundle_cache
from tidegate.serving.bundle_cache import BundleCache, Entry

SIGNATURES = {"manifest.sig": b"\x01" * 64, "shadow.sig": b"\x02" * 64}


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return small_bundle(tmp_path / "made")


@pytest.fixture
def cache(tmp_path: Path) -> BundleCache:
    return BundleCache(tmp_path / "cache")


def below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_is_stored_is_read_back(cache: BundleCache, bundle: Bundle) -> None:
    cache.store("small", bundle, SIGNATURES)
    found, signatures = cache.read("small", bundle.digest)
    assert (found.manifest, found.onnx, found.ubj) == (bundle.manifest, bundle.onnx, bundle.ubj)
    assert signatures == SIGNATURES


def test_other_signatures_take_the_place_of_the_old_ones(cache: BundleCache, bundle: Bundle) -> None:
    cache.store("small", bundle, {"shadow.sig": b"s"})
    cache.store("small", bundle, SIGNATURES)
    assert cache.read("small", bundle.digest)[1] == SIGNATURES


def test_keeping_removes_every_other_bundle_and_what_a_crash_left(
    cache: BundleCache, bundle: Bundle, tmp_path: Path
) -> None:
    other = small_bundle(tmp_path / "other", seed=8)
    for one in (bundle, other):
        cache.store("small", one, SIGNATURES)
    left = tmp_path / "cache" / "small" / ".new-crash" / "bundle"
    left.mkdir(parents=True)
    entries = [Entry(2, other.digest)]
    cache.keep("small", entries)
    assert cache.entries("small") == entries
    assert {name.split("/")[0] for name in below(tmp_path / "cache" / "small")} == {"current", other.digest}
    assert not left.exists()


def test_strategies_do_not_share_and_no_name_leaves_the_folder(
    cache: BundleCache, bundle: Bundle, tmp_path: Path
) -> None:
    names = ["a", "a/b", "..", ".", "../x", "a%2Fb", ".a"]
    for at, name in enumerate(names):
        cache.keep(name, [Entry(at, bundle.digest)])
        cache.store_state(name, name)
    for at, name in enumerate(names):
        assert (cache.entries(name), cache.state(name)) == ([Entry(at, bundle.digest)], name)
    assert len(list((tmp_path / "cache").iterdir())) == len(names)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "made"]


def flip(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))


def extra(path: Path) -> None:
    path.with_name("extra").write_bytes(b"x")


DAMAGES: list[Callable[[Path], None]] = [flip, extra, Path.unlink]


@pytest.mark.parametrize("name", [ONNX, UBJ, GOLDEN, MANIFEST])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_bundle_is_removed_and_told(
    cache: BundleCache, bundle: Bundle, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    cache.store("small", bundle, SIGNATURES)
    damage(tmp_path / "cache" / "small" / bundle.digest / "bundle" / name)
    with pytest.raises(BundleError, match="the cached bundle was damaged and is removed"):
        cache.read("small", bundle.digest)
    assert below(tmp_path / "cache" / "small") == []
    cache.store("small", bundle, SIGNATURES)
    assert cache.read("small", bundle.digest)[1] == SIGNATURES


def test_a_bundle_under_the_name_of_another_is_damaged(cache: BundleCache, bundle: Bundle, tmp_path: Path) -> None:
    cache.store("small", bundle, SIGNATURES)
    (tmp_path / "cache" / "small" / bundle.digest).rename(tmp_path / "cache" / "small" / ("0" * 64))
    with pytest.raises(BundleError, match="it is another bundle"):
        cache.read("small", "0" * 64)


def test_a_damaged_bundle_is_stored_anew(cache: BundleCache, bundle: Bundle, tmp_path: Path) -> None:
    cache.store("small", bundle, SIGNATURES)
    flip(tmp_path / "cache" / "small" / bundle.digest / "bundle" / ONNX)
    cache.store("small", bundle, SIGNATURES)
    assert cache.read("small", bundle.digest)[0].onnx == bundle.onnx


def test_a_full_disk_leaves_what_was_there(
    cache: BundleCache, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.store("small", bundle, SIGNATURES)
    cache.keep("small", [Entry(1, bundle.digest)])
    cache.store_state("small", "before")
    other = small_bundle(tmp_path / "other", seed=8)
    before = below(tmp_path / "cache")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    writes: list[Callable[[], None]] = [
        lambda: cache.store("small", other, SIGNATURES),
        lambda: cache.keep("small", [Entry(2, other.digest)]),
        lambda: cache.store_state("small", "after"),
    ]
    for write in writes:
        with pytest.raises(ServiceError, match=r"cannot be written: No space left on device.*serving.cache"):
            write()
        assert below(tmp_path / "cache") == before
    monkeypatch.undo()
    assert cache.read("small", bundle.digest)[1] == SIGNATURES
    assert (cache.entries("small"), cache.state("small")) == ([Entry(1, bundle.digest)], "before")


def test_a_state_that_is_there_but_not_readable_is_not_an_absent_one(cache: BundleCache, tmp_path: Path) -> None:
    assert cache.state("small") is None
    (tmp_path / "cache" / "small" / "state").mkdir(parents=True)
    with pytest.raises(ServiceError, match="cannot be read"):
        cache.state("small")
    (tmp_path / "cache" / "small" / "state").rmdir()
    (tmp_path / "cache" / "small" / "state").write_bytes(b"\xff")
    with pytest.raises(ServiceError, match="cannot be read"):
        cache.state("small")


def contents(bundle: Bundle) -> dict[str, bytes]:
    golden = bundles.golden_bytes(bundle.golden)
    return {MANIFEST: bundle.manifest.to_bytes(), ONNX: bundle.onnx, UBJ: bundle.ubj, GOLDEN: golden}


def test_fetched_files_are_verified_and_leave_nothing_behind(
    cache: BundleCache, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passing = tmp_path / "passing"
    passing.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(passing))
    assert cache.verified(contents(bundle)).digest == bundle.digest
    with pytest.raises(BundleError) as caught:
        cache.verified(contents(bundle) | {ONNX: b"altered"})
    assert caught.value.what == "model.onnx was altered"
    assert list(passing.iterdir()) == []


def test_any_folder_that_can_be_written_does_for_the_check(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = tmp_path / "made" / MANIFEST / "not-a-folder"
    monkeypatch.setattr("tempfile.tempdir", str(nowhere))
    monkeypatch.setattr(bundle_cache, "_MEMORY", nowhere)
    cache = tmp_path / "cache"
    cache.mkdir()
    assert BundleCache(cache).verified(contents(bundle)).digest == bundle.digest
    with pytest.raises(ServiceError, match="cannot be checked, as no folder can be written"):
        BundleCache(nowhere).verified(contents(bundle))
