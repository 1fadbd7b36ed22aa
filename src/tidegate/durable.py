"""What power loss must not take: a file's content, a folder's names."""

import os
import secrets
from pathlib import Path


def sync(path: Path) -> None:
    """Make a file's content, or the names in a folder, durable.

    Raises:
        OSError: it is not there, or the disk refuses.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, text: str) -> None:
    """Write a file of text: readers, and whoever comes after a power cut, find the old content or the new one, never a part.

    Args:
        path: the file; its folder is made if it is missing.
        text: its content; lines end as they do in it.
    Raises:
        OSError: it cannot be written; what stood there before still stands.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        sync(temporary)
        os.replace(temporary, path)  # noqa: PTH105  tests cut in at os.replace
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)
