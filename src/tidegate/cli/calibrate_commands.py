"""`calibrate`: how often a strategy's gates and its rollback are wrong, by simulation."""

import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli.context import Project, open_project, served_project
from tidegate.cli.output import AsJson, console, errors, print_json, print_table
from tidegate.errors import ConfigurationError
from tidegate.strategy.strategy import Strategy

if TYPE_CHECKING:
    from tidegate.calibration.result import Calibration, Outcome
    from tidegate.model.manifest import Manifest
    from tidegate.strategy.gates import Gates

PANEL = "The main job"
POLICIES = ("balanced", "checklist", "strict")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=PANEL)(calibrate)


def calibrate(
    strategy: Annotated[str, typer.Argument(help="Name of a strategy, of one of its models, or the path of a file.")],
    *,
    worlds: Annotated[int, typer.Option(help="Simulated worlds of each of the four kinds.")] = 10_000,
    policy: Annotated[
        str | None, typer.Option(help="Gate policy to put first. Default: the strategy's own gates.")
    ] = None,
    years: Annotated[int, typer.Option(help="Years of twelve looks in each world.")] = 3,
    seed: Annotated[int, typer.Option(help="Seed of all chance; the same seed gives the same figures.")] = 7,
    trades_per_day: Annotated[
        float | None, typer.Option(help="Closed trades a market day, instead of the run's.")
    ] = None,
    win_rate: Annotated[float | None, typer.Option(help="Share of trades won net of costs, such as 0.58.")] = None,
    payoff: Annotated[float | None, typer.Option(help="Mean profit of winners over mean loss of losers.")] = None,
    loss: Annotated[
        float | None, typer.Option(help="Mean loss of a losing trade, fraction of the capital, such as 0.004.")
    ] = None,
    correlation: Annotated[
        float | None, typer.Option(help="Correlation of the daily returns of champion and challenger.")
    ] = None,
    cost: Annotated[
        float | None, typer.Option(help="Cost of one round trip, fraction of the capital, such as 0.0012.")
    ] = None,
    clustering: Annotated[
        float | None, typer.Option(help="Correlation of any two trades of one day winning together.")
    ] = None,
    equal_sharpe: Annotated[
        float, typer.Option(help="True annual Sharpe ratio in the world whose challenger equals the champion.")
    ] = 2.0,
    champion_sharpe: Annotated[
        float, typer.Option(help="True Sharpe ratio of the champion that meets a better challenger.")
    ] = 1.0,
    challenger_sharpe: Annotated[float, typer.Option(help="True Sharpe ratio of the better challenger.")] = 2.0,
    checked: Annotated[
        int, typer.Option(help="Worlds that are judged by the full statistics with the bootstrap as well; 0 for none.")
    ] = 200,
    out: Annotated[
        Path | None, typer.Option(help="Folder for page, Markdown and JSON. Default: calibration beside the runs.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How often the gates promote luck, refuse skill and roll back health, for trades like this strategy's, and what each costs.

    Worlds are simulated in which the truth is known: one without skill, one equal to the champion, one truly better, and one whose skill
    ends. Trade rate, profits and losses are those of the newest run, unless options name others.
    """
    from tidegate.calibration.calibrate import Options
    from tidegate.calibration.calibrate import calibrate as simulate
    from tidegate.calibration.page import write_pages
    from tidegate.calibration.source import Named, find_figures

    project = open_project()
    single = project.single(strategy)
    named = Named(
        trades_per_day=trades_per_day,
        win_rate=win_rate,
        payoff=payoff,
        loss=loss,
        correlation=correlation,
        cost=cost,
        clustering=clustering,
    )
    figures = find_figures(single, project.settings.paths.runs, named, lambda: _production(single, quiet=as_json))
    trials, spread = _trials(project, single)
    options = Options(
        worlds=worlds,
        years=years,
        seed=seed,
        equal=equal_sharpe,
        champion=champion_sharpe,
        challenger=challenger_sharpe,
        checked=checked,
        trials=trials,
        trial_spread=spread,
        workers=project.settings.compute.parallel_folds,
    )
    with nullcontext() if as_json else errors.status(f"4 x {worlds:,} worlds of {years} years"):
        found = simulate(single, figures, _policies(project, single, policy), options)
    folder = out or project.settings.paths.runs / single.name / "calibration"
    page = write_pages(found, folder, created_ms=time.time_ns() // 1_000_000)
    if as_json:
        print_json(found.plain() | {"page": str(page)})
    else:
        _show(found, page)


def _policies(project: Project, strategy: Strategy, chosen: str | None) -> "dict[str, Gates]":
    """The chosen policy first, then those of the three that are not it; the strategy's own thresholds hold in all."""
    from tidegate.strategy.policies import named_policies, under

    known = named_policies(project.settings.paths.strategies.parent / "policies")
    first = chosen or strategy.gates.policy
    if first not in known and first != strategy.gates.policy:
        raise ConfigurationError("gate policy of a calibration", expected=", ".join(sorted(known)), actual=first)
    found = {first: strategy.gates if first == strategy.gates.policy else under(strategy.gates, known[first], known)}
    for name in POLICIES:
        if name != first:
            found[name] = strategy.gates if name == strategy.gates.policy else under(strategy.gates, known[name], known)
    return found


def _production(strategy: Strategy, *, quiet: bool) -> "tuple[int, Manifest] | None":
    """Version and manifest in production; MLflow is asked only where the ledger knows one."""
    from tidegate.registry.ledger import Ledger
    from tidegate.registry.tracking.versions import Tracking

    version = Ledger.from_settings(open_project().settings).state(strategy.name).current
    if version is None:
        return None
    with served_project(quiet=quiet) as project:
        return version, Tracking(project.settings).verified_manifest(strategy.name, version)


def _trials(project: Project, strategy: Strategy) -> tuple[int, float | None]:
    """How many trials the ledger holds, and how far their annual Sharpe ratios scatter; None where too few have one."""
    import numpy as np

    from tidegate.registry.trials import TrialLedger

    scores = np.array(list(TrialLedger.from_settings(project.settings).scores(strategy.name).values()))
    known = scores[np.isfinite(scores)] if len(scores) else scores
    spread = float(known.std(ddof=1)) if len(known) > 1 else 0.0
    return len(scores), spread or None


def _show(found: "Calibration", page: Path) -> None:
    figures = found.figures
    console.print(
        f"\n[bold]{found.strategy}[/]: {figures.trades_per_day:.3g} trades a day, {figures.win_rate:.1%} won, payoff {figures.payoff:.2f} ({figures.source})",
        soft_wrap=True,
    )
    for world in found.results:
        rows = [_row(outcome) for outcome in world.outcomes]
        print_table(f"{world.title}: true Sharpe {world.procedure:g}", COLUMNS, rows, whole=COLUMNS[:1])
    console.print(f"  page {page}", soft_wrap=True, markup=False)


COLUMNS = (
    "policy",
    "looks promoted",
    "years promoted",
    "95 %",
    "wrong refusals a year",
    "wrong rollbacks a year",
    "forgone a year",
)


def _row(outcome: "Outcome") -> tuple[str, ...]:
    price = outcome.price.refusal + outcome.price.rollback
    return (
        outcome.policy,
        f"{outcome.looks.value:.1%}",
        f"{outcome.years.value:.1%}",
        f"{outcome.years.low:.1%} to {outcome.years.high:.1%}",
        f"{outcome.wrong_refusals:.2f}",
        f"{outcome.wrong_rollbacks:.3f}",
        f"{price:.1%}",
    )
