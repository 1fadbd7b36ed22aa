"""Locks: every package has hashes, none has an address, and no third kind of line is one."""

from pathlib import Path

import pytest
from supply.locks import Locked, NotALock, is_cargo_lock, parse, read_lock

ROOT = Path(__file__).parents[3]
LOCKS = sorted([*ROOT.glob("requirements/*.lock"), *ROOT.glob("benchmarks/requirements/*.lock")])
CARGO = ROOT / "clients" / "rust" / "crates.lock"
ONE, TWO = "a" * 64, "b" * 64


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_package_is_hashed_and_no_address_is_there(path: Path) -> None:
    locked = read_lock(path)
    assert all(one.hashes for one in locked)
    assert "://" not in path.read_text()
    assert sum(len(one.hashes) for one in locked) == path.read_text().count("--hash=")


def test_there_are_the_locks_of_development_both_images_and_the_build() -> None:
    assert {path.name for path in LOCKS} >= {"tidegate.lock", "serving.lock", "pipeline.lock", "build.lock"}


@pytest.mark.parametrize("name", ["serving", "pipeline", "build"])
def test_images_run_what_the_tests_ran(name: str) -> None:
    tested = {(one.name, one.version): set(one.hashes) for one in read_lock(ROOT / "requirements" / "tidegate.lock")}
    assert {
        one.name
        for one in read_lock(ROOT / "requirements" / f"{name}.lock")
        if set(one.hashes) != tested.get((one.name, one.version))
    } == set()


def test_packages_are_read() -> None:
    text = (
        f"uvloop[dev]==0.22.1 ; python_full_version < '3.14' and (platform_machine in 'x86_64 AMD64' or sys_platform != 'win32') \\\n"
        f"    --hash=sha256:{ONE} \\\n    --hash=sha256:{TWO}\nx==1\\\n    --hash=sha256:{ONE}\n"
    )
    uvloop, x = parse(text, "here")
    assert (uvloop.name, uvloop.version, uvloop.hashes) == ("uvloop", "0.22.1", (ONE, TWO))
    assert x == Locked("x", "1", None, (ONE,))
    there = {"python_full_version": "3.13.1", "platform_machine": "x86_64", "sys_platform": "linux"}
    assert uvloop.needed(there)
    assert not uvloop.needed({**there, "python_full_version": "3.14.0"})
    assert not uvloop.needed({**there, "platform_machine": "riscv64", "sys_platform": "win32"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x==1\n",
        f"    --hash=sha256:{ONE}\n",
        f"x==1 \\\n    --hash=sha256:{ONE[:-1]}\n",
        f"x==1 \\\n    --hash=md5:{ONE[:32]}\n",
        f"x>=1 \\\n    --hash=sha256:{ONE}\n",
        f"x @ https://registry.example/x-1.whl \\\n    --hash=sha256:{ONE}\n",
        f"--index-url https://registry.example/simple\nx==1 \\\n    --hash=sha256:{ONE}\n",
        f"--trusted-host registry.example\nx==1 \\\n    --hash=sha256:{ONE}\n",
        f"-e ./x\nx==1 \\\n    --hash=sha256:{ONE}\n",
        f"x==1 \\\n    --hash=sha256:{ONE}\ny==2\n",
        f"x==1 ; {'a' * 41} \\\n    --hash=sha256:{ONE}\n",
        f"# token = 'abc'\nx==1 \\\n    --hash=sha256:{ONE}\n",
    ],
)
def test_everything_else_is_no_lock(text: str) -> None:
    with pytest.raises(NotALock, match=r"^here"):
        parse(text, "here")


def test_a_long_strange_line_is_refused_at_once() -> None:
    with pytest.raises(NotALock):
        parse("x==1 ; " + "a_b" * 100_000 + "!", "here")


def test_cargos_lock_has_checksums_and_no_address() -> None:
    text = CARGO.read_text()
    assert is_cargo_lock(text)
    assert not is_cargo_lock(
        text.replace("checksum = ", 'source = "registry+https://registry.example"\nchecksum = ', 1)
    )
    assert not is_cargo_lock(text.replace('version = "', 'password = "x"\nversion = "', 1))
    assert not is_cargo_lock("x==1")
