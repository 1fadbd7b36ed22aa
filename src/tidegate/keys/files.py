"""Key files: written whole or not at all, read only when nobody else could have read or changed them."""

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tidegate.durable import sync
from tidegate.errors import ConfigurationError

PRIVATE, PUBLIC = 0o600, 0o644


def read_private(path: Path, setting: str) -> bytes:
    """The content of a file that only its owner may read.

    Raises:
        ConfigurationError: it is missing or cannot be read, or its group or others have rights on it.
    """
    return _read(path, setting, forbidden=0o077, expected="rights for its owner alone (mode 0600)", mend="600")


def read_trusted(path: Path, setting: str) -> bytes:
    """The content of a file that anybody may read but not everybody may change.

    Raises:
        ConfigurationError: it is missing or cannot be read, or everybody may write it.
    """
    return _read(path, setting, forbidden=0o002, expected="a file that not everybody may write", mend="o-w")


def _read(path: Path, setting: str, *, forbidden: int, expected: str, mend: str) -> bytes:
    try:
        with path.open("rb") as file:
            # The rights of the very file that is read, not of one that takes its place meanwhile.
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(f"key file {path} cannot be read: {reason}", setting=setting) from error
    if mode & forbidden:
        raise ConfigurationError(
            f"key file {path} is too open",
            expected=expected,
            actual=f"mode {mode:04o}",
            setting=setting,
            next_step=f"chmod {mend} {path}; if others may have used it meanwhile, make a new key",
        )
    return content


def write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a file that must not exist yet; it appears whole or not at all.

    Raises:
        ConfigurationError: it exists already, or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _written(path, content, mode)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        os.link(temporary, path)  # unlike a rename, a link never replaces a file
        sync(path.parent)
    except FileExistsError as error:
        raise ConfigurationError(
            f"{path} exists and is never overwritten", next_step="name another folder, or move the file away"
        ) from error
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        temporary.unlink()


def replace(path: Path, content: bytes, mode: int) -> None:
    """Write a file over what is there: readers find the old content or the new one, never a part.

    A file that belongs to somebody else still does afterwards, such as to a container's user when root changes it.

    Raises:
        ConfigurationError: it cannot be written; the old content stays.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        owner = path.stat() if path.exists() else None
        temporary = _written(path, content, mode)
        try:
            if owner is not None and (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                os.chown(temporary, owner.st_uid, owner.st_gid)
            temporary.replace(path)
        except OSError:
            temporary.unlink()
            raise
        sync(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error


@contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Hold a file's folder meanwhile, so that two commands that read, change and write the file do not lose a change.

    Raises:
        ConfigurationError: the folder cannot be made or opened.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _written(path: Path, content: bytes, mode: int) -> Path:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        Path(name).unlink()
        raise
    return Path(name)


def _unwritable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"{path} cannot be written: {error.strerror or type(error).__name__}")
