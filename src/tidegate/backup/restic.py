"""restic as a program: the only place that runs it. Passwords and addresses go by its environment, never on a command line.

::

    snapshot of a backup     tags: tidegate, backup=<id>, holds=<strategy>/v<version>@<digest> ...
    its closing record       tags: tidegate-closing, backup=<id>; one small file, written last

What has no closing record is no backup: the process was killed, or something could not be read.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from tidegate.errors import BackupError, ConfigurationError

HOST: Final = "tidegate"
"""Of every snapshot: the next backup finds what it need not read again, on whatever machine it runs."""
_SOME_UNREADABLE: Final = 3
_ONLY_READ: Final = ("restore", "check")
_LONGEST: Final = 800
_NOISE: Final = re.compile(
    r"^(github\.com/|main\.|runtime\.)|^\s+\S+\.(go|s):\d+$|returned error, retrying after|^unable to create temporary directory for cache"
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot in a repository. `taken_at` is UTC ms, `paths` is what it was taken of."""

    id: str
    taken_at: int
    tags: tuple[str, ...]
    paths: tuple[str, ...]

    def values(self, name: str) -> tuple[str, ...]:
        """What its tags `<name>=...` say."""
        return tuple(tag.partition("=")[2] for tag in self.tags if tag.startswith(f"{name}="))


