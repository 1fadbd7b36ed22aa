"""Progress of long work, on standard error: the stage's name, a bar and the time left."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tidegate.cli.output import errors
from tidegate.pipeline.job import STAGES, Stopwatch


class ShownProgress(Stopwatch):
    """A stopwatch that also shows a bar with the stage's name and the time left."""

    def __init__(self, progress: Progress, title: str) -> None:
        super().__init__()
        self._progress = progress
        self._task = progress.add_task(title, total=sum(STAGES.values()))
        self._title = title
        self._done = 0.0
        self._stage = ""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Show and time a stage."""
        self._stage = name
        self._progress.update(self._task, description=f"{self._title}: {name}")
        with super().stage(name):
            yield
        self._done += STAGES.get(name, 0)
        self._progress.update(self._task, completed=self._done)

    def step(self, done: int, of: int, what: str) -> None:
        """Show a step within the stage."""
        share = STAGES.get(self._stage, 0) * done / of
        self._progress.update(self._task, completed=self._done + share, description=f"{self._title}: {what}")


@contextmanager
def shown_bars() -> Iterator[Progress]:
    """Bars with a name, and the time taken and left, on standard error; they go when the work is done."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors, transient=True) as progress:
        yield progress


@contextmanager
def shown_progress(title: str, *, quiet: bool) -> Iterator[Stopwatch]:
    """A stopwatch that shows itself on standard error, unless `quiet`."""
    if quiet:
        yield Stopwatch()
        return
    with shown_bars() as progress:
        yield ShownProgress(progress, title)
