"""What every command needs: the project's folder and settings."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from tidegate.cli.output import errors
from tidegate.errors import ConfigurationError
from tidegate.settings.loading import load_settings
from tidegate.settings.settings import Settings
from tidegate.strategy.strategy import Strategy, find_strategy, load_strategy


@dataclass(frozen=True, slots=True)
class Project:
    """A project's folder and its settings."""

    root: Path
    settings: Settings

    def strategy(self, name: str) -> Strategy:
        """A strategy by name or path."""
        return find_strategy(name, self.settings.paths.strategies)

    def models(self, name: str) -> tuple[str, ...]:
        """Names of a strategy's models, under which the registry and the ledgers keep them: its own, or one a symbol.

        Args:
            name: of a strategy, or of one of its models.

        Raises:
            ConfigurationError: there is neither; the message names the known strategies.
        """
        return tuple(single.name for single in self._singles(name))

    def single(self, name: str) -> Strategy:
        """The strategy of one model.

        Args:
            name: of a strategy that has one model, or of a model.

        Raises:
            ConfigurationError: there is neither, or the strategy has several models; the message names what is known.
        """
        found = self._singles(name)
        if len(found) > 1:
            names = " or ".join(single.name for single in found)
            raise ConfigurationError(f"{name} has one model a symbol", expected=names, actual=name)
        return found[0]

    def _singles(self, name: str) -> tuple[Strategy, ...]:
        folder = self.settings.paths.strategies
        try:
            return tuple(find_strategy(name, folder).single())
        except ConfigurationError:
            for path in folder.glob("*.yaml"):
                with suppress(ConfigurationError):
                    for single in load_strategy(path).single():
                        if single.name == name:
                            return (single,)
            raise


def open_project() -> Project:
    """The project in `TIDEGATE_ROOT`, else in the working folder.

    Own features are named `module:function`, and modules in the project's folder are found from here on, as `flows` is.
    """
    root = Path(os.environ.get("TIDEGATE_ROOT", ".")).resolve()
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return Project(root, load_settings(root))


@contextmanager
def served_project(*, quiet: bool) -> Iterator[Project]:
    """The project with an MLflow server that answers, for as long as a command needs it."""
    from tidegate.services.at_hand import mlflow_at_hand

    project = open_project()
    with ExitStack() as stack:
        with nullcontext() if quiet else errors.status("MLflow"):
            settings = stack.enter_context(mlflow_at_hand(project.settings))
        yield Project(project.root, settings)


def person() -> str:
    """Who is at the keyboard, for the ledger."""
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