@dataclass(frozen=True, slots=True)
class Summary:
    """What a snapshot came to.

    Attributes:
        files, bytes: all that it holds.
        added_bytes: what the repository did not have yet, before compression.
        unreadable: paths that could not be read, with the reason.
    """

    files: int
    bytes: int
    added_bytes: int
    unreadable: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Restic:
    """One repository.

    Attributes:
        address: where it is.
        setting: that names it, for messages.
        program: restic, by name or path.
        environment: of the program; holds the password's file and the credentials.
        timeout_s: before one call is given up.
    """

    address: str
    setting: str
    program: str
    environment: Mapping[str, str] = field(repr=False)
    timeout_s: float

    @property
    def shown(self) -> str:
        """The address without a password."""
        return re.sub(r"(?<=://)([^/@:]*):[^/]*@", r"\1:***@", self.address)

    @property
    def _is_mounted_to_be_read(self) -> bool:
        locks = Path(self.address) / "locks"
        return self.address.startswith("/") and locks.is_dir() and not os.access(locks, os.W_OK)

    def create(self) -> bool:
        """Make the repository where it does not exist yet; whether it was made.

        Raises:
            BackupError: it cannot be made, or is there with another password.
        """
        if self._run("cat", "config").returncode == 0:
            return False
        self._require("make the repository", self._run("init"))
        return True

    def back_up(
        self, paths: Sequence[Path], tags: Sequence[str], *, parent: str | None = None, held: int | None = None
    ) -> Summary:
        """Take a snapshot of files and folders.

        Args:
            paths: absolute, and there: restic would pass over one that is missing.
            tags: of the snapshot.
            parent: a snapshot; files that have its size, time and inode are taken from it without being read. None: all are read.
            held: a file descriptor that the program keeps open, so that our lock holds for as long as it runs.

        Raises:
            BackupError: nothing was stored, or restic did not say what.
        """
        options = [part for tag in tags for part in ("--tag", tag)]
        known = ["--force"] if parent is None else ["--parent", parent]
        # What is staged by hard links has new change times and the old content.
        command = ("backup", "--json", "--host", HOST, "--ignore-ctime", *known, *options, "--", *map(str, paths))
        done = self._run(*command, held=held)
        if done.returncode not in {0, _SOME_UNREADABLE}:
            self._require("take a snapshot", done)
        lines = [*_json_lines(done.stdout), *_json_lines(done.stderr)]
        summary = next((line for line in lines if line.get("message_type") == "summary"), None)
        if summary is None:
            raise self._failed("say what it stored", done)
        unreadable = tuple(_fault(line) for line in lines if line.get("message_type") == "error")
        if done.returncode == _SOME_UNREADABLE and not unreadable:
            raise self._failed("read everything", done)
        return Summary(
            files=int(summary["total_files_processed"]),
            bytes=int(summary["total_bytes_processed"]),
            added_bytes=int(summary["data_added"]),
            unreadable=unreadable,
        )

    def back_up_text(self, name: str, text: str, tags: Sequence[str]) -> None:
        """Take a snapshot of one small file.

        Raises:
            BackupError: it was not stored.
        """
        options = [part for tag in tags for part in ("--tag", tag)]
        command = ("backup", "--json", "--host", HOST, "--stdin", "--stdin-filename", name, *options)
        self._require("take a snapshot", self._run(*command, text=text.encode()))

    def snapshots(self) -> list[Snapshot]:
        """All, oldest first.

        Raises:
            BackupError: the repository cannot be read.
        """
        done = self._require("list its snapshots", self._run("snapshots", "--json", "--no-lock"))
        try:
            found = json.loads(done.stdout) or []
            listed = [
                Snapshot(one["id"], _ms(one["time"]), tuple(one.get("tags") or ()), tuple(one["paths"]))
                for one in found
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise self._failed("list its snapshots", done) from error
        return sorted(listed, key=lambda one: (one.taken_at, one.id))

    def read(self, snapshot: str, path: str) -> bytes:
        """One small file of a snapshot.

        Raises:
            BackupError: it is not there, or damaged.
        """
        return self._require(f"give {path}", self._run("dump", "--no-lock", snapshot, path)).stdout

    def restore(self, snapshot: str, target: Path, paths: Sequence[str]) -> None:
        """Restore files and folders of a snapshot, below a target by their whole paths.

        Raises:
            BackupError: something is damaged or cannot be written.
        """
        options = [part for path in paths for part in ("--include", _literal(path))]
        self._require("restore", self._run("restore", snapshot, "--target", str(target), *options))

    def forget(self, snapshots: Sequence[str]) -> None:
        """Remove snapshots, and all data that no other needs.

        Raises:
            BackupError: they stay, as somebody else uses the repository, or it is damaged.
        """
        if snapshots:
            self._require("forget old snapshots", self._run("forget", "--prune", *snapshots))

    def check(self, read: Literal["all"] | float) -> list[str]:
        """Look for damage; what was found, nothing where all is well.

        Args:
            read: share of the data that is read and compared with its digests, percent, or all of it. The structure is always looked at.

        Raises:
            BackupError: somebody else is working on it.
        """
        option = ["--read-data"] if read == "all" else [f"--read-data-subset={read:g}%"] if read else []
        done = self._run("check", *option)
        if done.returncode == 0:
            return []
        if b"already locked" in done.stderr:
            raise self._failed("be checked", done)
        return _told(done.stderr)[:20] or [f"restic check ended with exit code {done.returncode}"]

    def _run(
        self, *arguments: str, text: bytes | None = None, held: int | None = None
    ) -> "subprocess.CompletedProcess[bytes]":
        """Run restic; where a lock is in the way, once more after locks of dead processes were removed. Those of living ones stay.

        Where no lock can be written, as on a disk that is mounted to be read, what only reads does without: nobody writes there.
        """
        # restic tries for most of a minute to write its lock.
        if arguments[0] in _ONLY_READ and self._is_mounted_to_be_read:
            return self._run_once(arguments[0], "--no-lock", *arguments[1:], text=text, held=held)
        done = self._run_once(*arguments, text=text, held=held)
        if done.returncode and b"already locked" in done.stderr:
            self._run_once("unlock")
            done = self._run_once(*arguments, text=text, held=held)
        elif done.returncode and arguments[0] in _ONLY_READ and b"unable to create lock" in done.stderr:
            done = self._run_once(arguments[0], "--no-lock", *arguments[1:], text=text, held=held)
        return done

    def _run_once(
        self, *arguments: str, text: bytes | None = None, held: int | None = None
    ) -> "subprocess.CompletedProcess[bytes]":
        try:
            return subprocess.run(  # noqa: S603  the command is built here
                (self.program, *arguments),
                input=b"" if text is None else text,
                capture_output=True,
                check=False,
                env={**self.environment, "RESTIC_REPOSITORY": self.address},
                timeout=self.timeout_s,
                pass_fds=() if held is None else (held,),
            )
        except FileNotFoundError as error:
            raise ConfigurationError(
                f"the program {self.program} is not on this machine",
                setting="backup.restic",
                next_step="install restic (Debian: apt-get install restic), or name its path",
            ) from error
        except subprocess.TimeoutExpired as error:
            raise BackupError(
                f"restic {arguments[0]} on {self.shown} did not end",
                expected=f"an end within {self.timeout_s:g} s",
                setting="backup.timeout_s",
                next_step="see whether the repository answers; raise the limit if it is just slow",
            ) from error
        except OSError as error:
            raise ConfigurationError(
                f"the program {self.program} cannot be run: {error}", setting="backup.restic"
            ) from error

    def _require(self, what: str, done: "subprocess.CompletedProcess[bytes]") -> "subprocess.CompletedProcess[bytes]":
        if done.returncode:
            raise self._failed(what, done)
        return done

    def _failed(self, what: str, done: "subprocess.CompletedProcess[bytes]") -> BackupError:
        said = " ".join(" ".join(_told(done.stderr)).replace(self.address, self.shown).split())[-_LONGEST:]
        step = "see what restic says; nothing of the installation was changed"
        if "wrong password" in said:
            step = "the password is another one than the repository was made with: correct the password's file"
        elif "Is there a repository" in said:
            step = "if this is the first backup, `tidegate backup --init` makes the repository; else mount its disk or correct the address"
        elif "already locked" in said:
            step = "another restic works on it: try again when it is done"
        return BackupError(
            f"the repository {self.shown} could not {what}: {said}", setting=self.setting, next_step=step
        )


def _told(output: bytes) -> list[str]:
    """What restic said, without the places in its own program and without its tries: the reason stands before them."""
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    return [line for line in lines if not _NOISE.search(line)]


def _json_lines(output: bytes) -> Iterator[dict[str, Any]]:
    for line in output.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def _fault(line: Mapping[str, Any]) -> tuple[str, str]:
    """A path and the reason, of a line such as `{"item": ..., "error": {"Op": "open", "Err": 13}}`; newer versions write a message."""
    error = line.get("error")
    reason = error.get("message", error.get("Err", error)) if isinstance(error, dict) else error
    return str(line.get("item", "")), os.strerror(reason) if isinstance(reason, int) else str(reason)[:200]


def _literal(path: str) -> str:
    """A path as a pattern that fits it alone."""
    return re.sub(r"([\\*?\[\]])", r"\\\1", path)


def _ms(text: str) -> int:
    # Nanoseconds are more than Python reads.
    cut = re.sub(r"(\.\d{1,6})\d*", r"\1", text)
    return int(datetime.fromisoformat(cut).timestamp() * 1000)
