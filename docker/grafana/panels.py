"""The words that dashboards are written in; `build.py` makes Grafana's JSON of them."""
# ruff: noqa: INP001  build.py is run as a script, from its own folder

from dataclasses import dataclass
from typing import Literal

Kind = Literal["stat", "timeseries", "table"]
Step = tuple[float | None, str]
"""From this value on (None: from the lowest), this colour."""

PLAIN: tuple[Step, ...] = ((None, "green"),)


def worse_above(warning: float, critical: float | None = None) -> tuple[Step, ...]:
    """Green, then orange, then red."""
    steps: tuple[Step, ...] = ((None, "green"), (warning, "orange" if critical is not None else "red"))
    return steps if critical is None else (*steps, (critical, "red"))


def worse_below(critical: float) -> tuple[Step, ...]:
    """Red under the value, green from it on."""
    return ((None, "red"), (critical, "green"))


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        unit: Grafana's id of the unit of every series in it.
        queries: PromQL and the legend of its series.
        steps: colours by value; for time series also drawn as lines.
        width: of 24.
    """

    title: str
    description: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    steps: tuple[Step, ...] = PLAIN
    kind: Kind = "timeseries"
    width: int = 8


@dataclass(frozen=True)
class Dashboard:
    """One dashboard: titled rows of panels. `variable` is a label that readers choose by, with the metric that knows its values."""

    uid: str
    title: str
    description: str
    variable: tuple[str, str]
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]


INSTANCE = 'instance=~"$instance"'
STRATEGY = 'strategy=~"$strategy"'
BY_INSTANCE = "{{instance}}"
BY_STRATEGY = "{{strategy}}"
