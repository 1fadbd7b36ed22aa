"""Where a strategy's figures come from: its newest run, else the manifest in production, else what the caller names."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

from tidegate.calibration.figures import Figures
from tidegate.calibration.reading import from_metrics, from_run, given, newest_run
from tidegate.errors import FiguresRefused
from tidegate.model.manifest import Manifest
from tidegate.strategy.strategy import Strategy

NEEDED = ("trades_per_day", "win_rate", "payoff", "loss")
_GIVEN = "the command line"


@dataclass(frozen=True, slots=True)
class Named:
    """Figures that the caller names; None for those that are to be found.

    Attributes:
        trades_per_day: closed trades.
        win_rate: share of trades with a net profit.
        payoff: mean profit over mean loss.
        loss: mean loss of a losing trade, fraction of the capital.
        correlation: of the daily returns of champion and challenger.
        count_dispersion: variance over mean of the trades a day.
        clustering: correlation of two trades of a day winning together.
        cost: of a round trip, fraction of the capital.
    """

    trades_per_day: float | None = None
    win_rate: float | None = None
    payoff: float | None = None
    loss: float | None = None
    correlation: float | None = None
    count_dispersion: float | None = None
    clustering: float | None = None
    cost: float | None = None


def find_figures(
    strategy: Strategy, runs: Path, named: Named, production: Callable[[], tuple[int, Manifest] | None]
) -> Figures:
    """The figures, those that are named on top of those that are found.

    Args:
        strategy: of one model.
        runs: folder of all runs.
        named: by the caller; with all four of `NEEDED` nothing is looked for.
        production: finds version and manifest in production; asked only where there is no run.
    Raises:
        FiguresRefused: there are none, and too few are named; or a run's files cannot be read.
    """
    if all(getattr(named, name) is not None for name in NEEDED):
        return _with(_given(strategy, named), named)
    folder = newest_run(runs, strategy.name)
    if folder is not None:
        return _with(from_run(folder, strategy), named)
    found = production()
    if found is not None:
        version, manifest = found
        figures = from_metrics(manifest.out_of_sample, strategy, f"manifest of v{version}, in production")
        if figures is not None:
            return _with(figures, named)
    missing = [name for name in NEEDED if getattr(named, name) is None]
    raise FiguresRefused(
        f"{strategy.name} has no run and no usable model in production, so nothing tells how it trades",
        expected="a run below " + str(runs / strategy.name),
        actual="none",
        next_step=f"tidegate retrain {strategy.name}, or name what is missing: "
        + ", ".join(f"--{name.replace('_', '-')}" for name in missing),
    )


def _given(strategy: Strategy, named: Named) -> Figures:
    values = {name: getattr(named, name) for name in NEEDED}
    return given(strategy, **values, source=_GIVEN)


def _with(figures: Figures, named: Named) -> Figures:
    """Named figures in place of found ones; another size of losses or payoff scales their scatter along."""
    changed = {one.name: getattr(named, one.name) for one in fields(named) if getattr(named, one.name) is not None}
    names = ", ".join(sorted(changed))
    loss = changed.pop("loss", figures.loss)
    gain = changed.pop("payoff", figures.payoff) * loss
    scaled = {
        "loss": loss,
        "loss_spread": figures.loss_spread * loss / figures.loss,
        "gain": gain,
        "gain_spread": figures.gain_spread * gain / figures.gain,
    }
    is_given = figures.source == _GIVEN
    source = figures.source if is_given or not names else f"{figures.source}, with {names} as named"
    left = tuple(name for name in figures.assumed if name not in changed)
    return replace(figures, **scaled, **changed, assumed=left, source=source)
