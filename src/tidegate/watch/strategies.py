"""Which models are watched and by which rules; strategy files that change are read again."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tidegate.errors import ConfigurationError
from tidegate.strategy.strategy import Rollback, Strategy, find_strategy, load_strategy

log = logging.getLogger(__name__)

_Stamp = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Watched:
    """One model: the name under which it is registered and served, and the strategy whose rules hold for it."""

    model: str
    strategy: Strategy

    @property
    def rules(self) -> Rollback:
        """The rules."""
        return self.strategy.rollback


class Strategies:
    """The strategies of a project.

    Args:
        folder: of strategy files.
        names: strategies to watch; empty: all, and then a file that is wrong is left out and told in the log.

    Raises:
        ConfigurationError: a strategy that was named has no file, or its file is wrong.
    """

    def __init__(self, folder: Path, names: Sequence[str] = ()) -> None:
        self._folder = folder
        self._names = tuple(names)
        self._read: dict[Path, tuple[_Stamp, tuple[Watched, ...]]] = {}
        self._refused: dict[Path, _Stamp] = {}
        for name in self._names:
            _models(find_strategy(name, folder))

    def watched(self) -> list[Watched]:
        """All models now, by file. A file that has become wrong leaves the rules as they were."""
        paths = sorted(self._paths())
        self._read = {path: found for path, found in self._read.items() if path in paths}
        for path in paths:
            self._look(path)
        return [one for path in paths if path in self._read for one in self._read[path][1]]

    @property
    def wrong(self) -> list[Path]:
        """Files that cannot be read."""
        return sorted(self._refused)

    def _paths(self) -> Iterable[Path]:
        if not self._names:
            return self._folder.glob("*.yaml")
        named = (
            Path(name) if name.endswith((".yaml", ".yml")) else self._folder / f"{name}.yaml" for name in self._names
        )
        return {path for path in named if path.exists() or path in self._read}

    def _look(self, path: Path) -> None:
        try:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            if path in self._read and self._read[path][0] == stamp:
                self._refused.pop(path, None)
                return
            self._read[path] = (stamp, _models(load_strategy(path)))
            self._refused.pop(path, None)
        except (ConfigurationError, OSError) as error:
            stamp = (0, 0) if isinstance(error, OSError) else stamp
            if self._refused.get(path) != stamp:
                kept = "the rules read before still hold" if path in self._read else "it is not watched"
                log.error("%s; %s", error, kept)  # noqa: TRY400  the message says all
            self._refused[path] = stamp


def _models(strategy: Strategy) -> tuple[Watched, ...]:
    return tuple(Watched(single.name, strategy) for single in strategy.single())
