"""Takes out of an environment what a server never uses, and says what each rule spared.

Run by the build: `python slim.py ENVIRONMENT`. The build then imports every module of the server, and the container's tests ask it
for predictions, so that a rule which takes too much is noticed before an image leaves.
"""

# ruff: noqa: INP001, T201  a script of the build, whose log shows what it prints
import shutil
import struct
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

_ELF = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")


def main(environment: Path) -> None:
    """Slim an environment and print a line a rule."""
    (packages,) = environment.glob("lib/python3*/site-packages")
    before = _size(packages)
    print(f"{before / 1e6:8.1f} MB installed")
    for name, found in _rules(packages):
        print(f"{-sum(_remove(path) for path in found) / 1e6:8.1f} MB {name}")
    stripped = sum(strip(path) for path in packages.rglob("*.so*") if path.is_file() and not path.is_symlink())
    print(f"{-stripped / 1e6:8.1f} MB symbols and debug information of libraries")
    print(f"{_size(packages) / 1e6:8.1f} MB left")
    programs = environment / "bin"
    for path in programs.iterdir():
        if not path.name.startswith("python"):
            _remove(path)


def _rules(packages: Path) -> Iterable[tuple[str, list[Path]]]:
    """What is taken out: (reason, paths)."""

    def anywhere(pattern: str, keep: Callable[[Path], bool] = lambda _path: False) -> list[Path]:
        return [path for path in packages.rglob(pattern) if not keep(path)]

    yield "tests of packages", [path for path in anywhere("tests") + anywhere("test") if path.is_dir()]
    yield (
        "type stubs, headers and sources of extensions",
        [path for ending in ("pyi", "pxd", "pyx", "h", "hpp", "c", "a") for path in anywhere(f"*.{ending}")]
        + list(packages.glob("*-stubs")),
    )
    onnxruntime, numpy = packages / "onnxruntime", packages / "numpy"
    # The library for programs in C: Python's module has the whole run time linked in and does not load it.
    yield "ONNX Runtime for programs in C", list(onnxruntime.glob("capi/libonnxruntime.so*"))
    tools = ("backend", "datasets", "quantization", "tools", "transformers")
    yield "ONNX Runtime's tools for making models", [onnxruntime / name for name in tools]
    yield "NumPy's Fortran compiler and packagers", [numpy / name for name in ("f2py", "_pyinstaller")]
    yield "source maps of the documentation's scripts", list((packages / "swagger_ui_bundle").rglob("*.map"))


def _remove(path: Path) -> int:
    """Remove a file or folder and return its size in bytes, 0 where an outer folder took it along."""
    if not path.exists() and not path.is_symlink():
        return 0
    size = _size(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
    return size


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.lstat().st_size for file in files if not file.is_dir())


def strip(path: Path) -> int:
    """Cut what no loader reads off a shared library: all that lies behind its segments (symbols, debug information, section table).

    Args:
        path: a library; anything but a 64-bit little-endian ELF file is left alone.
    Returns:
        Bytes cut.
    """
    content = path.read_bytes()
    if content[:6] != b"\x7fELF\x02\x01" or len(content) < _ELF.size:
        return 0
    header = list(_ELF.unpack_from(content))
    segments_at, segment_size, count = header[5], header[9], header[10]
    end: int = max(_ELF.size, segments_at + segment_size * count)
    for number in range(count):
        _kind, _flags, offset, _address, _physical, in_file, _in_memory, _align = _SEGMENT.unpack_from(
            content, segments_at + number * segment_size
        )
        end = max(end, offset + in_file)
    if end >= len(content):
        return 0
    header[6] = header[12] = header[13] = 0  # no section table any more
    path.write_bytes(_ELF.pack(*header) + content[_ELF.size : end])
    return len(content) - end


if __name__ == "__main__":
    main(Path(sys.argv[1]))
